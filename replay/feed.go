package replay

import (
	"unicode/utf8"

	"github.com/sekisho/sekisho/recording"
)

// feed is what one channel's output and standard error look like to a terminal: UTF-8, and, where no pty has made CR LF
// of the program's newlines, with that done.
type feed struct {
	pty       bool
	out, errs text
	last      byte
	buf       []byte
}

// append adds the text of an Output or Stderr entry to dst.
func (f *feed) append(dst []byte, e recording.Entry) []byte {
	t := &f.out
	if e.Kind == recording.Stderr {
		t = &f.errs
	}
	begin := len(dst)
	if f.pty {
		dst = t.append(dst, e.Data)
	} else {
		f.buf = t.append(f.buf[:0], e.Data)
		dst = crlf(dst, f.buf, f.last)
	}
	if len(dst) > begin {
		f.last = dst[len(dst)-1]
	}
	return dst
}

// flush adds U+FFFD for characters that never came to their end.
func (f *feed) flush(dst []byte) []byte { return f.errs.flush(f.out.flush(dst)) }

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
	for _, c := range b {
		if c == '\n' && last != '\r' {
			dst = append(dst, '\r')
		}
		dst = append(dst, c)
		last = c
	}
	return dst
}
