package gateway_test

import (
	"io"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// A client that closes its channel once the output ends, as PuTTY does, has heard by then how the program ended.
func TestExitStatusComesBeforeTheEndOfOutput(t *testing.T) {
	h := newHouse(t)
	h.program = func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		defer ch.Close()
		req := <-reqs
		req.Reply(true, nil)
		ch.CloseWrite()
		time.Sleep(50 * time.Millisecond) // the end of output overtakes the exit status if anything lets it
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{7}))
	}
	ch, requests, err := h.mustClient().OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{"any"})); !ok || err != nil {
		t.Fatal(ok, err)
	}
	ch.CloseWrite()
	io.Copy(io.Discard, ch)
	ch.Close()
	var status struct{ Code uint32 }
	for req := range requests {
		if req.Type == "exit-status" {
			ssh.Unmarshal(req.Payload, &status)
		}
	}
	if status.Code != 7 {
		t.Error("the exit status is lost")
	}
}

// A program that closes its output and goes on does not keep the user waiting for that end.
func TestOutputEndsBeforeTheProgram(t *testing.T) {
	h := newHouse(t)
	over := make(chan struct{})
	h.program = func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		defer ch.Close()
		req := <-reqs
		req.Reply(true, nil)
		ch.CloseWrite()
		<-over
	}
	ch, _, err := h.mustClient().OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{"any"})); !ok || err != nil {
		t.Fatal(ok, err)
	}
	io.Copy(io.Discard, ch) // would hang
	close(over)
}
