package gateway_test

import (
	"io"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestEndOfInputAfterStart: ssh with stdin at its end says so right after it has asked for a program. sshd must
// not hear of it while the program is still being put on the tape: it would forget, and the program would wait.
func TestEndOfInputAfterStart(t *testing.T) {
	h := newHouse(t)
	h.tape.hold = make(chan struct{})
	order := make(chan string, 2)
	h.program = func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		defer ch.Close()
		go func() {
			req, ok := <-reqs
			if !ok {
				return
			}
			order <- req.Type
			req.Reply(true, nil)
			ssh.DiscardRequests(reqs)
		}()
		io.Copy(io.Discard, ch)
		order <- "end of input"
	}
	ch, reqs, err := h.mustClient().OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	if err := ch.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() {
		_, err := ch.SendRequest("exec", true, ssh.Marshal(struct{ Line string }{"cat"}))
		started <- err
	}()
	select {
	case early := <-order:
		t.Errorf("before the program was on the tape the target heard of %s", early)
	case <-time.After(50 * time.Millisecond):
	}
	close(h.tape.hold)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"exec", "end of input"} {
		if got := <-order; got != want {
			t.Errorf("the target heard of %s, want %s", got, want)
		}
	}
}
