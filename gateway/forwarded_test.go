package gateway_test

import (
	"io"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// granting is a program that says yes to agent and display, and yes or no to everything else never.
func granting(ok bool) func(ssh.Channel, <-chan *ssh.Request) {
	return func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		for req := range reqs {
			req.Reply(ok, nil)
		}
		ch.Close()
	}
}

func x11Request(single bool) []byte {
	return ssh.Marshal(struct {
		Single           bool
		Protocol, Cookie string
		Screen           uint32
	}{single, "MIT-MAGIC-COOKIE-1", "00112233", 0})
}

func x11Open() []byte {
	return ssh.Marshal(struct {
		Origin string
		Port   uint32
	}{"127.0.0.1", 40123})
}

// echo answers channels of a type on the user's side.
func echo(c *ssh.Client, kind string) {
	opened := c.HandleChannelOpen(kind)
	go func() {
		for nc := range opened {
			accept(func(ch ssh.Channel) { io.Copy(ch, ch) })(nc)
		}
	}()
}

// The target reaches the user's agent and display only after the user asked for it, the limits allowed it and the target
// said yes.
func TestAgentAndDisplay(t *testing.T) {
	for _, c := range []struct {
		name, request, channel string
		ask, open              []byte
		allow                  func(*sekisho.Limits)
		origin                 string
	}{
		{"agent", "auth-agent-req@openssh.com", "auth-agent@openssh.com", nil, nil, func(l *sekisho.Limits) { l.Agent = true }, ""},
		{"x11", "x11-req", "x11", x11Request(false), x11Open(), func(l *sekisho.Limits) { l.X11 = true }, "127.0.0.1:40123"},
	} {
		for _, way := range []struct {
			name                   string
			allowed, asked, agreed bool
		}{
			{"granted", true, true, true}, {"not allowed", false, true, true}, {"not asked for", true, false, true}, {"not agreed to", true, true, false},
		} {
			t.Run(c.name+" "+way.name, func(t *testing.T) {
				h := newHouse(t)
				end := h.forwards("", "")
				h.program = granting(way.agreed)
				if way.allowed {
					c.allow(&h.decision.Limits)
				}
				client := h.mustClient()
				echo(client, c.channel)
				ch, reqs, err := client.OpenChannel("session", nil)
				if err != nil {
					t.Fatal(err)
				}
				go ssh.DiscardRequests(reqs)
				granted := way.allowed && way.asked && way.agreed
				if way.asked {
					if ok, err := ch.SendRequest(c.request, true, c.ask); ok != granted || err != nil {
						t.Fatalf("asked: %t, %v", ok, err)
					}
				}
				target := <-end.conn
				if !granted {
					if _, _, err := target.OpenChannel(c.channel, c.open); err == nil {
						t.Error("the user's side was opened")
					}
					waitFor(t, func() bool { return len(h.eventsOf(sekisho.EventChannelRefused)) > 0 })
					if all := h.eventsOf(sekisho.EventForward); len(all) > 0 {
						t.Errorf("noted %v", all)
					}
					return
				}
				if _, _, err := target.OpenChannel(c.channel, []byte("x")); err == nil {
					t.Error("a malformed channel was opened")
				}
				for range 2 {
					forward := mustOpen(t, target, c.channel, c.open)
					io.WriteString(forward, "hello")
					forward.CloseWrite()
					if all, err := io.ReadAll(forward); string(all) != "hello" {
						t.Errorf("got %q, %v", all, err)
					}
					forward.Close()
				}
				waitFor(t, func() bool { return len(h.eventsOf(sekisho.EventForwardClosed)) == 2 })
				want(t, h.eventsOf(sekisho.EventForward)[0], "type", c.channel, "origin", c.origin, "destination", "")
				want(t, h.eventsOf(sekisho.EventForwardClosed)[1], "bytes_in", "5", "bytes_out", "5")
			})
		}
	}
}

// A single connection to the display was asked for: a second one is refused.
func TestSingleX11(t *testing.T) {
	h := newHouse(t)
	end := h.forwards("", "")
	h.program = granting(true)
	h.decision.Limits.X11 = true
	client := h.mustClient()
	echo(client, "x11")
	ch, reqs, err := client.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	if ok, err := ch.SendRequest("x11-req", true, x11Request(true)); !ok {
		t.Fatal(err)
	}
	target := <-end.conn
	mustOpen(t, target, "x11", x11Open()).Close()
	if _, _, err := target.OpenChannel("x11", x11Open()); err == nil {
		t.Error("a second one")
	}
}

// The target opens no other channels to the user.
func TestFarRefused(t *testing.T) {
	h := newHouse(t)
	end := h.forwards("*:*", "*:*")
	h.mustClient()
	target := <-end.conn
	for kind, why := range map[string]string{
		"session": "not relayed from this side", "direct-tcpip": "not relayed from this side", "tun@openssh.com": "not relayed from this side", "x@example.com": "unknown",
	} {
		if _, _, err := target.OpenChannel(kind, tcpOpen("127.0.0.1", 22)); err == nil {
			t.Errorf("%s reached the user", kind)
		}
		all := h.eventsOf(sekisho.EventChannelRefused)
		want(t, all[len(all)-1], "type", kind, "why", why)
	}
}
