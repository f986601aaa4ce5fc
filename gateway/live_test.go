package gateway_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/gateway"
	"github.com/sekisho/sekisho/recording"
)

// running starts a program in a session and gives its ID, its standard error and its output.
func (h *house) running(c *ssh.Client, command string) (id string, s *ssh.Session, told, out io.Reader) {
	h.t.Helper()
	s, err := c.NewSession()
	if err != nil {
		h.t.Fatal(err)
	}
	if told, err = s.StderrPipe(); err == nil {
		out, err = s.StdoutPipe()
	}
	if err == nil {
		_, err = s.StdinPipe()
	}
	if err == nil {
		err = s.Start(command)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	live, _ := h.gateway.Sessions()
	if len(live) != 1 {
		h.t.Fatalf("%d sessions live", len(live))
	}
	return live[0].ID, s, told, out
}

// hears reads until the text was said.
func hears(t *testing.T, r io.Reader, text string) {
	t.Helper()
	var got strings.Builder
	buf := make([]byte, 256)
	for !strings.Contains(got.String(), text) {
		n, err := r.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			t.Fatalf("heard %q, not %q: %v", got.String(), text, err)
		}
	}
}

func TestLiveSessions(t *testing.T) {
	h := newHouse(t)
	c := h.mustClient()
	id, _, _, _ := h.running(c, "hang "+strings.Repeat("é", 300))
	live, deciding := h.gateway.Sessions()
	if deciding != 0 || len(live) != 1 {
		t.Fatalf("%v, %d", live, deciding)
	}
	s := live[0]
	if s.ID != id || !s.Relayed || !s.Recorded() || s.Identity.Subject != "mei@example.com" || s.Watchers != 0 || s.Idle < 0 || s.Limits.TTL != time.Minute {
		t.Errorf("%+v", s)
	}
	if len(s.Channels) != 1 || s.Channels[0].Number != 1 || s.Channels[0].Kind != "exec" || s.Channels[0].Command != "hang "+strings.Repeat("é", 125)+"?" {
		t.Errorf("channels %+v", s.Channels)
	}
	second, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := second.Output("echo counted"); err != nil || string(out) != "counted\n" {
		t.Fatalf("%q, %v", out, err)
	}
	waitFor(t, func() bool { live, _ := h.gateway.Sessions(); return len(live[0].Channels) == 1 })
	live, _ = h.gateway.Sessions()
	if live[0].BytesOut != 8 || live[0].Idle > time.Since(live[0].Started) {
		t.Errorf("%+v", live[0])
	}
}

// The user is told who watches and who does not any more, where the limits say so, and only there; so are those who start
// a program meanwhile.
func TestWatchedAreTold(t *testing.T) {
	h := newHouse(t)
	h.decision.Limits.Watched = true
	c := h.mustClient()
	id, _, told, _ := h.running(c, "hang")
	n, leave, err := h.gateway.Watch(id, "hana@example.com\x1b[2J")
	if err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	hears(t, told, "sekisho: hana@example.com?[2J watches this session.")
	if live, _ := h.gateway.Sessions(); live[0].Watchers != 1 {
		t.Errorf("%d watchers", live[0].Watchers)
	}
	later, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	heard, err := later.StderrPipe()
	if err == nil {
		_, err = later.StdinPipe()
	}
	if err == nil {
		err = later.Start("hang")
	}
	if err != nil {
		t.Fatal(err)
	}
	hears(t, heard, "this session is being watched.")
	leave()
	hears(t, told, "does not watch this session any more.")
	if live, _ := h.gateway.Sessions(); live[0].Watchers != 0 {
		t.Errorf("%d watchers", live[0].Watchers)
	}
	h.tape.Flush()
	h.tape.Sync()
	if notes := h.tape.said(recording.Note); !strings.Contains(notes, "hana@example.com?[2J watches this session.") {
		t.Errorf("the recording has %q", notes)
	}
}

func TestWatchedAreNotTold(t *testing.T) {
	h := newHouse(t)
	id, s, told, _ := h.running(h.mustClient(), "hang")
	n, leave, err := h.gateway.Watch(id, "hana@example.com")
	if err != nil || n != 0 {
		t.Fatalf("%d, %v", n, err)
	}
	leave()
	s.Close()
	if text, _ := io.ReadAll(told); len(text) > 0 {
		t.Errorf("told %q", text)
	}
}

func TestWatchersAreBounded(t *testing.T) {
	h := newHouse(t)
	id, _, _, _ := h.running(h.mustClient(), "hang")
	var leave func()
	for range 16 {
		var err error
		if _, leave, err = h.gateway.Watch(id, "hana@example.com"); err != nil {
			t.Fatal(err)
		}
	}
	var refused *sekisho.Refusal
	if _, _, err := h.gateway.Watch(id, "one more"); !errors.As(err, &refused) {
		t.Errorf("one more: %v", err)
	}
	leave()
	if _, _, err := h.gateway.Watch(id, "one more"); err != nil {
		t.Error(err)
	}
	if _, _, err := h.gateway.Watch("ses_nowhere", "hana"); !errors.Is(err, sekisho.ErrNotFound) {
		t.Errorf("nowhere: %v", err)
	}
}

// What is not recorded is not watched, and who passes through is not told anything, but ends.
func TestPassedThroughIsEndedUnwatched(t *testing.T) {
	h := newHouse(t)
	h.decision.Limits.Audit = sekisho.AuditNone
	conn, _, err := h.stream("ok")
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { live, _ := h.gateway.Sessions(); return len(live) == 1 })
	live, _ := h.gateway.Sessions()
	if live[0].Relayed || live[0].Recorded() {
		t.Errorf("%+v", live[0])
	}
	var refused *sekisho.Refusal
	if _, _, err := h.gateway.Watch(live[0].ID, "hana@example.com"); !errors.As(err, &refused) || !strings.Contains(refused.Sentence, "not recorded") {
		t.Errorf("watched: %v", err)
	}
	if !h.gateway.Stop(live[0].ID, gateway.Order{By: "hana@example.com"}) {
		t.Error("not ended")
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	h.endsBy("this session is ended by hana@example.com.")
	if h.gateway.Stop(live[0].ID, gateway.Order{}) {
		t.Error("ended twice")
	}
}

// endsBy waits for the session's end and looks why it ended.
func (h *house) endsBy(why string) {
	h.t.Helper()
	waitFor(h.t, func() bool { return slices.Contains(h.kinds(), sekisho.EventSessionEnded) })
	h.mu.Lock()
	defer h.mu.Unlock()
	if last := h.events[len(h.events)-1]; !strings.Contains(last.Error, why) {
		h.t.Errorf("ended with %q", last.Error)
	}
}

// The user hears who ended the session and why; the recording has it, too, and says that it was stopped.
func TestStop(t *testing.T) {
	h := newHouse(t)
	id, s, told, _ := h.running(h.mustClient(), "hang")
	if !h.gateway.Stop(id, gateway.Order{By: "hana@example.com", Reason: "db1 is\x1b[2J restored"}) {
		t.Fatal("not ended")
	}
	hears(t, told, "sekisho: this session is ended by hana@example.com: db1 is?[2J restored.")
	if err := s.Wait(); err == nil {
		t.Error("ended as if nothing were the matter")
	}
	h.endsBy("hana@example.com: db1 is?[2J restored.")
	if h.tape.end != recording.EndStopped {
		t.Errorf("recording ended with %q", h.tape.end)
	}
}

// A flood that nobody takes, and a target that does nothing, do not keep a session from ending.
func TestStopWhateverHappens(t *testing.T) {
	for what, command := range map[string]string{
		"flooded, and the user takes nothing": fmt.Sprintf("fill %d", 1<<30),
		"the target hangs":                    "hang",
	} {
		t.Run(what, func(t *testing.T) {
			h := newHouse(t)
			id, s, _, out := h.running(h.mustClient(), command)
			if strings.HasPrefix(command, "fill") {
				io.ReadFull(out, make([]byte, 1<<20))
			}
			h.gateway.Stop(id, gateway.Order{By: "hana@example.com"})
			h.endsBy("hana@example.com")
			s.Close()
		})
	}
	t.Run("the disk hangs", func(t *testing.T) {
		h := newHouse(t)
		c := h.mustClient()
		id, _, _, _ := h.running(c, "cat")
		h.tape.hold = make(chan struct{})
		second, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		go second.Run("echo this waits for the disk")
		gone := make(chan struct{})
		go func() { c.Wait(); close(gone) }()
		h.gateway.Stop(id, gateway.Order{By: "hana@example.com"})
		select {
		case <-gone:
		case <-time.After(30 * time.Second):
			t.Error("the session goes on")
		}
		close(h.tape.hold)
	})
}

// A best-effort session whose recording could not be opened is listed as not recorded, and not watched.
func TestUnrecordedIsNotWatched(t *testing.T) {
	h := newHouse(t)
	h.decision.Limits.Audit, h.recordErr = sekisho.AuditBestEffort, io.ErrShortWrite
	id, _, _, _ := h.running(h.mustClient(), "hang")
	if live, _ := h.gateway.Sessions(); live[0].Recorded() || !live[0].Relayed {
		t.Errorf("%+v", live[0])
	}
	var refused *sekisho.Refusal
	if _, _, err := h.gateway.Watch(id, "hana@example.com"); !errors.As(err, &refused) {
		t.Errorf("watched: %v", err)
	}
}

// A person whose editor is ended by somebody gets the terminal back as it was before the editor, and the sentence on it.
func TestStopGivesTheTerminalBack(t *testing.T) {
	h := newHouse(t)
	s, err := h.mustClient().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	told, err := s.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPty("xterm", 24, 80, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Start("cat"); err != nil {
		t.Fatal(err)
	}
	const editor = "\x1b[?1049h\x1b[?25l~ an editor"
	if _, err := io.WriteString(in, editor); err != nil {
		t.Fatal(err)
	}
	hears(t, out, editor)
	live, _ := h.gateway.Sessions()
	h.gateway.Stop(live[0].ID, gateway.Order{By: "hana@example.com"})
	hears(t, told, "\x1b[0m\x1b[?1049l\x1b[?25h\r\nsekisho: this session is ended by hana@example.com.")
	h.endsBy("hana@example.com")
}
