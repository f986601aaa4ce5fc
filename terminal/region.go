package terminal

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// start is a place where a command may begin.
type start struct {
	ok     bool
	id     uint64 // of the row
	x      int
	prompt string // what stands to the left of it in the logical line
	right  string // what stands in the rest of the row, such as zsh's right prompt, from column rightX on
	rightX int
}

// here gives the cursor's place as a start.
func (c *Commands) here() start {
	s := c.screen
	r, x := s.row, s.x
	if s.wrap {
		x++
	}
	at := start{ok: true, id: r.id, x: x, prompt: c.before(s.y+len(s.grid.history), x)}
	for at.rightX = x; at.rightX < r.end() && r.blank(at.rightX); at.rightX++ {
	}
	if end := r.end(); at.rightX >= x+2 && end >= s.cols-4 {
		at.right = string(r.append(nil, at.rightX, end))
		c.side = at
	}
	return at
}

// before gives the text of a logical line up to column x of row i.
func (c *Commands) before(i, x int) string {
	g := c.screen.grid
	var text []byte
	for j := max(g.start(i), i-maxPrompt/c.screen.cols-1); j < i; j++ {
		text = g.line(j).append(text, 0, c.screen.cols)
	}
	text = g.line(i).append(text, 0, x)
	return string(text[max(0, len(text)-maxPrompt):])
}

// cursorLine gives the cursor's row, counted with the history.
func (c *Commands) cursorLine() int { return c.screen.y + len(c.screen.grid.history) }

// after finds where prompt ends in the line that begins in row i.
func (c *Commands) after(i int, prompt string) (row, x int, ok bool) {
	g := c.screen.grid
	rest := []byte(prompt)
	var piece []byte
	for ; ; i++ {
		r := g.line(i)
		for x = 0; x < c.screen.cols; x++ {
			if len(rest) == 0 {
				return i, x, true
			}
			piece = r.appendCell(piece[:0], x)
			if !bytes.HasPrefix(rest, piece) {
				return 0, 0, false
			}
			rest = rest[len(piece):]
		}
		if len(rest) == 0 {
			return i, x, true
		}
		if !r.wrapped || i+1 >= g.lines() {
			return 0, 0, false
		}
	}
}

// search finds the last line from row from up to row to that begins with prompt, and gives where the prompt ends.
func (c *Commands) search(prompt string, from, to int) (row, x int, ok bool) {
	for i := from; i >= to && i >= 0; i-- {
		if row, x, ok = c.after(i, prompt); ok {
			return row, x, true
		}
	}
	return 0, 0, false
}

// confirm finds where a start stands now: the line may have been drawn anew elsewhere, or the window resized. still says
// that its prompt is there.
func (c *Commands) confirm(at start, last int) (row, x int, still bool) {
	own := c.screen.grid.find(at.id)
	if strings.TrimSpace(at.prompt) != "" {
		low := last - c.screen.rows
		if own >= 0 {
			low = c.screen.grid.start(own)
		}
		if row, x, still = c.search(at.prompt, last, low); still {
			return row, x, true
		}
		if row, x, still = c.search(at.prompt, low, last-2*c.screen.rows); still {
			return row, x, true
		}
	}
	return own, at.x, false
}

// lastLine gives the last row of a line that an editor has just taken: the cursor is below it, or above where the editor is
// about to draw it anew, with a shorter prompt.
func (c *Commands) lastLine() int {
	i := c.cursorLine()
	if c.screen.x == 0 && i > 0 {
		i--
	}
	if c.line.stopped != 0 {
		i = max(i, c.screen.grid.find(c.line.stopped))
	}
	return i
}

// joined gives the row where the line ends that the cursor is in.
func (c *Commands) joined() uint64 {
	g, i := c.screen.grid, c.cursorLine()
	if c.screen.x == 0 && i > 0 && c.screen.row.end() == 0 {
		i--
	}
	for i+1 < g.lines() && (g.line(i).wrapped || g.line(i).end() >= g.joint(i, c.screen.cols)) {
		i++
	}
	return g.line(i).id
}

// read gives the text from column x of row first to the end of row last. Rows that are full are taken for wrapped ones
// where full is set, because line editors wrap by themselves.
func (c *Commands) read(at start, first, x, last int, full bool) string {
	g, cols := c.screen.grid, c.screen.cols
	var text []byte
	for i := first; i <= last && len(text) <= maxCommand; i++ {
		r := g.line(i)
		end := r.end()
		if i == first {
			end = c.side.beside(r, at.without(r, end))
		}
		joined := i < last && (r.wrapped || full && end >= g.joint(i, cols))
		if joined {
			end = g.joint(i, cols)
		}
		if x < end {
			text = r.append(text, x, end)
		}
		if !joined {
			text = append(bytes.TrimRight(text, " "), '\n')
		}
		x = 0
	}
	return unindent(strings.TrimRight(string(text), " \n"), at.prompt)
}

// without gives the end of a row without the right prompt that was there when the user began to type.
func (s start) without(r *row, end int) int {
	if s.right == "" || s.rightX >= end || string(r.append(nil, s.rightX, end)) != s.right {
		return end
	}
	for end = s.rightX; end > 0 && r.blank(end-1); end-- {
	}
	return end
}

// beside gives the end of a row without what stands where the last right prompt stood: it may have another time in it.
func (s start) beside(r *row, end int) int {
	if s.right == "" || s.rightX+utf8.RuneCountInString(s.right) != end || s.rightX < 2 || !r.blank(s.rightX-1) || !r.blank(s.rightX-2) {
		return end
	}
	s.right = string(r.append(nil, s.rightX, end))
	return s.without(r, end)
}

// unindent takes away what fish puts before the second line and the following ones, so that they stand below the first.
func unindent(text, prompt string) string {
	n := 0
	for _, r := range prompt {
		n += width(r)
	}
	lines := strings.Split(text, "\n")
	if n < 2 || len(lines) == 1 {
		return text
	}
	indent := strings.Repeat(" ", n)
	for _, l := range lines[1:] {
		if !strings.HasPrefix(l, indent) && l != "" {
			return text
		}
	}
	for i, l := range lines[1:] {
		lines[i+1] = strings.TrimPrefix(l, indent)
	}
	return strings.Join(lines, "\n")
}
