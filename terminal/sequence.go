package terminal

import (
	"bytes"
	"strings"
)

// changing are the ends of those sequences that change what stands on the screen, or go to a place of it.
const changing = "HfJrdKX@PLMSTbpu"

// sequence does a control sequence that ends in b.
func (s *Screen) sequence(b byte) {
	p := &s.params
	if s.armed && strings.IndexByte(changing, b) >= 0 {
		s.watch.drawing()
	}
	switch {
	case s.private == '?' && s.inter == 0:
		s.privateSequence(b)
		return
	case s.inter == '!' && b == 'p' && s.private == 0: // DECSTR
		x, y := s.x, s.y
		s.home()
		s.goTo(x, y)
		s.mode.insert, s.mode.noWrap, s.mode.hidden = false, false, false
		return
	case s.private != 0 || s.inter != 0:
		return
	}
	n := p.get(0, 1)
	switch b {
	case 'A':
		s.up(n)
	case 'B', 'e':
		s.moveDown(n)
	case 'C', 'a':
		s.x, s.wrap = min(s.x+n, s.cols-1), false
	case 'D':
		s.x, s.wrap = max(s.x-n, 0), false
	case 'E':
		s.moveDown(n)
		s.x = 0
	case 'F':
		s.up(n)
		s.x = 0
	case 'G', '`':
		s.x, s.wrap = min(n, s.cols)-1, false
	case 'H', 'f':
		s.goTo(p.get(1, 1)-1, n-1)
	case 'I':
		s.tab(n)
	case 'Z':
		s.backTab(n)
	case 'd':
		s.goTo(s.x, n-1)
	case 's':
		s.save()
	case 'u':
		s.restore()
	case 'm':
		s.pen.sgr(p)
	case 'r':
		s.region(n-1, p.get(1, s.rows))
	case 'g':
		s.clearTabs(p.get(0, 0))
	case 'h', 'l':
		s.ansiModes(b == 'h')
	case 'b':
		s.repeat(n)
	default:
		s.edit(b, n)
	}
}

// edit does those sequences that erase or move text.
func (s *Screen) edit(b byte, n int) {
	x, blank := s.x, s.blank()
	within := s.y >= s.top && s.y < s.bottom
	switch b {
	case 'J':
		s.eraseDisplay(s.params.get(0, 0))
	case 'K':
		s.eraseLine(s.params.get(0, 0))
	case 'X':
		s.row.erase(x, min(x+n, s.cols), s.cols, blank)
	case '@':
		s.row.insert(x, n, s.cols, blank)
	case 'P':
		s.row.delete(x, n, s.cols, blank)
	case 'L':
		if within {
			s.grid.scrollDown(s.y, s.bottom, n, blank)
			s.x = 0
		}
	case 'M':
		if within {
			s.grid.scrollUp(s.y, s.bottom, n, blank)
			s.x = 0
		}
	case 'S':
		s.grid.scrollUp(s.top, s.bottom, n, blank)
	case 'T':
		if s.params.n <= 1 {
			s.grid.scrollDown(s.top, s.bottom, n, blank)
		}
	default:
		return
	}
	s.wrap = false
	s.place()
}

func (s *Screen) eraseLine(what int) {
	switch what {
	case 0:
		s.row.erase(s.x, s.cols, s.cols, s.blank())
	case 1:
		s.row.erase(0, s.x+1, s.cols, s.blank())
	case 2:
		s.row.erase(0, s.cols, s.cols, s.blank())
	}
}

func (s *Screen) eraseDisplay(what int) {
	from, to := 0, s.rows
	switch what {
	case 0:
		if s.x == 0 && s.y > 0 {
			above := s.grid.rows[s.y-1]
			above.wrapped, above.changed = false, true // what comes here now is another line
		}
		s.eraseLine(0)
		from = s.y + 1
	case 1:
		s.eraseLine(1)
		to = s.y
	case 2:
	default: // 3 erases what is kept beyond the top
		return
	}
	for _, r := range s.grid.rows[from:to] {
		r.clear(s.blank())
	}
}

// region is DECSTBM.
func (s *Screen) region(top, bottom int) {
	bottom = min(bottom, s.rows)
	if top < 0 || top >= bottom-1 {
		return
	}
	s.top, s.bottom = top, bottom
	s.goTo(0, 0)
}

func (s *Screen) clearTabs(what int) {
	switch what {
	case 0:
		s.tabs[s.x] = false
	case 3:
		clear(s.tabs)
	}
}

// repeat is REP. Programs use it within a row, so that a row is enough.
func (s *Screen) repeat(n int) {
	if s.last == 0 {
		return
	}
	n = min(n, s.cols)
	if s.last >= 0x20 && s.last < 0x7f {
		s.ascii(bytes.Repeat([]byte{byte(s.last)}, n))
		return
	}
	for range n {
		s.print(s.last)
	}
}

func (s *Screen) ansiModes(on bool) {
	for _, v := range s.params.v[:s.params.n] {
		switch v {
		case 4:
			s.mode.insert = on
		case 20:
			s.mode.newline = on
		}
	}
}

func (s *Screen) privateSequence(b byte) {
	if b == 'J' || b == 'K' { // DECSED and DECSEL, without protected cells
		s.edit(b, 1)
		return
	}
	if b != 'h' && b != 'l' {
		return
	}
	for _, v := range s.params.v[:s.params.n] {
		s.privateMode(v, b == 'h')
	}
}

func (s *Screen) privateMode(number int, on bool) {
	switch number {
	case 5:
		s.mode.reverse = on
	case 6:
		s.origin = on
		s.goTo(0, 0)
	case 7:
		s.mode.noWrap = !on
	case 25:
		s.mode.hidden = !on
	case 47, 1047, 1049:
		s.alternate(number, on)
	case 1048:
		if on {
			s.save()
		} else {
			s.restore()
		}
	case 2004:
		s.mode.paste = on
		if s.watch != nil {
			s.watch.pasting(on)
		}
	}
}

// alternate switches between the screens: 1049 keeps the cursor and clears the alternate screen.
func (s *Screen) alternate(number int, on bool) {
	if on == s.Alternate() {
		return
	}
	if s.watch != nil {
		s.watch.switched(on)
	}
	at := s.cursor
	if on {
		s.saved[0] = s.cursor
		s.grid = &s.alt
		if number == 1049 {
			for _, r := range s.alt.rows {
				s.alt.renew(r, s.blank())
			}
		}
	} else {
		s.grid = &s.main
		if number == 1049 {
			at = s.saved[0]
		}
	}
	s.cursor = at
	s.place()
}
