package terminal

import "unicode/utf8"

// maxParams is how many parameters of a control sequence are kept, and maxParam what one of them can be.
const (
	maxParams = 32
	maxParam  = 65535
)

// params are the parameters of a control sequence.
type params struct {
	v    [maxParams]int
	subs uint64 // bit i: v[i] is a sub-parameter, after a colon
	n    int
}

// sub reports whether parameter i is there and a sub-parameter.
func (p *params) sub(i int) bool { return i < p.n && p.subs>>i&1 != 0 }

// get gives parameter i, or otherwise where it is missing or 0.
func (p *params) get(i, otherwise int) int {
	if i < p.n && p.v[i] != 0 {
		return p.v[i]
	}
	return otherwise
}

// parser cuts bytes into characters and sequences, as the state machine that Paul Flo Williams drew of DEC's terminals
// (vt100.net/emu/dec_ansi_parser) does for those parts that are used here.
type parser struct {
	state   parserState
	tail    [utf8.UTFMax]byte // the beginning of a character
	tailed  int
	params  params
	digits  bool // the last parameter has begun
	private byte // one of <=>? at the beginning
	inter   byte // the last intermediate byte
	osc     []byte
}

type parserState uint8

const (
	inText parserState = iota
	inEscape
	inSet     // after ESC and an intermediate byte
	inControl // after ESC [
	inIgnored // a control sequence that is wrong
	inOSC
	inString // DCS, SOS, PM or APC
)

// Write draws p. It never fails.
func (s *Screen) Write(p []byte) (int, error) {
	s.reflows = min(s.reflows+len(p)*reflowRate, maxReflow)
	for i := 0; i < len(p); {
		if s.state != inText || s.tailed > 0 {
			s.byte(p[i])
			i++
			continue
		}
		n := printable(p[i:])
		if n == 0 {
			s.byte(p[i])
			i++
			continue
		}
		s.ascii(p[i : i+n])
		i += n
	}
	return len(p), nil
}

// printable gives how many bytes at the beginning of p are printable ASCII.
func printable(p []byte) int {
	for i, b := range p {
		if b-0x20 >= 0x5f {
			return i
		}
	}
	return len(p)
}

func (s *Screen) byte(b byte) {
	if s.tailed > 0 || b >= 0x80 {
		s.multibyte(b)
		return
	}
	s.step(b)
}

// multibyte collects a character of several bytes. What is no UTF-8 is U+FFFD.
func (s *Screen) multibyte(b byte) {
	s.tail[s.tailed] = b
	s.tailed++
	for s.tailed > 0 && utf8.FullRune(s.tail[:s.tailed]) {
		r, size := utf8.DecodeRune(s.tail[:s.tailed])
		copy(s.tail[:], s.tail[size:s.tailed])
		s.tailed -= size
		if r < utf8.RuneSelf {
			s.step(byte(r))
		} else {
			s.character(r)
		}
	}
}

// character is one beyond ASCII.
func (s *Screen) character(r rune) {
	switch s.state {
	case inText:
		if r >= 0xa0 { // C1 controls are neither drawn nor obeyed
			s.print(r)
		}
	case inOSC:
		if len(s.osc) < maxOSC {
			s.osc = utf8.AppendRune(s.osc, r)
		}
	case inString:
	case inControl:
		s.state = inIgnored
	case inEscape, inSet:
		s.state = inText
	}
}

// step is one ASCII byte.
func (s *Screen) step(b byte) {
	switch {
	case b == 0x18 || b == 0x1a: // CAN and SUB end every sequence
		s.state = inText
	case b == 0x1b:
		if s.state == inOSC {
			s.command()
		}
		s.state, s.inter = inEscape, 0
	case s.state == inOSC:
		s.collect(b)
	case s.state == inString:
		if b == 0x07 {
			s.state = inText
		}
	case b < 0x20:
		s.control(b)
	case b == 0x7f:
	case s.state == inText:
		s.print(rune(b))
	case s.state == inEscape:
		s.escape(b)
	case s.state == inSet:
		s.set(b)
	case s.state == inControl:
		s.parameter(b)
	default:
		if b >= 0x40 {
			s.state = inText
		}
	}
}

// collect is a byte of an operating system command.
func (s *Screen) collect(b byte) {
	switch {
	case b == 0x07:
		s.command()
		s.state = inText
	case b >= 0x20 && len(s.osc) < maxOSC:
		s.osc = append(s.osc, b)
	}
}

// parameter is a byte of a control sequence.
func (s *Screen) parameter(b byte) {
	p := &s.params
	switch {
	case b >= '0' && b <= '9':
		if p.n == 0 || !s.digits {
			s.next(false)
		}
		p.v[p.n-1] = min(p.v[p.n-1]*10+int(b-'0'), maxParam)
	case b == ';' || b == ':':
		if p.n == 0 || !s.digits {
			s.next(false)
		}
		s.next(b == ':')
	case b >= 0x3c && b <= 0x3f:
		if p.n > 0 || s.inter != 0 {
			s.state = inIgnored
		}
		s.private = b
	case b <= 0x2f:
		s.inter = b
	default:
		s.state = inText
		s.sequence(b)
	}
}

// next begins another parameter. Those that are too many are all taken for the last.
func (s *Screen) next(sub bool) {
	p := &s.params
	s.digits = true
	if p.n < maxParams {
		p.n++
	}
	p.v[p.n-1] = 0
	p.subs &^= 1 << (p.n - 1)
	if sub {
		p.subs |= 1 << (p.n - 1)
	}
}
