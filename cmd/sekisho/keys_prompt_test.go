//go:build linux

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// seat is a terminal at which somebody sits: what they see, and what they type.
type seat struct {
	t           *testing.T
	person, tty *os.File
	shown       string
	seen        int // bytes of it
}

func newSeat(t *testing.T) *seat {
	t.Helper()
	person, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close(); tty.Close() })
	return &seat{t: t, person: person, tty: tty}
}

// see waits until the screen shows a text after what was seen before.
func (s *seat) see(text string) {
	s.t.Helper()
	buf := make([]byte, 1024)
	for !strings.Contains(s.shown[s.seen:], text) {
		ready := []unix.PollFd{{Fd: int32(s.person.Fd()), Events: unix.POLLIN}}
		if n, err := unix.Poll(ready, 20_000); n != 1 {
			s.t.Fatalf("the screen does not show %q: %v\n%s", text, err, s.shown)
		}
		n, err := s.person.Read(buf)
		if err != nil {
			s.t.Fatal(err)
		}
		s.shown += string(buf[:n])
	}
	s.seen += strings.Index(s.shown[s.seen:], text) + len(text)
}

func (s *seat) enter(line string) {
	s.t.Helper()
	if _, err := s.person.WriteString(line + "\n"); err != nil {
		s.t.Fatal(err)
	}
}

// start runs one command line at the terminal, all but its stdout.
func (s *seat) start(ctx context.Context, home string, args ...string) (ended <-chan int, out *bytes.Buffer) {
	done := make(chan int, 1)
	out = &bytes.Buffer{}
	go func() {
		a := &app{ctx: ctx, in: s.tty, out: out, err: s.tty}
		done <- a.main(append([]string{"--home", home}, args...))
	}()
	return done, out
}

// hidden says whether the terminal keeps what is typed to itself.
func (s *seat) hidden() bool {
	mode, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
	return err == nil && mode.Lflag&unix.ECHO == 0
}

func TestPrompts(t *testing.T) {
	home, s := filepath.Join(t.TempDir(), "home"), newSeat(t)
	ended, out := s.start(t.Context(), home, "keys", "generate", "dpo")
	s.see("New passphrase of the private key: ")
	if !s.hidden() {
		t.Error("what is typed can be seen")
	}
	s.enter("open sesame")
	s.see("The same again: ")
	s.enter("open sesame")
	s.see("for recording.recipients:")
	if code := <-ended; code != 0 || !strings.HasPrefix(out.String(), "sekisho-recipient-v1 ") || s.hidden() {
		t.Fatalf("%d %s\n%s", code, out, s.shown)
	}
	if code, _, errs := command(t, home, "keys", "generate", "quick", "--no-passphrase"); code != 0 {
		t.Fatal(errs)
	}
	lockQuickly(t, filepath.Join(home, "keys", "quick.key"), "open sesame")
	d := seal(t, hello, filepath.Join(home, "keys", "quick.pub"))
	ended, out = s.start(t.Context(), home, "recordings", "play", d.file, "--signer", d.signer, "--speed", "1000")
	s.see("Passphrase of ")
	s.enter("open, sesame")
	s.see("That is not its passphrase.")
	s.see("Passphrase of ")
	s.enter("open sesame")
	if code := <-ended; code != 0 || out.String() != "hello\r\n" {
		t.Errorf("%d %q\n%s", code, out, s.shown)
	}
	// Once is enough for any number of recordings.
	ended, out = s.start(t.Context(), home, "recordings", "commands", d.file, d.file, "--signer", d.signer)
	s.see("Passphrase of ")
	s.enter("open sesame")
	if code := <-ended; code != 0 {
		t.Errorf("%d %q\n%s", code, out, s.shown)
	}
	ended, out = s.start(t.Context(), home, "recordings", "play", d.file, "--signer", d.signer)
	for range passphraseTries {
		s.see("Passphrase of ")
		s.enter("guess")
	}
	s.see("the passphrase is wrong")
	if code := <-ended; code != 1 || out.Len() > 0 {
		t.Errorf("three guesses: %d %q", code, out)
	}
	if strings.Contains(s.shown, "sesame") || strings.Contains(s.shown, "guess") {
		t.Errorf("the screen shows what was typed:\n%s", s.shown)
	}
}

func TestPromptsRefuse(t *testing.T) {
	home, s := filepath.Join(t.TempDir(), "home"), newSeat(t)
	for _, c := range []struct{ first, again, says string }{
		{"", "", "The passphrase is empty."},
		{"one", "other", "The two passphrases are not the same."},
		{"\x04", "", "Nothing was typed."},
		{strings.Repeat("x", maxSecret+1), "", "is longer than"},
	} {
		ended, out := s.start(t.Context(), home, "keys", "generate", "dpo")
		s.see("New passphrase of the private key: ")
		s.enter(c.first)
		if c.again != "" {
			s.see("The same again: ")
			s.enter(c.again)
		}
		s.see(c.says)
		if code := <-ended; code != 1 || out.Len() > 0 {
			t.Errorf("%.20q: %d %q", c.first, code, out)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(home, "keys", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Whoever interrupts the question gets their terminal back as it was.
func TestPromptInterrupted(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	home, s := filepath.Join(t.TempDir(), "home"), newSeat(t)
	before, err := term.GetState(int(s.tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended, out := s.start(ctx, home, "keys", "generate", "dpo")
	s.see("New passphrase of the private key: ")
	cancel()
	if code := <-ended; code != 130 || out.Len() > 0 {
		t.Errorf("%d %q\n%s", code, out, s.shown)
	}
	after, err := term.GetState(int(s.tty.Fd()))
	if err != nil || *after != *before || s.hidden() {
		t.Errorf("the terminal is not as it was: %v", err)
	}
	s.enter("") // lets go who still waits for it, as the end of the process would
}
