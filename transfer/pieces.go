package transfer

import (
	"bytes"
	"fmt"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// pieces lets one direction of a conversation be read in plain order, from beginning to end, while its bytes come in
// pieces of any size: the script reads, and whenever the piece at hand is used up it stands still until the next one.
// One goroutine at a time may call feed and end.
type pieces struct {
	piece []byte // what is left of the piece at hand
	size  int    // of the whole piece
	spans []span // what the script said of the piece so far

	resume func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	lost   error // why the script does not follow any more
}

// span is a part of a piece, up to the offset end.
type span struct {
	end  int
	told bool
}

// lost is what a script panics with inside this package when it cannot go on; feed recovers it, and nothing else.
type lost struct{ error }

func newPieces(script func(*pieces)) *pieces {
	s := new(pieces)
	s.resume, s.stop = iter.Pull(func(yield func(struct{}) bool) {
		s.yield = yield
		defer s.recover()
		script(s)
	})
	return s
}

func (s *pieces) recover() {
	switch r := recover().(type) {
	case nil:
	case lost:
		s.lost = r.error
	default:
		panic(r)
	}
}

// feed hands the script the next piece, and gives what it said of it; what it said nothing of is not told.
func (s *pieces) feed(p []byte) []span {
	s.piece, s.size, s.spans = p, len(p), s.spans[:0]
	s.resume()
	s.piece = nil
	if n := len(s.spans); len(p) > 0 && (n == 0 || s.spans[n-1].end < len(p)) {
		s.spans = append(s.spans, span{end: len(p)})
	}
	return s.spans
}

// end lets go of the script where it stands.
func (s *pieces) end() { s.stop() }

// mark says of what was read since the last mark whether it is told.
func (s *pieces) mark(told bool) {
	end := s.size - len(s.piece)
	if n := len(s.spans); n > 0 && s.spans[n-1].told == told {
		s.spans[n-1].end = end
		return
	}
	s.spans = append(s.spans, span{end, told})
}

// lose ends the script: what comes does not follow the protocol.
func (s *pieces) lose(format string, args ...any) {
	panic(lost{fmt.Errorf(format, args...)})
}

// wait stands still until there is a byte.
func (s *pieces) wait() {
	for len(s.piece) == 0 {
		if !s.yield(struct{}{}) {
			s.lose("the conversation is over")
		}
	}
}

// some reads 1 to most bytes, as they come. They are valid until the next call.
func (s *pieces) some(most int64) []byte {
	s.wait()
	n := min(most, int64(len(s.piece)))
	b := s.piece[:n]
	s.piece = s.piece[n:]
	return b
}

func (s *pieces) byte() byte { return s.some(1)[0] }

// line reads up to a newline, and gives it without; it loses at lines longer than most.
func (s *pieces) line(most int) []byte {
	var line []byte
	for {
		s.wait()
		n := bytes.IndexByte(s.piece, '\n')
		end := n >= 0
		if !end {
			n = len(s.piece)
		}
		if len(line)+n > most {
			s.lose("a line is longer than %d bytes", most)
		}
		line = append(line, s.some(int64(n))...)
		if end {
			s.byte()
			return line
		}
	}
}

// legible is a name or text as told: what is not printable UTF-8 as \xNN, a backslash as \\, so that two names never look
// the same, and of at most size bytes.
func legible(b []byte, size int) string {
	var told strings.Builder
	for len(b) > 0 && told.Len() < size {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == '\\':
			told.WriteString(`\\`)
		case r == utf8.RuneError && n == 1, !unicode.IsPrint(r):
			for _, c := range b[:n] {
				fmt.Fprintf(&told, `\x%02x`, c)
			}
		default:
			told.Write(b[:n])
		}
		b = b[n:]
	}
	return cut(told.String(), size)
}
