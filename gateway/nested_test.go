package gateway_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// mallory takes SSH through a forward, in every direction and kind, and whoever speaks first: nothing of its
// identification strings arrives anywhere, and the forward is closed.
func TestNestedRefused(t *testing.T) {
	for _, c := range []struct {
		name, opens, serves string // what the side that connects says first, and what the other does
		heard               string // by the one that connects
		mode                sekisho.NestedMode
		why                 string
	}{
		{"client", "SSH-2.0-x\r\n", "", "", sekisho.NestedRefuse, "SSH inside a forward"},
		{"server", "", "SSH-2.0-y\r\n", "", sekisho.NestedRefuse, "SSH inside a forward"},
		{"both", "SSH-2.0-x\r\n", "SSH-2.0-y\r\n", "", sekisho.NestedRefuse, "SSH inside a forward"},
		{"server after lines", "", "hello\r\nSSH-2.0-y\r\n", "hello\r\n", sekisho.NestedRefuse, "SSH inside a forward"},
		{"server after other bytes of the client", "GET", "SSH-2.0-y\r\n", "", sekisho.NestedRefuse, "SSH inside a forward"},
		{"no target", "SSH-2.0-x\r\n", "", "", sekisho.NestedRecord, "SSH inside a forward to what is no target"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			heard := make(chan string, 1)
			h.decision.Limits.Nested = c.mode
			h.forwards("*:*", "").dial = accept(func(ch ssh.Channel) {
				if c.opens == "GET" {
					io.ReadFull(ch, make([]byte, 3))
				}
				io.WriteString(ch, c.serves)
				all, _ := io.ReadAll(ch)
				heard <- string(all)
			})
			conn, err := h.mustClient().Dial("tcp", "db2:22")
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, c.opens)
			if got, _ := io.ReadAll(conn); string(got) != c.heard {
				t.Errorf("the user's side heard %q", got)
			}
			conn.Close()
			if got := <-heard; got != "" {
				t.Errorf("the target's side heard %q", got)
			}
			want(t, h.awaitEvent(sekisho.EventChannelRefused), "type", "direct-tcpip", "destination", "db2:22", "why", c.why, "channel", "1")
			want(t, h.awaitEvent(sekisho.EventForwardClosed), "why", c.why)
		})
	}
}

// The same for what the target opens to the user: there the target's side is the one that connects.
func TestNestedRefusedFromTarget(t *testing.T) {
	for name, c := range map[string]struct{ opens, serves string }{"client": {"SSH-2.0-x\r\n", ""}, "server": {"", "SSH-2.0-y\r\n"}} {
		for _, mode := range []sekisho.NestedMode{sekisho.NestedRefuse, sekisho.NestedRecord} {
			t.Run(name+" "+string(mode), func(t *testing.T) {
				h := newHouse(t)
				h.decision.Limits.Nested = mode
				h.find = map[string]string{"localhost": "web1"}
				end := h.forwards("", "*:*")
				end.request = func(req *ssh.Request) { req.Reply(true, nil) }
				client := h.mustClient()
				heard := make(chan string, 1)
				opened := client.HandleChannelOpen("forwarded-tcpip")
				go func() {
					accept(func(ch ssh.Channel) {
						io.WriteString(ch, c.serves)
						all, _ := io.ReadAll(ch)
						heard <- string(all)
					})(<-opened)
				}()
				if ok, _, err := client.SendRequest("tcpip-forward", true, listenRequest("localhost", 22)); !ok {
					t.Fatal(err)
				}
				ch := mustOpen(t, <-end.conn, "forwarded-tcpip", tcpOpen("localhost", 22))
				io.WriteString(ch, c.opens)
				if all, _ := io.ReadAll(ch); len(all) > 0 {
					t.Errorf("the target's side heard %q", all)
				}
				ch.Close()
				if got := <-heard; got != "" {
					t.Errorf("the user's side heard %q", got)
				}
				why := "SSH inside a forward"
				if mode == sekisho.NestedRecord {
					why += " of a kind that cannot be recorded"
				}
				want(t, h.awaitEvent(sekisho.EventChannelRefused), "destination", "localhost:22", "why", why)
				h.awaitEvent(sekisho.EventForwardClosed)
			})
		}
	}
}

// A user who says no more, and is answered by SSH, speaks none: there is nothing to take over.
func TestNestedAfterEndOfInput(t *testing.T) {
	h := newHouse(t)
	h.decision.Limits.Nested = sekisho.NestedRecord
	h.find = map[string]string{"db2": "db2"}
	h.forwards("*:*", "").dial = accept(func(ch ssh.Channel) {
		io.ReadAll(ch)
		io.WriteString(ch, "SSH-2.0-y\r\n")
	})
	conn, err := h.mustClient().Dial("tcp", "db2:22")
	if err != nil {
		t.Fatal(err)
	}
	conn.(interface{ CloseWrite() error }).CloseWrite()
	if got, _ := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("heard %q", got)
	}
	conn.Close()
	want(t, h.awaitEvent(sekisho.EventChannelRefused), "why", "SSH inside a forward, answering what is not SSH")
}

// What only looks like the beginning of SSH arrives whole, also where it ends there.
func TestNearlyNested(t *testing.T) {
	for _, text := range []string{"S", "SSH", "SSL", "SSH\n", "SS" + strings.Repeat("x", 100_000)} {
		h := newHouse(t)
		h.forwards("*:*", "").dial = accept(func(ch ssh.Channel) {
			all, _ := io.ReadAll(ch)
			ch.Write(all)
		})
		conn, err := h.mustClient().Dial("tcp", "db2:22")
		if err != nil {
			t.Fatal(err)
		}
		for i := range min(len(text), 4) {
			io.WriteString(conn, text[i:i+1])
		}
		io.WriteString(conn, text[min(len(text), 4):])
		conn.(interface{ CloseWrite() error }).CloseWrite()
		if got, err := io.ReadAll(conn); string(got) != text {
			t.Errorf("of %.20q came back %.20q, %v", text, got, err)
		}
		conn.Close()
	}
}

// listensFirst is a client's connection whose first words wait until the server has spoken.
type listensFirst struct {
	net.Conn
	waiting []byte
	heard   bool
}

func (c *listensFirst) Write(p []byte) (int, error) {
	if c.heard {
		return c.Conn.Write(p)
	}
	c.waiting = append(c.waiting, p...)
	return len(p), nil
}

func (c *listensFirst) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.heard && n > 0 {
		c.heard = true
		c.Conn.Write(c.waiting)
	}
	return n, err
}

// opensForward lets SSH inside a forward be recorded and opens one that leads to db1's address, where serve speaks instead
// of db1.
func (w *ways) opensForward(serve func(ssh.Channel)) (outer *ssh.Client, conn net.Conn) {
	w.t.Helper()
	w.decision.Limits.Nested = sekisho.NestedRecord
	w.find["10.0.0.2"] = "db1"
	w.forwards("10.0.0.0/8:22", "").dial = accept(serve)
	outer = w.mustClient()
	return outer, w.dials(outer)
}

func (w *ways) dials(outer *ssh.Client) net.Conn {
	w.t.Helper()
	conn, err := outer.Dial("tcp", "10.0.0.2:22")
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// silent hears everything and says nothing.
func silent(ch ssh.Channel) { io.Copy(io.Discard, ch) }

// goesIn begins SSH inside a forward as mei.
func (w *ways) goesIn(conn net.Conn) *ssh.Client {
	w.t.Helper()
	shows := &terminal{}
	inner, err := w.shake(conn, "10.0.0.2:22", w.client("root", shows, w.mei()))
	if err != nil {
		w.t.Fatal(err, shows)
	}
	return inner
}

// The gateway ends SSH inside a forward, where the policy says so: it is a session of its own, recorded, and nothing of
// it reaches what the forward led to, whoever speaks first.
func TestNestedRecorded(t *testing.T) {
	for name, serverFirst := range map[string]bool{"client first": false, "server first": true} {
		t.Run(name, func(t *testing.T) {
			w := newWays(t)
			heard := make(chan string, 1)
			outer, conn := w.opensForward(func(ch ssh.Channel) {
				if serverFirst {
					io.WriteString(ch, "SSH-2.0-target\r\n")
				}
				all, _ := io.ReadAll(ch)
				heard <- string(all)
			})
			if serverFirst {
				conn = &listensFirst{Conn: conn}
			}
			inner := w.goesIn(conn)
			if got := <-heard; got != "" {
				t.Errorf("what the forward led to heard %q", got)
			}
			s, err := inner.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Repeat("deep inside\n", 50_000)
			s.Stdin = strings.NewReader(text)
			if out, err := s.Output("cat"); string(out) != text {
				t.Errorf("%d bytes of %d came back, %v", len(out), len(text), err)
			}
			inner.Close()
			want(t, w.awaitEvent(sekisho.EventForwardClosed), "why", "SSH, ended at the gateway as a session of its own")
			started := w.eventsOf(sekisho.EventSessionStarted)
			if len(started) != 2 {
				t.Fatalf("%d sessions", len(started))
			}
			w.house.mu.Lock()
			parent := w.events[0].Session
			w.house.mu.Unlock()
			want(t, started[1], "way", "forward", "parent", parent, "door", "audit")
			if all := w.eventsOf(sekisho.EventChannelRefused); len(all) > 0 {
				t.Errorf("refused %v", all)
			}
			outer.Close()
			waitFor(t, func() bool { return len(w.eventsOf(sekisho.EventSessionEnded)) == 2 })
			var n int
			if fmt.Sscan(w.eventsOf(sekisho.EventSessionEnded)[1]["bytes_in"], &n); n < len(text) {
				t.Errorf("the outer session counted %d bytes from the user", n)
			}
		})
	}
}

// mallory has no right to be where the SSH inside goes, or no certificate for it.
func TestNestedIsDecided(t *testing.T) {
	w := newWays(t)
	outer, conn := w.opensForward(silent)
	stranger := w.holder("mallory", []string{"gateway"})
	w.signs = newKey(t)
	shows := &terminal{}
	if _, err := w.shake(conn, "10.0.0.2:22", w.client("root", shows, newKey(t), w.mei())); err == nil {
		t.Error("let in with a key of nobody's")
	}
	w.decision = sekisho.Decision{Effect: sekisho.Deny, Reason: "No policy lets you."}
	if _, err := w.shake(w.dials(outer), "10.0.0.2:22", w.client("root", shows, stranger)); err == nil || !strings.Contains(shows.String(), "No policy lets you.") {
		t.Errorf("let in against the policies: %v, shown %q", err, shows)
	}
}

// It is let through because it is recorded, so it is recorded though the inner session's decision asks for no audit.
func TestNestedIsRecordedInAnyCase(t *testing.T) {
	w := newWays(t)
	_, conn := w.opensForward(silent)
	w.decision.Limits.Audit = sekisho.AuditNone
	inner := w.goesIn(conn)
	s, err := inner.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Output("echo deep inside"); err != nil {
		t.Fatal(err)
	}
	if got := w.tape.said(recording.Output); got != "deep inside\n" {
		t.Errorf("recorded %q", got)
	}
}

// Where the client of the outer session goes, what is inside ends by itself, as that client's session does.
func TestNestedHangsUp(t *testing.T) {
	w := newWays(t)
	outer, conn := w.opensForward(silent)
	inner := w.goesIn(conn)
	hanging(t, inner)
	outer.Close()
	waitFor(t, func() bool { return len(w.noted(sekisho.EventSessionEnded)) == 2 })
	for _, ev := range w.noted(sekisho.EventSessionEnded) {
		if ev.Error != "" {
			t.Errorf("a session ended with %q", ev.Error)
		}
	}
}

// What is inside a session ends with it.
func TestNestedEndsWithOuter(t *testing.T) {
	w := newWays(t)
	_, conn := w.opensForward(silent)
	inner := w.goesIn(conn)
	hanging(t, inner)
	w.gateway.End(func(s sekisho.Session) bool { return s.Parent == "" })
	inner.Wait()
	waitFor(t, func() bool { return len(w.eventsOf(sekisho.EventSessionEnded)) == 2 })
}
