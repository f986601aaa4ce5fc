package gateway_test

import (
	"slices"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// What is refused must not fill the log, however often it is asked for; the end of the session says how often that was.
func TestRefusalsAreBounded(t *testing.T) {
	h := newHouse(t)
	c := h.mustClient()
	ch, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	const each = 60
	for range each {
		if _, _, err := c.OpenChannel("direct-tcpip", nil); err == nil {
			t.Fatal("direct-tcpip was opened")
		}
		if ok, _, _ := c.SendRequest("tcpip-forward", true, nil); ok {
			t.Fatal("tcpip-forward was granted")
		}
		if ok, _ := ch.SendRequest("x11-req", true, nil); ok {
			t.Fatal("x11-req was granted")
		}
	}
	c.Close()
	waitFor(t, func() bool { return slices.Contains(h.kinds(), sekisho.EventSessionEnded) })
	h.mu.Lock()
	defer h.mu.Unlock()
	noted := 0
	for _, ev := range h.events {
		switch ev.Kind {
		case sekisho.EventChannelRefused:
			noted++
		case sekisho.EventSessionEnded:
			if got := ev.Detail["refused"]; got != "180" {
				t.Errorf("the session's end says %q refusals, want 180", got)
			}
		}
	}
	if noted != 100 {
		t.Errorf("%d refusals noted, want 100", noted)
	}
}

// A target that garbles how its program ended must not hold up what it says.
func TestGarbledExit(t *testing.T) {
	h := newHouse(t)
	s, err := h.mustClient().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Output("garble said")
	if string(out) != "said" || err != nil {
		t.Errorf("got %q, %v", out, err)
	}
}
