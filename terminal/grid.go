package terminal

// grid is the rows of one screen, and for the main one those that went off its top, as far as they are kept.
type grid struct {
	rows    []*row
	history []*row // oldest first
	keep    int    // how many of them
	ids     *uint64
}

func (g *grid) fresh(blank style) *row {
	*g.ids++
	return &row{id: *g.ids, rest: blank, changed: true}
}

// renew makes a row that is gone into a new one.
func (g *grid) renew(r *row, blank style) *row {
	r.clear(blank)
	*g.ids++
	r.id = *g.ids
	return r
}

// scrollUp moves rows top to bottom-1 up by n, and gives blank ones at the bottom.
func (g *grid) scrollUp(top, bottom, n int, blank style) {
	if n = min(n, bottom-top); n <= 0 {
		return
	}
	if n == 1 {
		gone := g.retire(g.rows[top], top == 0, blank)
		copy(g.rows[top:bottom-1], g.rows[top+1:bottom])
		g.rows[bottom-1] = gone
		return
	}
	spare := g.rows[top : top+n]
	if top == 0 && g.keep > 0 {
		spare = g.retireAll(spare)
	}
	gone := make([]*row, n)
	for i := range gone {
		if i < len(spare) {
			gone[i] = g.renew(spare[i], blank)
		} else {
			gone[i] = g.fresh(blank)
		}
	}
	copy(g.rows[top:], g.rows[top+n:bottom])
	copy(g.rows[bottom-n:bottom], gone)
}

// retireAll takes rows off the top of the screen, and gives those that can be used anew. Empty rows at their end are not
// kept: a program that scrolls far beyond its text, again and again, costs little.
func (g *grid) retireAll(rows []*row) (spare []*row) {
	n := len(rows)
	for n > 0 && len(rows[n-1].cells) == 0 && !rows[n-1].wrapped {
		n--
	}
	spare = append(spare, rows[n:]...)
	all := append(g.history, rows[:n]...)
	over := max(len(all)-g.keep, 0)
	spare = append(spare, all[:over]...)
	g.history = append(all[:0], all[over:]...)
	return spare
}

// retire takes a row off the screen and gives a blank one for it.
func (g *grid) retire(r *row, kept bool, blank style) *row {
	if !kept || g.keep == 0 {
		return g.renew(r, blank)
	}
	if len(g.history) < g.keep {
		g.history = append(g.history, r)
		return g.fresh(blank)
	}
	oldest := g.history[0]
	copy(g.history, g.history[1:])
	g.history[len(g.history)-1] = r
	return g.renew(oldest, blank)
}

// scrollDown is the way back: blank rows at the top, and what goes off the bottom is gone.
func (g *grid) scrollDown(top, bottom, n int, blank style) {
	if n = min(n, bottom-top); n <= 0 {
		return
	}
	gone := append([]*row(nil), g.rows[bottom-n:bottom]...)
	copy(g.rows[top+n:bottom], g.rows[top:bottom-n])
	for i, r := range gone {
		g.rows[top+i] = g.renew(r, blank)
	}
}

// size makes the grid have n rows, without moving text between them: rows go off the top as long as the cursor's would
// be lost, then empty ones off the bottom. It gives the cursor's new row.
func (g *grid) size(n, y int) int {
	if over := y + 1 - n; over > 0 {
		for range over {
			g.retire(g.rows[0], true, style{})
			g.rows = g.rows[1:]
		}
		y -= over
	}
	if len(g.rows) > n {
		g.rows = g.rows[:n]
	}
	for len(g.rows) < n {
		g.rows = append(g.rows, g.fresh(style{}))
	}
	return y
}

// line gives row i, which counts from the oldest of the history.
func (g *grid) line(i int) *row {
	if i < len(g.history) {
		return g.history[i]
	}
	return g.rows[i-len(g.history)]
}

func (g *grid) lines() int { return len(g.history) + len(g.rows) }

// find gives the index of the row with this id as line counts, looking from the newest, or -1.
func (g *grid) find(id uint64) int {
	for i := g.lines() - 1; i >= 0; i-- {
		if g.line(i).id == id {
			return i
		}
	}
	return -1
}

// start gives the first row of the logical line that row i is part of.
func (g *grid) start(i int) int {
	for i > 0 && g.line(i-1).wrapped {
		i--
	}
	return i
}

// joint gives the end of row i, which goes on in the next one: a wide character that had no room left the last column empty.
func (g *grid) joint(i, cols int) int {
	if i+1 < g.lines() && g.line(i).blank(cols-1) && g.line(i+1).at(0).flags&wideHead != 0 {
		return cols - 1
	}
	return cols
}
