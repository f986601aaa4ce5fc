package terminal

import "unicode/utf8"

// Text makes valid UTF-8 of a byte stream that comes in pieces: a character cut by the border of two pieces is put
// together again, and what is no UTF-8 becomes U+FFFD. The zero value is ready.
type Text struct {
	tail []byte // the beginning of a character, at most 3 bytes
	buf  []byte
}

// Append adds the text of data to dst.
func (t *Text) Append(dst, data []byte) []byte {
	t.buf = append(append(t.buf[:0], t.tail...), data...)
	b := t.buf
	for len(b) > 0 && utf8.FullRune(b) {
		r, size := utf8.DecodeRune(b)
		dst = utf8.AppendRune(dst, r)
		b = b[size:]
	}
	t.tail = append(t.tail[:0], b...)
	return dst
}

// Flush adds U+FFFD for a character that never came to its end.
func (t *Text) Flush(dst []byte) []byte {
	if len(t.tail) > 0 {
		dst = utf8.AppendRune(dst, utf8.RuneError)
		t.tail = t.tail[:0]
	}
	return dst
}
