package gateway

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// switched knows what a program has switched at the user's terminal, so that it can be undone where the session ends under
// the program: without that the person is left in an editor's screen that nobody draws any more, perhaps without a cursor,
// and their mouse and their pasting still send what the editor had asked for.
type switched struct {
	watched atomic.Bool // there is a terminal

	mu   sync.Mutex
	on   []int  // private modes (DECSET, xterm's ctlseqs) that are on and were off, at the most all of undone
	off  []int  // that are off and were on
	tail []byte // the beginning of a sequence that is not whole yet
}

// undone are the modes that are switched back. The alternate screens are the last: what was before them comes back as it
// was.
var (
	undone  = []int{1, 9, 66, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2026, 2031, 47, 1047, 1049}
	usually = []int{7, 25} // on unless somebody says otherwise: wrapping, and the cursor
)

const maxModes = 64 // bytes of a sequence that is looked at

var privateMode = []byte("\x1b[?")

// see takes what goes to the user. It may come in any pieces.
func (s *switched) see(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tail) > 0 {
		p = append(s.tail, p...)
	}
	s.tail = nil
	for {
		at := bytes.IndexByte(p, 0x1b)
		if at < 0 {
			return
		}
		p = p[at:]
		end, whole := cutModes(p)
		if !whole {
			s.tail = bytes.Clone(p)
			return
		}
		s.take(p[:end])
		p = p[end:]
	}
}

// cutModes tells how far the sequence goes that p begins with, and whether that can be told yet.
func cutModes(p []byte) (end int, whole bool) {
	for i, b := range p {
		switch {
		case i < len(privateMode):
			if b != privateMode[i] {
				return max(i, 1), true
			}
		case b >= '0' && b <= '9' || b == ';':
			if i >= maxModes {
				return i, true
			}
		case b == 0x1b:
			return i, true
		default:
			return i + 1, true
		}
	}
	return 0, false
}

// take remembers one sequence, if it switches modes.
func (s *switched) take(sequence []byte) {
	numbers, ok := bytes.CutPrefix(sequence, privateMode)
	if !ok || len(numbers) == 0 {
		return
	}
	last := numbers[len(numbers)-1]
	if last != 'h' && last != 'l' {
		return
	}
	for number := range strings.SplitSeq(string(numbers[:len(numbers)-1]), ";") {
		mode, err := strconv.Atoi(number)
		switch {
		case err != nil:
		case slices.Contains(undone, mode):
			s.on = with(s.on, mode, last == 'h')
		case slices.Contains(usually, mode):
			s.off = with(s.off, mode, last == 'l')
		}
	}
}

// with gives the list with a mode in it, or without it.
func with(list []int, mode int, there bool) []int {
	list = slices.DeleteFunc(list, func(m int) bool { return m == mode })
	if there {
		list = append(list, mode)
	}
	return list
}

// undo gives what switches everything back; nothing where nothing was switched.
func (s *switched) undo() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.on)+len(s.off) == 0 {
		return ""
	}
	out := "\x1b[0m"
	for _, mode := range undone {
		if slices.Contains(s.on, mode) {
			out += fmt.Sprintf("\x1b[?%dl", mode)
		}
	}
	for _, mode := range s.off {
		out += fmt.Sprintf("\x1b[?%dh", mode)
	}
	return out
}

// shown is where a program's output goes: to the user, with a look at what it switches.
type shown struct{ *channel }

func (s shown) Write(p []byte) (int, error) {
	if s.switched.watched.Load() {
		s.switched.see(p)
	}
	return s.near.Write(p)
}
