package terminal

import "unicode/utf8"

// text makes valid UTF-8 of a byte stream that comes in pieces: a character cut by the border of two pieces is put
// together again, and what is no UTF-8 becomes U+FFFD.
type text struct {
	tail []byte // the beginning of a character, at most 3 bytes
	buf  []byte
}

// append adds the text of data to dst.
func (t *text) append(dst, data []byte) []byte {
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
