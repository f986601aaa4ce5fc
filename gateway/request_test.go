package gateway_test

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// details are those of all events of a kind, as "key=value key=value" of the keys named.
func (h *house) details(kind string, keys ...string) (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ev := range h.events {
		if ev.Kind != kind {
			continue
		}
		var words []string
		for _, k := range keys {
			if v, ok := ev.Detail[k]; ok {
				words = append(words, k+"="+v)
			}
		}
		list = append(list, strings.Join(words, " "))
	}
	return list
}

// What the limits do not give is refused, logged with the reason, and never reaches the target.
func TestRequestsAreHeldToTheLimits(t *testing.T) {
	h := newHouse(t)
	h.decision.Limits = sekisho.Limits{Audit: sekisho.AuditStrict, TTL: time.Minute, Subsystems: []string{"netconf"}, Env: []string{"TZ", "GIT_*"}}
	reached := make(chan string, 100)
	h.program = func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		for req := range reqs {
			reached <- req.Type
			if req.WantReply {
				req.Reply(true, nil)
			}
		}
	}
	ch, reqs, err := h.mustClient().OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	ask := func(kind string, payload any, want bool) {
		t.Helper()
		var data []byte
		if payload != nil {
			data = ssh.Marshal(payload)
		}
		ok, err := ch.SendRequest(kind, true, data)
		if err != nil || ok != want {
			t.Errorf("%s %v: %v, %v", kind, payload, ok, err)
		}
	}
	type word struct{ W string }
	type env struct{ Name, Value string }
	ask("pty-req", struct {
		Term       string
		C, R, W, H uint32
		Modes      string
	}{Term: "xterm"}, false)
	ask("env", env{"LD_PRELOAD", "/tmp/x.so"}, false)
	ask("env", env{"GIT", "x"}, false)
	ask("env", env{"TZ", "UTC"}, true)
	ask("env", env{"GIT_PROTOCOL", "version=2"}, true)
	ask("auth-agent-req@openssh.com", nil, false)
	ask("x11-req", struct {
		Single bool
		P, C   string
		Screen uint32
	}{}, false)
	ask("shell", nil, false)
	ask("exec", word{"id"}, false)
	ask("subsystem", word{"sftp"}, false)
	ask("tun-req@example.com", nil, false)
	ask("signal", nil, false)
	ask("subsystem", word{"netconf"}, true)
	ask("subsystem", word{"netconf"}, false) // one program a channel
	ask("signal", word{"TERM"}, true)
	ch.Close()
	var got []string
	for len(reached) > 0 {
		got = append(got, <-reached)
	}
	if want := []string{"env", "env", "subsystem", "signal"}; !slices.Equal(got, want) {
		t.Errorf("reached the target: %q", got)
	}
	waitFor(t, func() bool { return slices.Contains(h.kinds(), sekisho.EventChannelClosed) })
	want := []string{"type=pty-req why=no policy allows it", "type=env LD_PRELOAD why=no policy allows it", "type=env GIT why=no policy allows it",
		"type=auth-agent-req@openssh.com why=no policy allows it", "type=x11-req why=no policy allows it", "type=shell why=no policy allows it",
		"type=exec why=no policy allows it", "type=subsystem sftp why=no policy allows it", "type=tun-req@example.com why=unknown",
		"type=signal why=malformed", "type=subsystem netconf why=a program runs already"}
	if got := h.details(sekisho.EventChannelRefused, "type", "why"); !slices.Equal(got, want) {
		t.Errorf("refused:\n%s", strings.Join(got, "\n"))
	}
	want = []string{"type=env value=TZ", "type=env value=GIT_PROTOCOL", "type=signal value=TERM"}
	if got := h.details(sekisho.EventRequest, "type", "value"); !slices.Equal(got, want) {
		t.Errorf("requests: %q", got)
	}
}

// An agent and a display are asked for where the limits give them; the value of a variable is in the recording only.
func TestRequestsThatAreGiven(t *testing.T) {
	h := newHouse(t)
	h.decision.Limits.Agent, h.decision.Limits.X11 = true, true
	h.program = func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		for req := range reqs {
			req.Reply(true, nil)
			if req.Type == "shell" {
				io.WriteString(ch, "hello")
				ch.Close()
			}
		}
	}
	s, err := h.mustClient().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Setenv("LC_ALL", "sekrit"); err != nil {
		t.Error(err)
	}
	for _, kind := range []string{"auth-agent-req@openssh.com", "x11-req", "break"} {
		if ok, err := s.SendRequest(kind, true, nil); !ok {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if err := s.Shell(); err != nil {
		t.Error(err)
	}
	s.Wait()
	waitFor(t, func() bool { return slices.Contains(h.kinds(), sekisho.EventChannelClosed) })
	want := []string{"type=env value=LC_ALL", "type=auth-agent-req@openssh.com", "type=x11-req", "type=break"}
	if got := h.details(sekisho.EventRequest, "type", "value"); !slices.Equal(got, want) {
		t.Errorf("requests: %q", got)
	}
	if env := h.tape.said(recording.Env); !strings.Contains(env, "sekrit") {
		t.Errorf("recording has %q", env)
	}
}

// A session that lasts or is silent too long is warned and ended, and the log says why.
func TestSessionsEndByTime(t *testing.T) {
	for limit, set := range map[string]func(*sekisho.Limits, time.Duration){
		"longest": func(l *sekisho.Limits, d time.Duration) { l.Longest = d },
		"idle":    func(l *sekisho.Limits, d time.Duration) { l.Idle = d },
	} {
		t.Run(limit, func(t *testing.T) {
			h := newHouse(t)
			set(&h.decision.Limits, 500*time.Millisecond)
			s, err := h.mustClient().NewSession()
			if err != nil {
				t.Fatal(err)
			}
			told, err := s.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			if err := s.Start("hang"); err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(told)
			if !strings.Contains(string(text), "sekisho: this session ends in ") || !strings.Contains(string(text), "as long as it may.") {
				t.Errorf("told %q", text)
			}
			if err := s.Wait(); err == nil {
				t.Error("ended as if nothing were the matter")
			}
			waitFor(t, func() bool { return slices.Contains(h.kinds(), sekisho.EventSessionEnded) })
			if got := h.details(sekisho.EventSessionWarned, "limit"); !slices.Equal(got, []string{"limit=" + limit}) {
				t.Errorf("warned: %q", got)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			if last := h.events[len(h.events)-1]; !strings.Contains(last.Error, "as long as it may") || h.tape.end != recording.EndStopped {
				t.Errorf("ended with %q, recording with %q", last.Error, h.tape.end)
			}
		})
	}
}

// A log that fails while it has something to note ends the session.
func TestBrokenLogEndsSession(t *testing.T) {
	h := newHouse(t)
	s, err := h.mustClient().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	var heard strings.Builder
	s.Stderr = &heard
	if err := s.Start("hang"); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.noteErr = io.ErrShortWrite
	h.mu.Unlock()
	if err := s.Signal(ssh.SIGHUP); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { s.Wait(); close(ended) }()
	select {
	case <-ended:
		if !strings.Contains(heard.String(), "the log takes nothing more") {
			t.Errorf("the user heard %q", &heard)
		}
	case <-time.After(30 * time.Second):
		t.Error("the session goes on")
	}
}

// A program is started by the name that was looked at: sshd would take a zero byte at its end away.
func TestZeroBytesInNames(t *testing.T) {
	h := newHouse(t)
	c := h.mustClient()
	for _, kind := range []string{"exec", "subsystem"} {
		for _, name := range []string{"sftp\x00", "\x00", "sftp\x00x"} {
			ch, reqs, err := c.OpenChannel("session", nil)
			if err != nil {
				t.Fatal(err)
			}
			go ssh.DiscardRequests(reqs)
			if ok, err := ch.SendRequest(kind, true, ssh.Marshal(struct{ Name string }{name})); ok || err != nil {
				t.Errorf("%s %q: %v, %v", kind, name, ok, err)
			}
			ch.Close()
		}
	}
	if got := h.details(sekisho.EventChannel, "type"); len(got) > 0 {
		t.Errorf("started: %q", got)
	}
	if got := h.details(sekisho.EventChannelRefused, "why"); len(got) != 6 || got[0] != "why=malformed" {
		t.Errorf("refused: %q", got)
	}
}
