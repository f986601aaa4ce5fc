package terminal

// reflow wraps the lines of g for cols columns instead of old. The cursor stays with its character.
func (g *grid) reflow(old, cols int, c *cursor) {
	if old == cols {
		return
	}
	at := min(len(g.history)+c.y, g.lines()-1)
	bottom := g.lines() // empty rows below cursor and text are no text
	for bottom > at+1 && g.line(bottom-1).end() == 0 && len(g.line(bottom-1).cells) == 0 {
		bottom--
	}
	var rows []*row
	cursorRow, cursorCol := 0, c.x
	for i := 0; i < bottom; {
		end := i
		for end < bottom-1 && g.line(end).wrapped {
			end++
		}
		first := len(rows)
		rows = append(rows, g.rewrap(i, end, old, cols)...)
		if at >= i && at <= end {
			offset := (at-i)*old + c.x
			cursorRow, cursorCol = locate(rows[first:], offset, cols)
			cursorRow += first
		}
		i = end + 1
	}
	for len(rows) <= cursorRow {
		rows = append(rows, g.fresh(style{}))
	}
	g.install(rows, cursorRow, c)
	c.x, c.wrap = min(cursorCol, cols-1), false
}

// rewrap gives the rows of one logical line, which was in rows from to end of old columns, in cols columns. Where the
// line fits one row before and after, the row stays the same one.
func (g *grid) rewrap(from, end, old, cols int) []*row {
	first := g.line(from)
	if from == end && len(first.cells) <= cols {
		first.wrapped, first.changed = false, true
		return []*row{first}
	}
	var cells []cell
	marks := map[int][]rune{}
	for i := from; i <= end; i++ {
		r := g.line(i)
		if i < end {
			r.reach(old)
			r.cells = r.cells[:g.joint(i, old)]
		} else {
			r.cells = r.cells[:r.end()]
		}
		for x, m := range r.marks {
			marks[len(cells)+x] = m
		}
		cells = append(cells, r.cells[:min(len(r.cells), old)]...)
	}
	return g.wrap(first.id, cells, marks, cols)
}

// wrap cuts cells into rows. The first keeps the id, so that what points there still does.
func (g *grid) wrap(id uint64, cells []cell, marks map[int][]rune, cols int) (rows []*row) {
	for from := 0; from < len(cells) || len(rows) == 0; {
		to := min(from+cols, len(cells))
		if to < len(cells) && to > from+1 && cells[to].flags&wideTail != 0 {
			to-- // a wide character goes to the next row whole
		}
		r := g.fresh(style{})
		if len(rows) == 0 {
			r.id = id
		}
		r.cells = append(r.cells, cells[from:to]...)
		for i, c := range r.cells {
			r.wide = r.wide || c.flags&(wideHead|wideTail) != 0
			if m := marks[from+i]; m != nil {
				if r.marks == nil {
					r.marks = map[int][]rune{}
				}
				r.marks[i] = m
			}
		}
		r.wrapped = to < len(cells)
		rows, from = append(rows, r), to
	}
	return rows
}

// locate finds the place of the cell at an offset of a logical line.
func locate(rows []*row, offset, cols int) (y, x int) {
	for y < len(rows)-1 && offset >= len(rows[y].cells) {
		offset -= len(rows[y].cells)
		y++
	}
	for offset > cols { // beyond the text
		offset -= cols
		y++
	}
	return y, offset
}

// install takes rows as history and screen, so that the cursor's row is on the screen, as near to where it was as can be.
func (g *grid) install(rows []*row, cursorRow int, c *cursor) {
	height := len(g.rows)
	top := max(len(rows)-height, 0)
	top = min(top, cursorRow)
	if len(g.history) > 0 || len(rows) > height {
		top = min(max(top, cursorRow-c.y), cursorRow)
	}
	c.y = cursorRow - top
	history := rows[:top]
	g.history = append([]*row(nil), history[max(0, len(history)-g.keep):]...)
	g.rows = append([]*row(nil), rows[top:]...)
	if len(g.rows) > height {
		g.rows = g.rows[:height]
	}
	for len(g.rows) < height {
		g.rows = append(g.rows, g.fresh(style{}))
	}
}
