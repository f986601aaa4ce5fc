package terminal

import "strconv"

// Render adds to dst what makes a terminal of the same size show this screen, whatever it showed before: both screens,
// colours, cursor, scrolling region and the modes that drawing depends on. It passes a [Filter] unchanged.
func (s *Screen) Render(dst []byte) []byte { return s.render(dst, false) }

// Picture adds to dst what makes a new Screen of the same size go on as this one does: besides what Render gives, tab stops,
// what a newline does, which rows go on in the next, and a sequence or a character that has begun and not come to its end.
func (s *Screen) Picture(dst []byte) []byte {
	for x, stop := range s.tabs {
		if stop != (x%8 == 0) {
			dst = appendGoTo(dst, x, 0)
			dst = append(dst, map[bool]string{true: "\x1bH", false: "\x1b[g"}[stop]...)
		}
	}
	if s.mode.newline {
		dst = append(dst, "\x1b[20h"...)
	}
	return s.rest(s.render(dst, true))
}

// render is Render. Where joined is set, rows that go on in the next are joined by the terminal's own wrapping: on one of
// another size they would stand elsewhere.
func (s *Screen) render(dst []byte, joined bool) []byte {
	dst = append(dst, Reset...)
	dst = s.renderGrid(dst, &s.main, joined)
	if s.Alternate() {
		dst = s.renderCursor(dst, &s.main, s.saved[0])
		dst = append(dst, "\x1b[?1049h"...)
		dst = s.renderGrid(dst, &s.alt, joined)
	}
	dst = s.renderCursor(dst, s.grid, s.saved[s.screen()])
	dst = append(dst, "\x1b7"...)
	if s.top != 0 || s.bottom != s.rows {
		dst = strconv.AppendInt(append(dst, "\x1b["...), int64(s.top+1), 10)
		dst = strconv.AppendInt(append(dst, ';'), int64(s.bottom), 10)
		dst = append(dst, 'r')
	}
	for _, m := range []struct {
		on   bool
		text string
	}{{s.mode.reverse, "\x1b[?5h"}, {s.mode.insert, "\x1b[4h"}, {s.mode.noWrap, "\x1b[?7l"}, {s.mode.hidden, "\x1b[?25l"}} {
		if m.on {
			dst = append(dst, m.text...)
		}
	}
	return s.renderCursor(dst, s.grid, s.cursor)
}

// rest adds the beginning of a sequence or a character that has not come to its end.
func (s *Screen) rest(dst []byte) []byte {
	switch s.state {
	case inEscape:
		dst = append(dst, 0x1b)
	case inSet:
		dst = append(dst, 0x1b, s.inter)
	case inControl:
		dst = s.restControl(dst)
	case inIgnored:
		dst = append(dst, "\x1b[0<"...)
	case inOSC:
		dst = append(append(dst, "\x1b]"...), s.osc...)
	case inString:
		dst = append(dst, "\x1bP"...)
	}
	return append(dst, s.tail[:s.tailed]...)
}

func (s *Screen) restControl(dst []byte) []byte {
	dst = append(dst, "\x1b["...)
	if s.private != 0 {
		dst = append(dst, s.private)
	}
	for i := range s.params.n {
		if s.params.sub(i) {
			dst = append(dst, ':')
		} else if i > 0 {
			dst = append(dst, ';')
		}
		dst = strconv.AppendInt(dst, int64(s.params.v[i]), 10)
	}
	if s.inter != 0 {
		dst = append(dst, s.inter)
	}
	return dst
}

// letters leaves a character set in which letters are lines: what was written in one is drawn as what it became.
const letters = "\x0f\x1b(B"

// renderGrid draws the rows of g.
func (s *Screen) renderGrid(dst []byte, g *grid, joined bool) []byte {
	dst = append(dst, letters+"\x1b[0m\x1b[H\x1b[2J"...)
	var pen style
	for y, r := range g.rows {
		n, rest := r.drawn(s.cols)
		wrapped := joined && y > 0 && g.rows[y-1].wrapped // and so drawn to its end
		if joined && r.wrapped {
			n = s.cols
		} else if n == 0 && wrapped {
			n = 1
		}
		if n == 0 && rest == (style{}) {
			continue
		}
		if !wrapped {
			dst = appendGoTo(dst, 0, y)
		}
		for x := range n {
			if look := r.at(x).look(); look != pen {
				pen = look
				dst = pen.appendSGR(dst)
			}
			dst = r.appendCell(dst, x)
		}
		if n < s.cols && rest != (style{}) {
			pen = rest
			dst = append(pen.appendSGR(dst), "\x1b[K"...)
		}
	}
	return dst
}

// look is the style that a cell was written with.
func (c cell) look() style {
	c.flags &^= wideHead | wideTail
	return c.style
}

// drawn gives how many cells of the row are to be written, and how the blank ones after them look.
func (r *row) drawn(cols int) (n int, rest style) {
	blank := func(c cell) bool { return (c.r == 0 || c.r == ' ') && c.fg == 0 && c.flags == 0 }
	last := r.at(cols - 1)
	if !blank(last) || len(r.marks[cols-1]) > 0 {
		return cols, style{}
	}
	for n = cols; n > 0 && blank(r.at(n-1)) && r.at(n-1).bg == last.bg && len(r.marks[n-1]) == 0; n-- {
	}
	return n, last.style
}

// renderCursor puts the cursor, its pen and its character sets.
func (s *Screen) renderCursor(dst []byte, g *grid, c cursor) []byte {
	y := c.y
	if c.origin {
		dst = append(dst, "\x1b[?6h"...)
		y -= s.top
	} else {
		dst = append(dst, "\x1b[?6l"...)
	}
	dst = appendGoTo(dst, c.x, y)
	if c.wrap && c.x == s.cols-1 {
		dst = renderLast(dst, g.rows[c.y], c.x)
	}
	for i, set := range c.sets {
		if set != '0' && set != 'A' {
			set = 'B'
		}
		dst = append(dst, 0x1b, "()"[i], set)
	}
	return append(c.pen.appendSGR(dst), byte(0x0f-c.shift))
}

// renderLast writes the character under the cursor again, so that the next one wraps.
func renderLast(dst []byte, r *row, x int) []byte {
	if x > 0 && r.at(x).flags&wideTail != 0 {
		x--
		dst = append(dst, '\b')
	}
	return r.appendCell(r.at(x).look().appendSGR(append(dst, letters...)), x)
}

func appendGoTo(dst []byte, x, y int) []byte {
	dst = strconv.AppendInt(append(dst, "\x1b["...), int64(y+1), 10)
	dst = strconv.AppendInt(append(dst, ';'), int64(x+1), 10)
	return append(dst, 'H')
}
