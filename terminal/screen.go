package terminal

// Bounds of a screen. What a recording says beyond them is taken as the nearest that is allowed.
const (
	// minColumns lets a wide character stand in a row; maxColumns, maxRows and maxCells bound the size of a screen. A
	// window that fills a screen of 4K has some 100,000 cells.
	minColumns = 2
	maxColumns = 1000
	maxRows    = 1000
	maxCells   = 1 << 18
	// maxReflow is how many cells may be wrapped anew at once for new sizes, and reflowRate how many more for each byte that
	// is drawn. A real window is far from it; beyond it lines are cut.
	maxReflow  = 1 << 25
	reflowRate = 32
	// maxOSC is the longest operating system command that is looked at.
	maxOSC = 32 << 10
)

// Screen is an emulated terminal. It understands what programs send to a terminal of the kind xterm: ECMA-48, DEC's VT
// series as far as xterm follows it, and the marks that shells send (OSC 7, 133, 633). It answers nothing, and has no
// left and right margins.
//
// A Screen is made by [NewScreen]. It may be used by one goroutine at a time.
type Screen struct {
	parser
	cols, rows int
	main, alt  grid
	grid       *grid // main or alt
	row        *row  // the cursor's, in grid
	ids        uint64

	cursor
	saved       [2]cursor // by DECSC: of the main screen, of the alternate one
	top, bottom int       // the scrolling region: rows top to bottom-1
	tabs        []bool
	last        rune // what REP repeats
	mode        mode
	reflows     int // cells that may still be wrapped anew

	title     string
	directory string
	watch     watcher
	armed     bool // watch wants to hear before something is drawn
}

// cursor is what DECSC saves.
type cursor struct {
	x, y int
	// wrap says that a character was written into the last column, and that the next one goes to the next row.
	wrap   bool
	pen    style
	origin bool
	sets   [2]byte // the character sets G0 and G1: 'B' for ASCII, '0' for line drawing
	shift  int     // which of them is used
}

// mode is what stays when a program has switched it.
type mode struct {
	insert, noWrap, newline, hidden, reverse, paste bool
}

// watcher hears of what happens on a screen, before the screen changes. It must not change it.
type watcher interface {
	drawing()                              // something is about to be drawn; only where Screen.armed asks for it
	feed()                                 // the cursor goes down, as a newline makes it
	pasting(on bool)                       // bracketed paste was switched: a line editor begins or stops reading
	marked(family, kind byte, rest string) // an OSC 133 ('1') or 633 ('6') came
	moved()                                // a directory was told
	switched(alternate bool)               // between main and alternate screen
}

// NewScreen gives an empty screen of 2 to 1000 columns and 1 to 1000 rows, fewer where it would have more than 262,144 cells,
// whatever it is asked for. 0 stands for 80 and 24.
func NewScreen(cols, rows int) *Screen {
	s := &Screen{reflows: maxReflow}
	s.main.ids, s.alt.ids, s.grid = &s.ids, &s.ids, &s.main
	s.cols, s.rows = boundedSize(cols, rows, 80, 24)
	s.reset()
	return s
}

// Size gives a size as a recording has it in the form that [NewScreen] and [Screen.Resize] take: no larger than a screen can
// be, and 0 for what is not known.
func Size(cols, rows uint32) (int, int) {
	cols = min(cols, maxColumns)
	return int(cols), int(min(rows, maxRows, maxCells/max(cols, minColumns)))
}

// boundedSize gives the nearest size that is allowed; where a number is 0, the other one is meant.
func boundedSize(cols, rows, otherCols, otherRows int) (int, int) {
	cols = bounded(cols, otherCols, minColumns, maxColumns)
	return cols, min(bounded(rows, otherRows, 1, maxRows), maxCells/cols)
}

func bounded(n, otherwise, least, most int) int {
	if n <= 0 {
		return otherwise
	}
	return max(least, min(n, most))
}

// reset is RIS: as the screen was in the beginning.
func (s *Screen) reset() {
	s.home()
	for _, g := range []*grid{&s.main, &s.alt} {
		g.size(s.rows, 0)
		for _, r := range g.rows {
			g.renew(r, style{})
		}
	}
	s.grid, s.mode, s.saved, s.title = &s.main, mode{}, [2]cursor{}, ""
	s.saved[0].sets, s.saved[1].sets = [2]byte{'B', 'B'}, [2]byte{'B', 'B'}
	s.resetTabs(0)
	s.place()
}

// home is what DECSTR resets, and the cursor in the corner.
func (s *Screen) home() {
	s.cursor = cursor{sets: [2]byte{'B', 'B'}}
	s.top, s.bottom = 0, s.rows
}

func (s *Screen) resetTabs(from int) {
	tabs := make([]bool, s.cols)
	copy(tabs, s.tabs[:min(from, len(s.tabs))])
	for i := from; i < s.cols; i++ {
		tabs[i] = i%8 == 0
	}
	s.tabs = tabs
}

// place makes row the cursor's.
func (s *Screen) place() { s.row = s.grid.rows[s.y] }

// Size gives columns and rows.
func (s *Screen) Size() (cols, rows int) { return s.cols, s.rows }

// Cursor gives the cursor's column and row, both from 0.
func (s *Screen) Cursor() (x, y int) { return s.x, s.y }

// Alternate reports whether a full-screen program has switched to the alternate screen.
func (s *Screen) Alternate() bool { return s.grid == &s.alt }

// Title is the window's title as a program set it, at most 256 bytes without control characters.
func (s *Screen) Title() string { return s.title }

// Directory is the path that was told last by OSC 7 or its like, or "".
func (s *Screen) Directory() string { return s.directory }

// Line gives the text of row y without blanks at its end.
func (s *Screen) Line(y int) string {
	if y < 0 || y >= s.rows {
		return ""
	}
	r := s.grid.rows[y]
	return string(r.append(nil, 0, r.end()))
}

// Text gives all rows, each with a newline. Rows that are continued in the next one are not joined.
func (s *Screen) Text() string {
	var text []byte
	for _, r := range s.grid.rows {
		text = append(r.append(text, 0, r.end()), '\n')
	}
	return string(text)
}

// Resize changes the size as [NewScreen] takes it. On the main screen lines that were wrapped are wrapped anew; the
// alternate screen is cut or filled, because its program draws it anew. Whole says that no line had to be cut for there
// having been too many sizes.
func (s *Screen) Resize(cols, rows int) (whole bool) {
	cols, rows = boundedSize(cols, rows, s.cols, s.rows)
	if cols == s.cols && rows == s.rows {
		return true
	}
	if s.Alternate() {
		m := &s.saved[0]
		whole = s.reflow(cols, m)
		m.y = s.main.size(rows, min(m.y, s.rows-1))
		s.y = s.alt.size(rows, s.y)
	} else {
		whole = s.reflow(cols, &s.cursor)
		s.y = s.main.size(rows, s.y)
		s.alt.size(rows, 0)
	}
	old := s.cols
	s.cols, s.rows = cols, rows
	s.top, s.bottom = 0, rows
	s.resetTabs(min(old, cols))
	s.fit()
	return whole
}

// reflow wraps the lines of the main screen anew, unless that was done too often for what was drawn.
func (s *Screen) reflow(cols int, c *cursor) bool {
	if cols == s.cols {
		return true
	}
	cost := s.main.lines()
	for i := range s.main.lines() {
		cost += len(s.main.line(i).cells)
	}
	if cost > s.reflows {
		return false
	}
	s.reflows -= cost
	s.main.reflow(s.cols, cols, c)
	return true
}

// fit brings all that names a place into the screen's size.
func (s *Screen) fit() {
	for _, g := range []*grid{&s.main, &s.alt} {
		for _, r := range g.rows {
			if len(r.cells) > s.cols {
				r.split(s.cols)
				r.cells, r.changed = r.cells[:s.cols], true
				r.forget(s.cols, maxColumns)
			}
		}
	}
	for _, c := range []*cursor{&s.cursor, &s.saved[0], &s.saved[1]} {
		c.x, c.y = max(0, min(c.x, s.cols-1)), max(0, min(c.y, s.rows-1))
		c.wrap = c.wrap && c.x == s.cols-1
	}
	s.place()
}
