package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/terminal"
)

// window shows one channel of a session on a terminal, as a player shows a film. What came before is gone through on screens
// that nobody sees; then the present one is painted, and again whenever it has changed.
type window struct {
	who string // whose session it is, for the status line

	mu      sync.Mutex // what is read comes while something is painted
	looking looking
	caught  bool // up with what came before
	canvas
}

func newWindow(who string, only *uint32) *window {
	return &window{who: who, looking: newLooking(only)}
}

// take has an entry drawn on the screen of its channel. Caught says that what came before has been read.
func (w *window) take(e recording.Entry, caught bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.caught = w.caught || caught
	c := w.looking.take(e)
	if c == nil {
		return
	}
	switch e.Kind {
	case recording.PTYRequest:
		if pty, err := recording.DecodePTY(e.Data); err == nil {
			c.screen = terminal.NewScreen(terminal.Size(pty.Cols, pty.Rows))
		}
	case recording.Resize:
		if cols, rows, err := recording.DecodeResize(e.Data); err == nil && c.pty && c.screen != nil {
			c.screen.Resize(terminal.Size(cols, rows))
		}
	case recording.Output, recording.Stderr:
		w.draw(c, e)
	}
}

// draw draws output. A program without a terminal gets a screen as large as the window, and whole line ends.
func (w *window) draw(c *seen, e recording.Entry) {
	if c.screen == nil {
		c.screen = terminal.NewScreen(w.cols, w.rows-1)
	}
	data := e.Data
	if n, _ := stream(e.Kind); !c.pty {
		data = bytes.ReplaceAll(c.texts[n].Append(nil, data), []byte("\n"), []byte("\r\n"))
	}
	c.screen.Write(data)
}

// paint gives what makes a terminal of that size show the channel and the status line.
func (w *window) paint(cols, rows int) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.size(cols, rows)
	if !w.begin() {
		return w.buf
	}
	c := w.looking.now()
	if !w.caught || c == nil || c.screen == nil {
		w.lines(nil, w.status(c))
		return w.buf
	}
	if !c.pty {
		c.screen.Resize(w.cols, w.rows-1)
	}
	w.picture(c.screen, w.status(c))
	return w.buf
}

// status is the line at the bottom, what matters most first: the terminal may be narrow.
func (w *window) status(c *seen) string {
	state := "live"
	switch {
	case !w.caught:
		state = "reading what was"
	case c == nil && w.looking.only != nil:
		state = fmt.Sprintf("channel %d not open", *w.looking.only)
	case c == nil:
		state = "no program runs"
	}
	words := []string{state}
	if w.caught && c != nil && c.screen != nil {
		if note, cut := w.cutNote(c.screen); cut {
			words = append(words, note)
		}
	}
	words = append(words, "q leaves")
	if len(w.looking.channels) > 1 && c != nil {
		words = append(words, fmt.Sprintf("channel %d of %d", w.looking.current, len(w.looking.channels)))
	}
	return strings.Join(append(words, w.who), "  ")
}

// watched is a session to be shown in a window. leave ends the reading.
type watched struct {
	next  func() (recording.Entry, error)
	live  func() bool // what came before has been read
	leave func()
}

// show shows a session until it ends, or the person presses q or Ctrl-C or has no keyboard any more, or ctx ends.
func (w *window) show(ctx context.Context, t screening, s watched) error {
	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- w.read(s, changed) }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var painted time.Time
	stale := true // what is painted
	for {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			s.leave()
			return <-ended
		case key, ok := <-t.keys:
			if !ok || key == "q" || key == "Q" || key == "ctrl-c" {
				s.leave()
				return <-ended
			}
		case <-changed:
			stale = true
			timer.Reset(time.Until(painted.Add(leastFrame)))
		case <-timer.C:
			timer.Reset(mostFrame)
			cols, rows := t.size()
			if !stale && cols == w.cols && rows == w.rows {
				continue
			}
			painted, stale = time.Now(), false
			if err := t.write(w.paint(cols, rows)); err != nil {
				s.leave()
				<-ended
				return err
			}
		}
	}
}

// read takes in what comes, and says so, until there is no more.
func (w *window) read(s watched, changed chan<- struct{}) error {
	for {
		e, err := s.next()
		if err != nil {
			return err
		}
		w.take(e, s.live())
		select {
		case changed <- struct{}{}:
		default: // it is known
		}
	}
}
