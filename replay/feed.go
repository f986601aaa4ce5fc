package replay

import (
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/terminal"
)

// feed is what one channel's output and standard error look like to a terminal: UTF-8, and, where no pty has made CR LF
// of the program's newlines, with that done.
type feed struct {
	pty       bool
	out, errs terminal.Text
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
		dst = t.Append(dst, e.Data)
	} else {
		f.buf = t.Append(f.buf[:0], e.Data)
		dst = crlf(dst, f.buf, f.last)
	}
	if len(dst) > begin {
		f.last = dst[len(dst)-1]
	}
	return dst
}

// flush adds U+FFFD for characters that never came to their end.
func (f *feed) flush(dst []byte) []byte { return f.errs.Flush(f.out.Flush(dst)) }

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
