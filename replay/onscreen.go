package replay

import (
	"regexp"
	"slices"
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
	known     map[uint64]int // of compare
}

// rows are those that were on the screen at the last look, from its top.
type rows []seen

type seen struct {
	id      uint64
	wrapped bool
	text    string
	at      time.Duration // when it became this
	told    bool
}

// tell prints the row unless it is empty or that was done before.
func (r *seen) tell(print printer) {
	if !r.told && r.text != "" {
		print(r.at, r.text)
	}
	r.told = true
}

func newOnScreen(cols, rows int) *onScreen {
	s := &onScreen{screen: terminal.NewScreen(cols, rows), known: map[uint64]int{}}
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

// resize wraps lines anew: what is on the screen then is taken as it is.
func (s *onScreen) resize(cols, rows uint32, at time.Duration, print printer) {
	s.screen.Resize(terminal.Size(cols, rows))
	s.screen.Gone(func(_ uint64, wrapped bool, text []byte) { s.gone(at, wrapped, text, print) })
	current := &s.main
	if s.screen.Alternate() {
		current = &s.alt
	}
	*current = nil
	s.screen.Rows(func(id uint64, wrapped bool, text []byte) {
		*current = append(*current, seen{id: id, wrapped: wrapped, text: string(text), at: at})
	})
}

// look compares the screen with how it was at the last look.
func (s *onScreen) look(at time.Duration, print printer) {
	s.screen.Gone(func(id uint64, wrapped bool, text []byte) {
		i := slices.IndexFunc(s.main, func(r seen) bool { return r.id == id })
		if i < 0 {
			s.gone(at, wrapped, text, print)
			return
		}
		r := &s.main[i]
		switch same := r.text == string(text); {
		case same && !r.told:
			s.gone(r.at, wrapped, text, print)
		case !same && s.tells(r.text, string(text)):
			r.tell(print)
			fallthrough
		case !same:
			s.gone(at, wrapped, text, print)
		}
		r.told = true
	})
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

// gone is a row that nothing can change any more.
func (s *onScreen) gone(at time.Duration, wrapped bool, text []byte, print printer) {
	s.part, s.partAt = append(s.part, text...), max(s.partAt, at)
	if !wrapped || len(s.part) >= maxLine {
		print(s.partAt, string(s.part))
		s.part, s.partAt = s.part[:0], 0
	}
}

// compare tells the rows that are not what they were, or not there any more, and gives those that are.
func (s *onScreen) compare(old rows, at time.Duration, print printer) rows {
	known := s.known
	clear(known)
	for i := range old {
		known[old[i].id] = i
	}
	now := make(rows, 0, len(old))
	s.screen.Rows(func(id uint64, wrapped bool, text []byte) {
		r := seen{id: id, wrapped: wrapped, at: at}
		i, ok := known[id]
		switch {
		case ok && old[i].text == string(text):
			r = old[i]
			r.wrapped = wrapped
		case ok && s.tells(old[i].text, string(text)):
			old[i].tell(print)
			r.text = string(text)
		default:
			r.text = string(text)
		}
		delete(known, id)
		now = append(now, r)
	})
	for i := range old {
		if _, left := known[old[i].id]; left {
			old[i].tell(print)
		}
	}
	return now
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
			s.gone(r.at, r.wrapped, []byte(r.text), print)
		}
	}
	if len(s.part) > 0 {
		s.gone(s.partAt, false, nil, print)
	}
	for i := range s.alt {
		s.alt[i].tell(print)
	}
}
