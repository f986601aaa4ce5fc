package terminal

// line drawing is DEC's special graphics set, for ` to ~.
var lineDrawing = []rune("◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·")

// ascii prints a run of printable ASCII.
func (s *Screen) ascii(p []byte) {
	if s.armed {
		s.watch.drawing()
	}
	if s.mode.insert || s.sets[s.shift] == '0' || s.mode.noWrap {
		for _, b := range p {
			s.print(rune(b))
		}
		return
	}
	s.last = rune(p[len(p)-1])
	for len(p) > 0 {
		if s.wrap {
			s.wrapped()
		}
		n := min(len(p), s.cols-s.x)
		s.run(p[:n])
		p = p[n:]
		if s.x += n; s.x == s.cols {
			s.x, s.wrap = s.cols-1, true
		}
	}
}

// run writes p into the cursor's row, where it has room.
func (s *Screen) run(p []byte) {
	r, x := s.row, s.x
	r.changed = true
	if r.wide || r.marks != nil {
		r.split(x)
		r.split(x + len(p))
		r.forget(x, x+len(p))
	}
	if x > len(r.cells) {
		r.reach(x)
	}
	if need := x + len(p); need > len(r.cells) {
		if need > cap(r.cells) {
			r.reach(s.cols)
		}
		r.cells = r.cells[:need]
	}
	pen := s.pen
	cells := r.cells[x : x+len(p)]
	for i, b := range p {
		cells[i] = cell{rune(b), pen}
	}
}

// wrapped moves the cursor to the next row of the same line.
func (s *Screen) wrapped() {
	s.row.wrapped, s.row.changed = true, true
	s.x, s.wrap = 0, false
	s.down()
}

// print writes one character.
func (s *Screen) print(r rune) {
	if r >= '`' && r <= '~' && s.sets[s.shift] == '0' {
		r = lineDrawing[r-'`']
	}
	n := width(r)
	if n == 0 {
		s.combine(r)
		return
	}
	if n > s.cols {
		return
	}
	if s.armed {
		s.watch.drawing()
	}
	s.last = r
	if s.wrap && !s.mode.noWrap {
		s.wrapped()
	}
	if s.x+n > s.cols {
		if s.mode.noWrap {
			s.x = s.cols - n
		} else {
			s.row.erase(s.x, s.cols, s.cols, s.blank())
			s.wrapped()
		}
	}
	s.put(r, n)
	if s.x += n; s.x >= s.cols {
		s.x, s.wrap = s.cols-1, true
	}
}

// put writes a character of n cells at the cursor.
func (s *Screen) put(r rune, n int) {
	row, x := s.row, s.x
	if s.mode.insert {
		row.insert(x, n, s.cols, s.blank())
	}
	row.split(x)
	row.split(x + n)
	row.reach(x + n)
	if row.marks != nil {
		row.forget(x, x+n)
	}
	row.cells[x], row.changed = cell{r, s.pen}, true
	if n == 2 {
		row.wide = true
		row.cells[x].flags |= wideHead
		row.cells[x+1] = cell{0, s.pen}
		row.cells[x+1].flags |= wideTail
	}
}

// combine draws r onto the character before the cursor.
func (s *Screen) combine(r rune) {
	if s.armed {
		s.watch.drawing()
	}
	x := s.x - 1
	if s.wrap {
		x = s.x
	}
	if x > 0 && s.row.at(x).flags&wideTail != 0 {
		x--
	}
	s.row.mark(x, r)
}
