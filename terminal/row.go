package terminal

import (
	"maps"
	"slices"
	"unicode/utf8"
)

// cell is one place of the grid. Its character is 0 where nothing was written.
type cell struct {
	r rune
	style
}

// maxMarks is how many characters may be drawn onto one cell: what real scripts need, and no more.
const maxMarks = 4

// row is one row of the grid.
type row struct {
	// id tells the row from all others that ever were on this screen. It moves with the row when the screen scrolls.
	id    uint64
	cells []cell // those that were written or erased; the rest looks like rest
	rest  style  // only its background is ever set
	// wrapped says that the text goes on in the next row without a newline.
	wrapped bool
	changed bool           // since Screen.Rows was called last
	wide    bool           // there may be wide characters
	marks   map[int][]rune // drawn onto the cells, by column
}

// clear makes the row empty.
func (r *row) clear(blank style) {
	r.cells, r.rest, r.wrapped, r.wide, r.marks, r.changed = r.cells[:0], blank, false, false, nil, true
}

// reach makes cells[:n] exist.
func (r *row) reach(n int) {
	if n <= len(r.cells) {
		return
	}
	r.changed = true
	old := len(r.cells)
	r.cells = slices.Grow(r.cells, n-old)[:n]
	for i := old; i < n; i++ {
		r.cells[i] = cell{style: r.rest}
	}
}

// at gives the cell in column x.
func (r *row) at(x int) cell {
	if x < len(r.cells) {
		return r.cells[x]
	}
	return cell{style: r.rest}
}

// split takes the halves of wide characters away that stand across the border before column x.
func (r *row) split(x int) {
	if !r.wide || x <= 0 || x >= len(r.cells) || r.cells[x].flags&wideTail == 0 {
		return
	}
	r.changed = true
	for _, i := range []int{x - 1, x} {
		r.cells[i] = cell{style: style{bg: r.cells[i].bg}}
		delete(r.marks, i)
	}
}

// erase makes columns from to to-1 blank.
func (r *row) erase(from, to, cols int, blank style) {
	if from >= to {
		return
	}
	r.changed = true
	r.split(from)
	r.split(to)
	if to >= cols {
		r.reach(from)
		r.cells, r.rest, r.wrapped = r.cells[:from], blank, false
		r.forget(from, cols)
		return
	}
	r.reach(to)
	for i := from; i < to; i++ {
		r.cells[i] = cell{style: blank}
	}
	r.forget(from, to)
}

// forget takes the marks off columns from to to-1. It is called for each character that is written.
func (r *row) forget(from, to int) {
	if to-from < len(r.marks) {
		for x := from; x < to; x++ {
			delete(r.marks, x)
		}
	} else {
		maps.DeleteFunc(r.marks, func(x int, _ []rune) bool { return x >= from && x < to })
	}
	if len(r.marks) == 0 {
		r.marks = nil
	}
}

// insert moves what stands from column x on by n to the right and makes room of blanks; delete is the way back.
func (r *row) insert(x, n, cols int, blank style) {
	n, r.changed = min(n, cols-x), true
	r.split(x)
	r.split(cols - n)
	r.reach(x)
	length := min(len(r.cells)+n, cols)
	r.reach(length)
	copy(r.cells[x+n:length], r.cells[x:length])
	for i := x; i < x+n; i++ {
		r.cells[i] = cell{style: blank}
	}
	r.shift(x, n, cols)
}

func (r *row) delete(x, n, cols int, blank style) {
	n, r.changed = min(n, cols-x), true
	r.split(x)
	r.split(x + n)
	length := len(r.cells)
	if x+n < length {
		copy(r.cells[x:], r.cells[x+n:])
		r.cells = r.cells[:length-n]
	} else {
		r.cells = r.cells[:min(x, length)]
	}
	if r.rest != blank { // the blanks come in at the end of the row
		r.reach(cols - n)
		r.rest = blank
	}
	r.shift(x, -n, cols)
	r.wrapped = false
}

// shift moves the marks on the columns from x on.
func (r *row) shift(x, n, cols int) {
	if len(r.marks) == 0 {
		return
	}
	moved := map[int][]rune{}
	for i, m := range r.marks {
		switch {
		case i < x:
			moved[i] = m
		case i+n >= x && i+n < cols:
			moved[i+n] = m
		}
	}
	r.marks = moved
}

// mark draws a combining character onto column x.
func (r *row) mark(x int, c rune) {
	if x < 0 || x >= len(r.cells) || len(r.marks[x]) >= maxMarks {
		return
	}
	if r.marks == nil {
		r.marks = map[int][]rune{}
	}
	r.marks[x], r.changed = append(r.marks[x], c), true
}

// append adds the text of columns from to to-1. What was never written is spaces.
func (r *row) append(dst []byte, from, to int) []byte {
	for x := from; x < to; x++ {
		dst = r.appendCell(dst, x)
	}
	return dst
}

func (r *row) appendCell(dst []byte, x int) []byte {
	c := r.at(x)
	switch {
	case c.flags&wideTail != 0:
		return dst
	case c.r == 0:
		return append(dst, ' ')
	}
	dst = utf8.AppendRune(dst, c.r)
	if r.marks == nil {
		return dst
	}
	for _, m := range r.marks[x] {
		dst = utf8.AppendRune(dst, m)
	}
	return dst
}

// end is the column after the last that holds something else than a blank.
func (r *row) end() int {
	n := len(r.cells)
	for n > 0 && r.blank(n-1) {
		n--
	}
	return n
}

// blank reports whether nothing is to be seen in column x but its background.
func (r *row) blank(x int) bool {
	c := r.at(x)
	return (c.r == 0 || c.r == ' ') && c.flags&wideTail == 0
}
