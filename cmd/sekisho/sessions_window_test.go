package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/term"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/terminal"
)

func ptyOf(channel, cols, rows uint32) recording.Entry {
	return entry(recording.PTYRequest, channel, string(recording.PTY{Term: "xterm", Cols: cols, Rows: rows}.Encode()))
}

// through is what stands on a terminal of the size after a window has painted.
func through(w *window, cols, rows int) []string {
	s := terminal.NewScreen(cols, rows)
	w.painted = nil
	s.Write(w.paint(cols, rows))
	lines := strings.Split(strings.TrimSuffix(s.Text(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

func look(t *testing.T, w *window, cols, rows int, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, through(w, cols, rows)); d != "" {
		t.Errorf("%dx%d (-want +got)\n%s", cols, rows, d)
	}
}

// What came before is not painted; the present screen is, whole where there is room, and around the cursor where there is not.
func TestWindowPaintsThePresent(t *testing.T) {
	w := newWindow("mei", nil)
	past := []recording.Entry{ptyOf(1, 30, 4), entry(recording.Shell, 1, ""), entry(recording.Output, 1, strings.Repeat("gone by\r\n", 100))}
	for _, e := range past {
		w.take(e, false)
	}
	look(t, w, 40, 5, "", "", "", "", "reading what was  q leaves  mei")
	w.take(entry(recording.Output, 1, "\x1b[2J\x1b[H0123456789abcdefghijklmnopqrst\r\n\r\nthird\r\n\x1b[3"), true)
	w.take(entry(recording.Output, 1, "1mfourth"), true)
	look(t, w, 40, 5, "0123456789abcdefghijklmnopqrst", "", "third", "fourth", "live  q leaves  mei")
	look(t, w, 40, 4, "", "third", "fourth", "live  [cut: 30x4]  q leaves  mei")
	look(t, w, 20, 3, "third", "fourth", "live  [cut: 30x4]")
	look(t, w, 20, 2, "too small", "")
	w.take(entry(recording.Output, 1, "\x1b[1;28H"), true)
	look(t, w, 20, 3, "89abcdefghijklmnopqr", "", "live  [cut: 30x4]")
	w.take(recording.Entry{Kind: recording.Resize, Channel: 1, Data: recording.EncodeResize(20, 2)}, true)
	if got := through(w, 20, 3); strings.Contains(got[2], "cut") {
		t.Errorf("after they have made theirs smaller: %q", got)
	}
}

// A program without a terminal is shown on a screen as large as the window; the next channel is taken when one is closed.
func TestWindowFollowsTheChannels(t *testing.T) {
	w := newWindow("mei", nil)
	look(t, w, 40, 4, "", "", "", "reading what was  q leaves  mei")
	w.take(entry(recording.Exec, 2, "x"), true)
	w.take(entry(recording.Output, 2, "a\nb\n\xe9"), true)
	w.take(entry(recording.Stderr, 2, "c"), true)
	look(t, w, 40, 4, "a", "b", "c", "live  q leaves  mei")
	w.take(entry(recording.Exec, 1, "y"), true)
	w.take(entry(recording.Output, 1, strings.Repeat("y", 25)), true)
	look(t, w, 40, 4, "a", "b", "c", "live  q leaves  channel 2 of 2  mei")
	w.take(entry(recording.ChannelClose, 2, ""), true)
	look(t, w, 20, 4, strings.Repeat("y", 20), "yyyyy", "", "live  q leaves  mei")
	w.take(entry(recording.ChannelClose, 1, ""), true)
	look(t, w, 40, 3, "", "", "no program runs  q leaves  mei")
	seven := uint32(7)
	w = newWindow("mei", &seven)
	w.take(entry(recording.Exec, 1, "y"), true)
	look(t, w, 40, 3, "", "", "channel 7 not open  q leaves  mei")
}

// Nothing is written to the terminal while nothing changes there, however long, and no more than a frame at once while much does.
func TestWindowIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		entries, ended := make(chan recording.Entry), make(chan error)
		var writes, cols atomic.Int32
		cols.Store(40)
		stage := screening{
			keys: make(chan string), write: func([]byte) error { writes.Add(1); return nil },
			size: func() (int, int) { return int(cols.Load()), 5 },
		}
		go func() {
			ended <- newWindow("mei", nil).show(ctx, stage, watched{
				next: func() (recording.Entry, error) {
					e, ok := <-entries
					if !ok {
						return e, io.EOF
					}
					return e, nil
				},
				live: func() bool { return true }, leave: leave,
			})
		}()
		after := func(what string, least, most int32) {
			t.Helper()
			time.Sleep(time.Hour)
			if n := writes.Swap(0); n < least || n > most {
				t.Errorf("%s: %d writes, want %d to %d", what, n, least, most)
			}
		}
		after("the beginning", 1, 1)
		after("nothing", 0, 0)
		entries <- entry(recording.Exec, 1, "x")
		for range 10_000 {
			entries <- entry(recording.Output, 1, "x")
		}
		after("much at once", 1, 2)
		cols.Store(50)
		after("a new size", 1, 1)
		close(entries)
		if err := <-ended; err != io.EOF {
			t.Error(err)
		}
		leave()
	})
}

// FuzzWindow: whatever a session shows, nothing comes to the watcher's terminal but what a player may write, too.
func FuzzWindow(f *testing.F) {
	f.Add("\x1b]52;c;cm0=\x07\x1b[6n\x1bP$q\"p\x1b\\\x1b[5i\u009b2J関\x1b(0q", "mei\x1b[2J", uint16(120), uint16(40), uint16(10))
	f.Add("\x1b[?1049h\x1b[999;999Hx\x1b[?1000h\x1bc", "\n\u202e", uint16(3), uint16(20), uint16(3))
	f.Fuzz(func(t *testing.T, output, who string, theirs, cols, rows uint16) {
		w := newWindow(who, nil)
		for _, e := range []recording.Entry{ptyOf(1, uint32(theirs), 40), entry(recording.Shell, 1, ""), entry(recording.Output, 1, output),
			entry(recording.Exec, 2, ""), entry(recording.Output, 2, output), entry(recording.ChannelClose, 1, "")} {
			w.take(e, true)
			if out := w.paint(int(cols%500), int(rows%200)); !painting.Match(out) {
				t.Fatalf("%q", out)
			}
		}
	})
}

// desktop is a pseudo-terminal at which somebody watches.
type desktop struct {
	*testing.T
	mine, theirs *os.File
	screen       *terminal.Screen
	all          []byte
}

func newDesktop(t *testing.T, cols, rows uint16) *desktop {
	t.Helper()
	mine, theirs, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mine.Close(); theirs.Close() })
	if err := pty.Setsize(mine, &pty.Winsize{Cols: cols, Rows: rows}); err != nil {
		t.Fatal(err)
	}
	return &desktop{T: t, mine: mine, theirs: theirs, screen: terminal.NewScreen(int(cols), int(rows))}
}

// see reads what is painted until the screen is as it should be.
func (s *desktop) see(what string, ok func(lines []string) bool) {
	s.Helper()
	s.mine.SetReadDeadline(time.Now().Add(30 * time.Second))
	for buf := make([]byte, 4096); !ok(strings.Split(s.screen.Text(), "\n")); {
		n, err := s.mine.Read(buf)
		if err != nil {
			s.Fatalf("waiting for %s: %v; screen:\n%s", what, err, s.screen.Text())
		}
		s.screen.Write(buf[:n])
		s.all = append(s.all, buf[:n]...)
	}
}

// A screen of 120x40 is watched on real terminals that are smaller: nothing wraps or scrolls, the status line is the last
// row, the size follows, and what stood on the terminal before stands there again afterwards.
func TestWatchOnASmallTerminal(t *testing.T) {
	for _, size := range [][2]uint16{{40, 10}, {20, 3}} {
		cols, rows := int(size[0]), int(size[1])
		s := newDesktop(t, size[0], size[1])
		io.WriteString(s.theirs, "$ before\n")
		s.see("before", func(lines []string) bool { return strings.HasPrefix(lines[0], "$ before") })
		was, err := term.GetState(int(s.theirs.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		entries, ended := make(chan recording.Entry), make(chan error, 1)
		ground, ok := (&app{in: s.theirs, out: s.theirs}).playground()
		if !ok {
			t.Fatal("that is no terminal")
		}
		go func() {
			ended <- ground.have(func(t screening) error {
				return newWindow("mei", nil).show(ctx, t, watched{
					next: func() (recording.Entry, error) {
						select {
						case e := <-entries:
							return e, nil
						case <-ctx.Done():
							return recording.Entry{}, ctx.Err()
						}
					},
					live: func() bool { return true }, leave: leave,
				})
			})
		}()
		entries <- ptyOf(1, 120, 40)
		entries <- entry(recording.Shell, 1, "")
		entries <- entry(recording.Output, 1, strings.Repeat(strings.Repeat("w", 120)+"\r\n", 60)+"mei> \x1b]52;c;cm0=\x07\x1b[6n")
		status := func(says string) func([]string) bool {
			return func(lines []string) bool {
				return strings.HasPrefix(lines[rows-1], says) && strings.HasPrefix(lines[rows-2], "mei>") && lines[0] == strings.Repeat("w", cols)
			}
		}
		s.see("the prompt, over the status line", status("live  [cut: 120x40]"))
		for range 5 { // each is painted anew, and nothing goes off the top
			entries <- entry(recording.Output, 1, "!")
		}
		s.see("what comes", func(lines []string) bool { return strings.HasPrefix(lines[rows-2], "mei> !!!!!") })
		if !status("live  [cut: 120x40]")(strings.Split(s.screen.Text(), "\n")) || !s.screen.Alternate() {
			t.Errorf("%dx%d:\n%s", cols, rows, s.screen.Text())
		}
		cols, rows = cols+3, rows+1
		if err := pty.Setsize(s.mine, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)}); err != nil {
			t.Fatal(err)
		}
		s.screen.Resize(cols, rows)
		s.see("the new size", status("live  [cut: 120x40]"))
		io.WriteString(s.mine, "xq")
		if err := <-ended; ctx.Err() == nil || err == nil {
			t.Errorf("left with %v", err)
		}
		s.see("what stood there", func(lines []string) bool { return strings.HasPrefix(lines[0], "$ before") && !s.screen.Alternate() })
		s.see("the cursor", func([]string) bool { return !s.screen.CursorHidden() })
		x, y := s.screen.Cursor()
		if text := strings.TrimSpace(s.screen.Text()); text != "$ before" || x != 0 || y != 1 {
			t.Errorf("left on the terminal, the cursor at %d, %d:\n%s", x, y, text)
		}
		if is, err := term.GetState(int(s.theirs.Fd())); err != nil || *is != *was {
			t.Errorf("the terminal is not in the mode it was: %v", err)
		}
		if i := slices.IndexFunc([]string{"\x1b]", "\x1b[6n", "\x07", "\n"}, func(bad string) bool { return bytes.Contains(s.all[len("$ before\r\n"):], []byte(bad)) }); i >= 0 {
			t.Errorf("%d came through: %q", i, s.all)
		}
	}
}
