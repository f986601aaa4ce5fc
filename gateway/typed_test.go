package gateway_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho/recording"
)

// toldInput is a target's program that tells what it is sent, packet by packet.
func toldInput(heard chan<- string) func(ssh.Channel, <-chan *ssh.Request) {
	return func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		defer ch.Close()
		for req := range reqs {
			if req.WantReply {
				req.Reply(true, nil)
			}
			if req.Type == "shell" || req.Type == "exec" {
				break
			}
		}
		go ssh.DiscardRequests(reqs)
		p := make([]byte, 1024)
		for {
			n, err := ch.Read(p)
			if err != nil {
				ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
				return
			}
			heard <- string(p[:n])
		}
	}
}

// typeInto starts a program, with a terminal or without one, and gives its input.
func (h *house) typeInto(command string, terminal bool) (io.WriteCloser, *ssh.Session) {
	h.t.Helper()
	s, err := h.mustClient().NewSession()
	if err != nil {
		h.t.Fatal(err)
	}
	if terminal {
		if err := s.RequestPty("xterm", 24, 80, nil); err != nil {
			h.t.Fatal(err)
		}
	}
	in, err := s.StdinPipe()
	if err == nil && command == "" {
		err = s.Shell()
	} else if err == nil {
		err = s.Start(command)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return in, s
}

// What is typed is recorded where the policies say so, and nowhere else.
func TestKeystrokes(t *testing.T) {
	for _, c := range []struct {
		name, command  string
		terminal, keep bool
		recorded       string
	}{
		{"a shell", "", true, true, "sudo su\rhunter2\r"},
		{"a shell without a terminal", "", false, true, "sudo su\rhunter2\r"},
		{"a command with a terminal", "top", true, true, "sudo su\rhunter2\r"},
		{"a shell, no word of it", "", true, false, ""},
		{"a command, no word of it", "top", false, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			heard := make(chan string, 10)
			h.program = toldInput(heard)
			h.decision.Limits.Keystrokes = c.keep
			in, s := h.typeInto(c.command, c.terminal)
			for _, line := range []string{"sudo su\r", "hunter2\r"} {
				io.WriteString(in, line)
				if got := <-heard; got != line {
					t.Errorf("the target heard %q", got)
				}
			}
			in.Close()
			if err := s.Wait(); err != nil {
				t.Error(err)
			}
			if got := h.tape.said(recording.Input); got != c.recorded {
				t.Errorf("recorded %q, want %q", got, c.recorded)
			}
			marks := strings.Join(h.tape.typed(), " ")
			if want := map[bool]string{true: "began enter began enter"}[c.terminal]; marks != want {
				t.Errorf("marked %q, want %q", marks, want)
			}
			if whole := h.tape.everything(); !c.keep && (strings.Contains(whole, "sudo") || strings.Contains(whole, "hunter")) {
				t.Errorf("the recording holds what was typed: %q", whole)
			}
		})
	}
}

// Where keystrokes are recorded strictly, the target has them when the disk has them.
func TestKeystrokesAreDurableFirst(t *testing.T) {
	h := newHouse(t)
	heard := make(chan string, 10)
	h.program = toldInput(heard)
	h.decision.Limits.Keystrokes = true
	in, s := h.typeInto("", true)
	release := make(chan struct{})
	h.tape.mu.Lock()
	h.tape.hold = release
	h.tape.mu.Unlock()
	io.WriteString(in, "x")
	select {
	case got := <-heard:
		t.Errorf("the target heard %q before it was durable", got)
	case <-time.After(200 * time.Millisecond):
	}
	close(release)
	if got := <-heard; got != "x" {
		t.Errorf("the target heard %q", got)
	}
	in.Close()
	s.Wait()
}

// What stands between two Enters is one beginning, whatever it comes in; a paste of several lines says how many.
func TestTypedMarks(t *testing.T) {
	h := newHouse(t)
	heard := make(chan string, 10)
	h.program = toldInput(heard)
	in, s := h.typeInto("", true)
	for _, packet := range []string{"l", "s", "\r", "echo a\necho b\r", "\x04"} {
		io.WriteString(in, packet)
		if got := <-heard; got != packet {
			t.Errorf("the target heard %q", got)
		}
	}
	in.Close()
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	if got := strings.Join(h.tape.typed(), " "); got != "began enter began enter2 began" {
		t.Errorf("marked %q", got)
	}
}

// typed is what the recording says of typing.
func (m *memoryTape) typed() (marks []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.durable {
		if e.kind != recording.Typed {
			continue
		}
		switch typing, err := recording.DecodeTyping([]byte(e.data)); {
		case err != nil:
			marks = append(marks, err.Error())
		case !typing.Enter:
			marks = append(marks, "began")
		case typing.Count == 1:
			marks = append(marks, "enter")
		default:
			marks = append(marks, fmt.Sprintf("enter%d", typing.Count))
		}
	}
	return marks
}

// everything is all that the recording holds, durable or not.
func (m *memoryTape) everything() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all strings.Builder
	for _, list := range [][]entry{m.durable, m.flushed, m.pending} {
		for _, e := range list {
			all.WriteString(e.data)
		}
	}
	return all.String()
}
