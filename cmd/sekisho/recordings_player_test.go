package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
	"github.com/sekisho/sekisho/terminal"
)

// reel is a recording for a film.
type reel struct {
	entries []recording.Entry
	next    int
}

func (r *reel) Header() recording.Header { return recording.Header{Session: sekisho.Session{}} }

func (r *reel) Next() (recording.Entry, error) {
	if r.next == len(r.entries) {
		return recording.Entry{}, io.EOF
	}
	r.next++
	return r.entries[r.next-1], nil
}

func (r *reel) End() (recording.End, time.Duration, bool) { return recording.EndDone, 0, true }

// onStage is a player of a recording with a terminal of 20x5, whose own terminal has the size given; a change comes every
// ten seconds, n of them.
func onStage(t *testing.T, cols, rows, n int, entries ...recording.Entry) *player {
	t.Helper()
	all := []recording.Entry{{Kind: recording.PTYRequest, Data: recording.PTY{Term: "xterm", Cols: 20, Rows: 5}.Encode()}}
	all = append(all, recording.Entry{Kind: recording.Exec, Data: []byte("count")})
	for i := range n {
		all = append(all, recording.Entry{Kind: recording.Output, At: time.Duration(i+1) * 10 * time.Second, Data: fmt.Appendf(nil, "line %d\r\n", i+1)})
	}
	film, err := replay.NewFilm(&reel{entries: append(all, entries...)}, replay.AnyChannel)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlayer(film, 1, 0)
	p.size(cols, rows)
	p.since = time.Unix(0, 0)
	return p
}

// stage is what stands on the terminal after a player has painted.
func stage(p *player, s *terminal.Screen, now time.Time) []string {
	s.Write(p.paint(now))
	lines := strings.Split(strings.TrimSuffix(s.Text(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

// What has no end is not said to have one.
func TestPlayerCut(t *testing.T) {
	p := onStage(t, 60, 6, 2)
	p.cut = true
	p.press("G", p.since)
	if lines := stage(p, terminal.NewScreen(60, 6), p.since); !strings.HasPrefix(lines[5], "end of what there is  0:00:20") {
		t.Errorf("%q", lines)
	}
}

func TestPlayerKeys(t *testing.T) {
	p := onStage(t, 60, 6, 20)
	s := terminal.NewScreen(60, 6)
	now := time.Unix(0, 0)
	for i, c := range []struct {
		after  time.Duration
		key    string
		line   string // the last one on the picture
		status string
	}{
		{0, "", "", ">  0:00:00 / 0:03:20  1x  1/1 count"},
		{4 * time.Second, "", "", ">  0:00:04 / 0:03:20  1x  1/1 count"},
		{6 * time.Second, "", "line 1", ">  0:00:10 / 0:03:20  1x  1/1 count"},
		{3 * time.Second, "+", "line 1", ">  0:00:13 / 0:03:20  2x  1/1 count"},
		{4 * time.Second, "", "line 2", ">  0:00:21 / 0:03:20  2x  1/1 count"},
		{0, " ", "line 2", "||  0:00:21 / 0:03:20  2x  1/1 count"},
		{time.Hour, "", "line 2", "||  0:00:21 / 0:03:20  2x  1/1 count"},
		{0, "right", "line 2", "||  0:00:26 / 0:03:20  2x  1/1 count"},
		{0, "right", "line 3", "||  0:00:31 / 0:03:20  2x  1/1 count"},
		{0, ".", "line 4", "||  0:00:40 / 0:03:20  2x  1/1 count"},
		{0, "left", "line 3", "||  0:00:35 / 0:03:20  2x  1/1 count"},
		{0, "G", "line 20", "end  0:03:20 / 0:03:20  2x  1/1 count"},
		{0, "]", "line 20", "end  0:03:20 / 0:03:20  2x  no more commands"},
		{0, "[", "", "||  0:00:00 / 0:03:20  2x  1/1 count"},
		{0, "-", "", "||  0:00:00 / 0:03:20  1x  1/1 count"},
		{0, "/", "", "find: _"},
		{0, "L", "", "find: L_"},
		{0, "x", "", "find: Lx_"},
		{0, "backspace", "", "find: L_"},
		{0, "escape", "", "||  0:00:00 / 0:03:20  1x  1/1 count"},
		{0, "n", "", "||  0:00:00 / 0:03:20  1x  nothing to find: / asks for a"},
		{0, "/", "", "find: _"},
		{0, "7", "", "find: 7_"},
		{0, "enter", "line 7", "||  0:01:10 / 0:03:20  1x  found: 7"},
		{0, "n", "line 17", "||  0:02:50 / 0:03:20  1x  found: 7"},
		{0, "n", "line 17", "||  0:02:50 / 0:03:20  1x  not found after this: 7"},
		{0, "?", "/ n         find a text, find it again", "any key goes on"},
		{0, "q", "line 17", "||  0:02:50 / 0:03:20  1x  1/1 count"},
		{0, "g", "", "||  0:00:00 / 0:03:20  1x  1/1 count"},
	} {
		now = now.Add(c.after)
		p.advance(now)
		if c.key != "" {
			p.press(c.key, now)
		}
		lines := stage(p, s, now)
		picture := slices.DeleteFunc(slices.Clone(lines[:5]), func(l string) bool { return l == "" })
		last := ""
		if len(picture) > 0 {
			last = picture[len(picture)-1]
		}
		if c.key == "?" {
			last = c.line // there is room for a part of it
		}
		if last != c.line || !strings.HasPrefix(lines[5], c.status) {
			t.Errorf("%d, after %q: %q\nwant %q, %q", i, c.key, lines, c.line, c.status)
		}
	}
	if out := p.paint(now); len(out) > 40 {
		t.Errorf("what is there is painted again: %q", out)
	}
	if p.press("q", now); !p.done {
		t.Error("q does not quit")
	}
}

func TestPlayerIdles(t *testing.T) {
	p := onStage(t, 60, 6, 3)
	p.idle = time.Second
	now := time.Unix(0, 0)
	for tenth := range 25 {
		p.advance(now.Add(time.Duration(tenth) * 100 * time.Millisecond))
	}
	if p.head.At() != 20*time.Second {
		t.Errorf("after 2.5 s it is at %s", p.head.At())
	}
	p.advance(now.Add(time.Hour)) // the machine slept: nothing is made up for
	if wait := p.advance(now.Add(time.Hour + time.Minute)); wait != mostFrame {
		t.Errorf("at the end it waits %s", wait)
	}
}

// What does not fit is cut around the cursor, and said; what is larger is left blank.
func TestPlayerSizes(t *testing.T) {
	p := onStage(t, 20, 4, 0, recording.Entry{Kind: recording.Output, At: 1, Data: []byte("\x1b[41m0123456789abcdefghij\r\n2\r\n3\r\n4\r\n0123456789abcdefghi")})
	p.seek(1, p.since)
	s := terminal.NewScreen(20, 4)
	if d := cmp.Diff([]string{"3", "4", "0123456789abcdefghi"}, stage(p, s, p.since)[:3]); d != "" {
		t.Error(d)
	}
	if line := s.Line(3); !strings.Contains(line, "0:00:00") {
		t.Errorf("%q", line)
	}
	p.film.Commands = nil
	s = terminal.NewScreen(20, 6)
	p.size(20, 6)
	if lines := stage(p, s, p.since); lines[0] != "0123456789abcdefghij" {
		t.Errorf("a row as wide as the terminal: %q", lines)
	}
	s = terminal.NewScreen(40, 10)
	p.size(40, 10)
	if lines := stage(p, s, p.since); lines[0] != "0123456789abcdefghij" || lines[6] != "" || !strings.HasPrefix(lines[9], "end") {
		t.Errorf("%q", lines)
	}
	s = terminal.NewScreen(60, 4)
	p.size(60, 4)
	if lines := stage(p, s, p.since); lines[2] != "0123456789abcdefghi" || !strings.Contains(lines[3], "[cut: 20x5]") {
		t.Errorf("%q", lines)
	}
	s = terminal.NewScreen(20, 3)
	p.size(20, 3)
	if lines := stage(p, s, p.since); lines[1] != "0123456789abcdefghi" || !strings.HasPrefix(lines[2], "end") {
		t.Errorf("%q", lines)
	}
	for _, c := range []struct {
		cols, rows int
		says       string
	}{{10, 3, "too small"}, {20, 2, "too small"}, {19, 50, "too small"}, {3, 1, "too"}, {1, 1, "t"}, {0, 0, ""}} {
		p.size(c.cols, c.rows)
		if out := string(p.paint(p.since)); !strings.HasSuffix(out, "H\x1b[0m\x1b[K"+c.says+"\x1b[0m") && c.rows > 0 {
			t.Errorf("%dx%d: %q", c.cols, c.rows, out)
		}
	}
}

// painting is all that a player may write: printable characters, SGR, cursor to a place, erase, show and hide the cursor.
// A command begins when Enter was pressed, and what the target says to that comes later: to go to it is to stand there, and
// not at the change before.
func TestPlayerGoesFromCommandToCommand(t *testing.T) {
	p := onStage(t, 60, 6, 20)
	p.film.Commands = nil
	for i := range 4 {
		p.film.Commands = append(p.film.Commands, replay.Command{At: time.Duration(i*30+5) * time.Second, Text: fmt.Sprint("c", i+1)})
	}
	now := time.Unix(0, 0)
	p.press(" ", now)
	s := terminal.NewScreen(60, 6)
	for i, c := range []struct{ key, status string }{
		{"]", "||  0:00:05 / 0:03:20  1x  1/4 c1"},
		{"]", "||  0:00:35 / 0:03:20  1x  2/4 c2"},
		{"]", "||  0:01:05 / 0:03:20  1x  3/4 c3"},
		{"[", "||  0:00:35 / 0:03:20  1x  2/4 c2"},
		{"]", "||  0:01:05 / 0:03:20  1x  3/4 c3"},
		{"]", "||  0:01:35 / 0:03:20  1x  4/4 c4"},
		{"]", "||  0:01:35 / 0:03:20  1x  no more commands"},
		{"left", "||  0:01:30 / 0:03:20  1x  3/4 c3"},
		{"[", "||  0:01:05 / 0:03:20  1x  3/4 c3"},
	} {
		p.press(c.key, now)
		if got := stage(p, s, now)[5]; !strings.HasPrefix(got, c.status) {
			t.Errorf("%d, after %q: %q, want %q", i, c.key, got, c.status)
		}
	}
}

var painting = regexp.MustCompile(`^([^\x00-\x1f\x7f\x{80}-\x{9f}]|\x1b\[[0-9;]*[mH]|\x1b\[2?[JK]|\x1b\[\?25[hl])*$`)

// FuzzPlayer: whatever a recording holds and whichever keys are pressed, nothing else is ever written.
func FuzzPlayer(f *testing.F) {
	f.Add("\x1b]52;c;cm0=\x07\x1b[6n\x1bP$q\"p\x1b\\\x1b[5i\u009b2J関\x1b(0q", " .g/x\rGn[]+-?", "make \x1b[2J", uint16(20))
	f.Add("\x1b[?1049h\x1b[8mx\x1b[?25l\x1b[999;999Hx\x1b[?1000h\x1bc", "....G", "\n\u202e", uint16(500))
	f.Fuzz(func(t *testing.T, output, keys, command string, cols uint16) {
		film, err := replay.NewFilm(&reel{entries: []recording.Entry{
			{Kind: recording.PTYRequest, Data: recording.PTY{Cols: uint32(cols), Rows: 5}.Encode()},
			{Kind: recording.Exec, Data: []byte(command)},
			{Kind: recording.Output, At: time.Second, Data: []byte(output)},
			{Kind: recording.Output, At: 1 << 60, Data: []byte(output)},
		}}, replay.AnyChannel)
		if err != nil {
			t.Fatal(err)
		}
		p := newPlayer(film, 1, time.Second)
		p.size(40, 6)
		now := time.Unix(0, 0)
		for _, key := range append([]string{""}, pressed([]byte(keys))...) {
			p.press(key, now)
			now = now.Add(time.Duration(p.advance(now)))
			if out := p.paint(now); !painting.Match(out) {
				t.Fatalf("after %q: %q", key, out)
			}
		}
	})
}

func TestPressed(t *testing.T) {
	got := pressed([]byte(" q\x1b[C\x1bOD\x1b[5~\x1b[6~\x1b[1;5C\r\x7f\x03é関\x00\xff\x1b"))
	want := []string{" ", "q", "right", "left", "pgup", "pgdn", "enter", "backspace", "ctrl-c", "é", "関", "escape"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// FuzzPressed: whatever comes from a keyboard, all of it is read.
func FuzzPressed(f *testing.F) {
	f.Add([]byte("\x1b[1;"))
	f.Fuzz(func(t *testing.T, b []byte) { pressed(b) })
}

// TestPlayerHelper is the program of TestPlayOnTerminal: sekisho itself.
func TestPlayerHelper(t *testing.T) {
	args := os.Getenv("SEKISHO_TEST_PLAY")
	if args == "" {
		t.Skip("this is the program that TestPlayOnTerminal runs")
	}
	main := newApp(t.Context(), os.Stdin, os.Stdout, os.Stderr)
	os.Exit(main.main(strings.Split(args, "\n")))
}

// On a real terminal: what is painted is what was shown, keys work, the size follows, and the terminal is left as it was.
func TestPlayOnTerminal(t *testing.T) {
	d := newDesk(t, "\x1b[32mhello\x1b[0m\x1b]52;c;cm0=\x07\x1b[6n\r\n")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run", "^TestPlayerHelper$")
	cmd.Env = append(os.Environ(), "SEKISHO_TEST_PLAY="+strings.Join([]string{
		"--home", t.TempDir(), "recordings", "play", d.file, "--key", d.key, "--signer", strings.TrimSpace(d.signer), "--idle-limit", "0",
	}, "\n"))
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 70, Rows: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	screen := terminal.NewScreen(70, 10)
	var all []byte
	see := func(what string) {
		t.Helper()
		tty.SetReadDeadline(time.Now().Add(30 * time.Second))
		for buf := make([]byte, 4096); !strings.Contains(screen.Text(), what); {
			n, err := tty.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %q: %v; screen:\n%s", what, err, screen.Text())
			}
			screen.Write(buf[:n])
			all = append(all, buf[:n]...)
		}
	}
	press := func(keys string) {
		if _, err := io.WriteString(tty, keys); err != nil {
			t.Fatal(err)
		}
	}
	see("/ 1:00:00")
	see("hello")
	press(" ")
	see("||")
	press("G")
	see("later")
	see("end  1:00:00")
	if err := pty.Setsize(tty, &pty.Winsize{Cols: 50, Rows: 8}); err != nil {
		t.Fatal(err)
	}
	screen.Resize(50, 8)
	see("[cut: 90x30]")
	press("g?")
	see("any key goes on")
	press("x")
	press("\x1b[C")
	see("0:00:05 / 1:00:00")
	if !screen.Alternate() {
		t.Error("it does not play on the alternate screen")
	}
	press("q")
	rest, _ := io.ReadAll(tty)
	screen.Write(rest)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, rest)
	}
	if screen.Alternate() || screen.CursorHidden() {
		t.Error("the terminal is not left as it was")
	}
	for _, bad := range []string{"\x1b]", "\x1b[6n", "\x07"} {
		if bytes.Contains(all, []byte(bad)) {
			t.Errorf("%q came through", bad)
		}
	}
}
