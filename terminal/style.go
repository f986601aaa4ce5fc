package terminal

import "strconv"

// color is a colour of a cell: 0 the terminal's own, else indexed or direct with its value in the low bits.
type color uint32

const (
	indexed color = 1 << 24
	direct  color = 2 << 24
)

type flags uint16

const (
	bold flags = 1 << iota
	faint
	italic
	underline
	blink
	inverse
	conceal
	strike
	overline
	wideHead // the first cell of a character that takes two
	wideTail // the second one
)

// faces are the flags that SGR switches, with the parameters that switch them on.
var faces = []struct {
	flag flags
	on   int
}{{bold, 1}, {faint, 2}, {italic, 3}, {underline, 4}, {blink, 5}, {inverse, 7}, {conceal, 8}, {strike, 9}, {overline, 53}}

// style is how a cell looks.
type style struct {
	fg, bg color
	flags  flags
}

// sgr applies SGR (ECMA-48 §8.3.117) with xterm's colours.
func (s *style) sgr(p *params) {
	if p.n == 0 {
		*s = style{}
	}
	for i := 0; i < p.n; i++ {
		switch v := p.v[i]; {
		case v == 38 || v == 48 || v == 58:
			i = s.extended(p, i)
		case v == 4 && p.sub(i+1): // 4:0 is no underline, others are kinds of it
			s.set(underline, p.v[i+1] != 0)
			i++
		case !p.sub(i):
			s.one(v)
		}
	}
}

func (s *style) set(f flags, on bool) {
	s.flags &^= f
	if on {
		s.flags |= f
	}
}

func (s *style) one(v int) {
	for _, f := range faces {
		if f.on == v {
			s.flags |= f.flag
			return
		}
	}
	switch {
	case v == 0:
		*s = style{}
	case v == 6:
		s.flags |= blink
	case v == 21:
		s.flags |= underline
	case v == 22:
		s.flags &^= bold | faint
	case v >= 23 && v <= 29:
		s.flags &^= [...]flags{italic, underline, blink, 0, inverse, conceal, strike}[v-23]
	case v >= 30 && v <= 37:
		s.fg = indexed | color(v-30)
	case v == 39:
		s.fg = 0
	case v >= 40 && v <= 47:
		s.bg = indexed | color(v-40)
	case v == 49:
		s.bg = 0
	case v == 55:
		s.flags &^= overline
	case v >= 90 && v <= 97:
		s.fg = indexed | color(v-90+8)
	case v >= 100 && v <= 107:
		s.bg = indexed | color(v-100+8)
	}
}

// extended reads 38, 48 or 58 at i, in xterm's form with semicolons or ITU's with colons, and gives its last parameter.
func (s *style) extended(p *params, i int) int {
	which, colons := p.v[i], p.sub(i+1)
	rest := p.v[i+1 : p.n]
	c, used := color(0), 0
	switch {
	case len(rest) >= 2 && rest[0] == 5:
		c, used = indexed|color(rest[1]&0xff), 2
	case len(rest) >= 4 && rest[0] == 2:
		at := 1
		if colons && len(rest) >= 5 && p.sub(i+5) { // 38:2:space:r:g:b
			at = 2
		}
		c, used = direct|color(rest[at]&0xff)<<16|color(rest[at+1]&0xff)<<8|color(rest[at+2]&0xff), at+3
	default:
		return p.n
	}
	switch which {
	case 38:
		s.fg = c
	case 48:
		s.bg = c
	}
	for i += used; colons && p.sub(i+1); i++ {
	}
	return i
}

// appendSGR adds the sequence that makes a terminal write like s, whatever it did before.
func (s style) appendSGR(dst []byte) []byte {
	dst = append(dst, "\x1b[0"...)
	for _, f := range faces {
		if s.flags&f.flag != 0 {
			dst = strconv.AppendInt(append(dst, ';'), int64(f.on), 10)
		}
	}
	dst = s.fg.append(dst, 38)
	dst = s.bg.append(dst, 48)
	return append(dst, 'm')
}

func (c color) append(dst []byte, which int64) []byte {
	numbers := []int64{which, 5, int64(c & 0xff)}
	switch c &^ 0xffffff {
	case 0:
		return dst
	case direct:
		numbers = []int64{which, 2, int64(c >> 16 & 0xff), int64(c >> 8 & 0xff), int64(c & 0xff)}
	}
	for _, n := range numbers {
		dst = strconv.AppendInt(append(dst, ';'), n, 10)
	}
	return dst
}
