package terminal

// Keep sets how many rows that go off the top of the main screen are kept for [Screen.Gone].
func (s *Screen) Keep(n int) { s.main.keep = n }

// Row is a row of a screen, valid until something is written.
type Row struct{ row *row }

// ID stands for the row as long as the screen has it.
func (r Row) ID() uint64 { return r.row.id }

// Wrapped says that the text goes on in the next row.
func (r Row) Wrapped() bool { return r.row.wrapped }

// Changed says that the row may have been written to since [Screen.Rows] was called last.
func (r Row) Changed() bool { return r.row.changed }

// Append adds the text, without blanks at its end unless it goes on in the next row.
func (r Row) Append(dst []byte) []byte { return r.row.whole(dst) }

// Gone gives the rows that went off the top of the main screen since the last call, oldest first, and forgets them.
func (s *Screen) Gone(take func(Row)) {
	for i, r := range s.main.history {
		take(Row{r})
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

// Rows gives the rows of the screen, from its top.
func (s *Screen) Rows(take func(Row)) {
	for _, r := range s.grid.rows {
		take(Row{r})
		r.changed = false
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
