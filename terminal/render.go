package terminal

import "strconv"

// Render adds to dst what makes a terminal of the same size show this screen, whatever it showed before: both screens,
// colours, cursor, scrolling region and the modes that drawing depends on. It passes a [Filter] unchanged.
func (s *Screen) Render(dst []byte) []byte {
	dst = append(dst, Reset...)
	dst = s.renderGrid(dst, &s.main)
	if s.Alternate() {
		dst = s.renderCursor(dst, s.saved[0])
		dst = append(dst, "\x1b[?1049h"...)
		dst = s.renderGrid(dst, &s.alt)
	}
	dst = s.renderCursor(dst, s.saved[s.screen()])
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
	return s.renderCursor(dst, s.cursor)
}

// renderGrid draws the rows of g.
func (s *Screen) renderGrid(dst []byte, g *grid) []byte {
	dst = append(dst, "\x1b[0m\x1b[H\x1b[2J"...)
	var pen style
	for y, r := range g.rows {
		if len(r.cells) == 0 && r.rest == (style{}) {
			continue
		}
		dst = appendGoTo(dst, 0, y)
		for x := range r.cells {
			look := r.cells[x].style
			look.flags &^= wideHead | wideTail
			if look != pen {
				pen = look
				dst = pen.appendSGR(dst)
			}
			dst = r.appendCell(dst, x)
		}
		if len(r.cells) < s.cols && r.rest != (style{}) {
			pen = r.rest
			dst = append(pen.appendSGR(dst), "\x1b[K"...)
		}
	}
	return dst
}

// renderCursor puts the cursor, its pen and its character sets.
func (s *Screen) renderCursor(dst []byte, c cursor) []byte {
	y := c.y
	if c.origin {
		dst = append(dst, "\x1b[?6h"...)
		y -= s.top
	} else {
		dst = append(dst, "\x1b[?6l"...)
	}
	dst = appendGoTo(dst, c.x, y)
	if c.wrap && c.x == s.cols-1 {
		dst = s.renderLast(dst, c)
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
func (s *Screen) renderLast(dst []byte, c cursor) []byte {
	g := s.grid
	r := g.rows[c.y]
	x := c.x
	if x > 0 && r.at(x).flags&wideTail != 0 {
		x--
		dst = append(dst, '\b')
	}
	look := r.at(x).style
	look.flags &^= wideHead | wideTail
	return r.appendCell(look.appendSGR(dst), x)
}

func appendGoTo(dst []byte, x, y int) []byte {
	dst = strconv.AppendInt(append(dst, "\x1b["...), int64(y+1), 10)
	dst = strconv.AppendInt(append(dst, ';'), int64(x+1), 10)
	return append(dst, 'H')
}
