package recording

import (
	"bytes"
	"unicode/utf8"
)

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

// flush adds U+FFFD for a character that never came to its end.
func (t *text) flush(dst []byte) []byte {
	if len(t.tail) > 0 {
		dst = utf8.AppendRune(dst, utf8.RuneError)
		t.tail = t.tail[:0]
	}
	return dst
}

// crlf adds b to dst with a carriage return before each newline that has none. last is the byte before b.
func crlf(dst, b []byte, last byte) []byte {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return append(dst, b...)
		}
		if i > 0 {
			last = b[i-1]
		}
		dst = append(dst, b[:i]...)
		if last != '\r' {
			dst = append(dst, '\r')
		}
		dst = append(dst, '\n')
		last, b = '\n', b[i+1:]
	}
	return dst
}
