package terminal

// Keep sets how many rows that go off the top of the main screen are kept for [Screen.Gone].
func (s *Screen) Keep(n int) { s.main.keep = n }

// Gone gives the rows that went off the top of the main screen since the last call, oldest first, and forgets them. An id
// stands for one row as long as the screen has it; text, without blanks at its end, is valid until the next.
func (s *Screen) Gone(take func(id uint64, wrapped bool, text []byte)) {
	var text []byte
	for i, r := range s.main.history {
		text = r.whole(text[:0])
		take(r.id, r.wrapped, text)
		s.main.history[i] = nil
	}
	s.main.history = s.main.history[:0]
}

// whole adds the row's text: without blanks at its end, unless it goes on in the next row.
func (r *row) whole(dst []byte) []byte {
	if r.wrapped {
		return r.append(dst, 0, len(r.cells))
	}
	return r.append(dst, 0, r.end())
}

// Rows gives the rows of the screen, from its top, as Gone does.
func (s *Screen) Rows(take func(id uint64, wrapped bool, text []byte)) {
	var text []byte
	for _, r := range s.grid.rows {
		text = r.whole(text[:0])
		take(r.id, r.wrapped, text)
	}
}

// AppendRow adds columns from to to-1 of row y in their colours: text and SGR, and nothing that moves a cursor. Half of a
// wide character at either border is a space.
func (s *Screen) AppendRow(dst []byte, y, from, to int) []byte {
	if y < 0 || y >= s.rows {
		return dst
	}
	r := s.grid.rows[y]
	var pen style
	dst = append(dst, "\x1b[0m"...)
	for x := max(from, 0); x < min(to, s.cols); x++ {
		c := r.at(x)
		if look := c.look(); look != pen {
			pen = look
			dst = pen.appendSGR(dst)
		}
		if c.flags&wideTail != 0 && x == from || c.flags&wideHead != 0 && x == to-1 {
			dst = append(dst, ' ')
			continue
		}
		dst = r.appendCell(dst, x)
	}
	return append(dst, "\x1b[0m"...)
}

// CursorHidden reports whether the program has switched the cursor off.
func (s *Screen) CursorHidden() bool { return s.mode.hidden }
