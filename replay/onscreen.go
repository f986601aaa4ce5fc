package replay

import (
	"regexp"
	"strings"
	"time"

	"github.com/sekisho/sekisho/terminal"
)

const (
	// maxPiece is how many bytes are drawn between two looks at the screen.
	maxPiece = 1 << 10
	// maxGone is how many rows may go off the top of the screen meanwhile: more than maxPiece bytes can do.
	maxGone = 1 << 18
)

// onScreen reads lines off a screen: each when it went off the top or was written over, and the rest at the end. So a
// word that was typed with corrections, split by control sequences or wrapped is one word.
type onScreen struct {
	screen *terminal.Screen
	// edits tells also what was changed a little, as line editors and progress bars do many times a second.
	edits     bool
	main, alt rows
	part      []byte // wrapped rows that have gone, whose line goes on in the next one
	partAt    time.Duration
	index     map[uint64]int // of rows that are looked for
	spare     rows           // for compare
	buf       []byte
}

// rows are those that were on the screen at the last look, from its top.
type rows []seen

type seen struct {
	id      uint64
	wrapped bool
	text    string
	at      time.Duration // when it became this
	told    bool
	left    bool // it is on the screen still
}

// tell prints the row unless it is empty or that was done before.
func (r *seen) tell(print printer) {
	if !r.told && r.text != "" {
		print(r.at, r.text)
	}
	r.told = true
}

func newOnScreen(cols, rows int) *onScreen {
	s := &onScreen{screen: terminal.NewScreen(cols, rows), index: map[uint64]int{}}
	s.screen.Keep(maxGone)
	return s
}

type printer func(at time.Duration, text string)

func (s *onScreen) write(data []byte, at time.Duration, print printer) {
	for cuts := 0; len(data) > 0; cuts++ {
		n := min(len(data), maxPiece)
		if at := wipes.FindIndex(data[1:n]); at != nil && cuts < maxCuts {
			n = at[0] + 1
		}
		s.screen.Write(data[:n])
		data = data[n:]
		s.look(at, print)
	}
}

// wipes finds what erases much at once or changes to another screen: the screen is looked at before.
var wipes = regexp.MustCompile(`\x1b(c|\[[0-3]?J|\[\?(47|1047|1049)[hl])`)

// maxCuts is how often that is done in one piece of output.
const maxCuts = 128

// resize wraps lines anew: what is on the screen then is taken as it is. What does not fit any more is told before.
func (s *onScreen) resize(cols, rows uint32, at time.Duration, print printer) {
	below := s.below()
	whole := s.screen.Resize(terminal.Size(cols, rows))
	alternate := s.screen.Alternate()
	current := &s.main
	if alternate {
		current = &s.alt
	} else if below || !whole {
		s.flush(print)
	}
	s.gone(at, false, print)
	old := s.looker(*current)
	now := s.spare[:0]
	s.screen.Rows(func(r terminal.Row) {
		was := old.find(r.ID())
		is := s.see(r, was, at)
		if was != nil {
			was.left = true
			if alternate && was.text != is.text {
				was.tell(print)
			}
			is.told = was.told && strings.HasPrefix(was.text, is.text)
		}
		now = append(now, is)
	})
	for i := range s.alt {
		if r := &s.alt[i]; !r.left {
			r.tell(print)
		}
	}
	*current, s.spare = now, old.rows
}

// below reports whether there may be text behind or below the cursor, which is what goes when a window becomes smaller.
func (s *onScreen) below() bool {
	x, y := s.screen.Cursor()
	for i := y; i < len(s.main); i++ {
		if len(s.main[i].text) > x {
			return true
		}
		x = 0
	}
	return false
}

// look compares the screen with how it was at the last look.
func (s *onScreen) look(at time.Duration, print printer) {
	s.gone(at, true, print)
	if s.screen.Alternate() {
		if s.alt == nil {
			s.flush(print)
		}
		s.alt = s.compare(s.alt, at, print)
		return
	}
	for i := range s.alt {
		s.alt[i].tell(print)
	}
	s.alt = nil
	s.main = s.compare(s.main, at, print)
}

// gone tells the rows that went off the top, and with before what stood there before they were changed.
func (s *onScreen) gone(at time.Duration, before bool, print printer) {
	old := s.looker(s.main)
	s.screen.Gone(func(r terminal.Row) {
		was := old.find(r.ID())
		is := s.see(r, was, at)
		if was == nil {
			s.over(is, print)
			return
		}
		if same := was.text == is.text; !same && before && s.tells(was.text, is.text) {
			was.tell(print)
		} else if same && was.told {
			return
		}
		s.over(is, print)
		was.told = true
	})
}

// see is a row as it is now. Where that is as it was, it came at that time.
func (s *onScreen) see(r terminal.Row, was *seen, at time.Duration) seen {
	is := seen{id: r.ID(), wrapped: r.Wrapped(), at: at}
	same := was != nil && !r.Changed()
	if !same {
		s.buf = r.Append(s.buf[:0])
		same = was != nil && was.text == string(s.buf)
	}
	if same {
		is.text, is.at = was.text, was.at
	} else {
		is.text = string(s.buf)
	}
	return is
}

// over is a row that nothing can change any more.
func (s *onScreen) over(r seen, print printer) {
	s.part, s.partAt = append(s.part, r.text...), max(s.partAt, r.at)
	if !r.wrapped || len(s.part) >= maxLine {
		s.endPart(print)
	}
}

// endPart tells a line of which all rows have gone.
func (s *onScreen) endPart(print printer) {
	print(s.partAt, string(s.part))
	s.part, s.partAt = s.part[:0], 0
}

// compare tells the rows that are not what they were, or not there any more, and gives those that are.
func (s *onScreen) compare(was rows, at time.Duration, print printer) rows {
	old := s.looker(was)
	now := s.spare[:0]
	s.screen.Rows(func(r terminal.Row) {
		before := old.find(r.ID())
		is := s.see(r, before, at)
		if before != nil {
			before.left = true
			if before.text == is.text {
				is.told = before.told
			} else if s.tells(before.text, is.text) {
				before.tell(print)
			}
		}
		now = append(now, is)
	})
	for i := range was {
		if !was[i].left {
			was[i].tell(print)
		}
	}
	s.spare = was
	return now
}

// looker finds rows by their ids. They are looked for in the order in which they stand, most often.
type looker struct {
	rows    rows
	next    int
	index   map[uint64]int
	indexed bool
}

func (s *onScreen) looker(rows rows) *looker { return &looker{rows: rows, index: s.index} }

func (l *looker) find(id uint64) *seen {
	if l.next < len(l.rows) && l.rows[l.next].id == id {
		l.next++
		return &l.rows[l.next-1]
	}
	if !l.indexed {
		l.indexed = true
		clear(l.index)
		for i := range l.rows {
			l.index[l.rows[i].id] = i
		}
	}
	i, ok := l.index[id]
	if !ok {
		return nil
	}
	l.next = i + 1
	return &l.rows[i]
}

// tells reports whether old is worth telling now that text stands in its place: not when it was only added to, and only
// with edits when it was changed a little.
func (s *onScreen) tells(old, text string) bool {
	begin := 0
	for begin < min(len(old), len(text)) && old[begin] == text[begin] {
		begin++
	}
	if begin == len(old) {
		return false
	}
	if s.edits || text == "" {
		return true
	}
	end := 0
	for end < min(len(old), len(text))-begin && old[len(old)-1-end] == text[len(text)-1-end] {
		end++
	}
	return 2*(begin+end) < min(len(old), len(text))
}

// flush tells what is still on the screen, and takes it as told.
func (s *onScreen) flush(print printer) {
	last := len(s.main)
	for last > 0 && s.main[last-1].text == "" {
		last--
	}
	for i := range s.main[:last] {
		if r := &s.main[i]; !r.told {
			r.told = true
			s.over(*r, print)
		}
	}
	if len(s.part) > 0 {
		s.endPart(print)
	}
	for i := range s.alt {
		s.alt[i].tell(print)
	}
}
