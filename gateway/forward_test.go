package gateway_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// targetEnd is a target's sshd with forwards: what it is asked for goes to funcs of the test.
type targetEnd struct {
	conn    chan ssh.Conn // of each session
	dial    func(ssh.NewChannel)
	request func(*ssh.Request)
}

// forwards gives the house a target with forwards, and the user the lists.
func (h *house) forwards(forward, listen string) *targetEnd {
	h.decision.Limits.Forward = destinations(h.t, forward)
	h.decision.Limits.Listen = destinations(h.t, listen)
	end := &targetEnd{conn: make(chan ssh.Conn, 8),
		dial:    func(ch ssh.NewChannel) { ch.Reject(ssh.ConnectionFailed, "nobody there") },
		request: func(req *ssh.Request) { req.Reply(false, nil) },
	}
	h.sshd = func(conn ssh.Conn, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
		end.conn <- conn
		go func() {
			for req := range requests {
				end.request(req)
			}
		}()
		for nc := range channels {
			if nc.ChannelType() != "session" {
				go end.dial(nc)
				continue
			}
			if ch, reqs, err := nc.Accept(); err == nil {
				go h.program(ch, reqs)
			}
		}
	}
	return end
}

func destinations(t *testing.T, list string) (all []sekisho.Destination) {
	t.Helper()
	for text := range strings.FieldsSeq(list) {
		d, err := sekisho.ParseDestination(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// accept serves a channel with a func and closes it then.
func accept(serve func(ssh.Channel)) func(ssh.NewChannel) {
	return func(nc ssh.NewChannel) {
		ch, reqs, err := nc.Accept()
		if err != nil {
			return
		}
		go ssh.DiscardRequests(reqs)
		serve(ch)
		ch.Close()
	}
}

// eventsOf are the details of the events of a kind.
func (h *house) eventsOf(kind string) (all []map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ev := range h.events {
		if ev.Kind == kind {
			all = append(all, ev.Detail)
		}
	}
	return all
}

// awaitEvent waits for the one event of a kind.
func (h *house) awaitEvent(kind string) map[string]string {
	h.t.Helper()
	waitFor(h.t, func() bool { return len(h.eventsOf(kind)) > 0 })
	all := h.eventsOf(kind)
	if len(all) != 1 {
		h.t.Fatalf("%d events %s", len(all), kind)
	}
	return all[0]
}

func want(t *testing.T, got map[string]string, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got[pairs[i]] != pairs[i+1] {
			t.Errorf("%s is %q, want %q, in %v", pairs[i], got[pairs[i]], pairs[i+1], got)
		}
	}
}

// Bytes go both ways, each direction ends by itself, and all of it is noted and counted: the opening before the target
// hears of it.
func TestForward(t *testing.T) {
	text := strings.Repeat("all of it\n", 100_000)
	for _, c := range []struct{ kind, network, to, destination, origin string }{
		{"direct-tcpip", "tcp", "db2.internal:5432", "db2.internal:5432", "0.0.0.0:0"},
		{"direct-tcpip", "tcp", "[fd00::7]:443", "[fd00::7]:443", "0.0.0.0:0"},
		{"direct-streamlocal@openssh.com", "unix", "/run/app/main.sock", "/run/app/main.sock", ""},
	} {
		t.Run(c.to, func(t *testing.T) {
			h := newHouse(t)
			end := h.forwards("*.internal:5432 [fd00::/8]:* /run/app/*.sock", "")
			end.dial = func(nc ssh.NewChannel) {
				opening := h.eventsOf(sekisho.EventForward)
				if len(opening) != 1 {
					t.Errorf("the target was asked when %d openings were noted", len(opening))
				}
				accept(func(ch ssh.Channel) {
					all, _ := io.ReadAll(ch) // until the user's end of input
					fmt.Fprintf(ch, "%d bytes\n", len(all))
					io.Copy(ch, strings.NewReader(text))
				})(nc)
			}
			conn, err := h.mustClient().Dial(c.network, c.to)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, text)
			conn.(interface{ CloseWrite() error }).CloseWrite()
			answer, err := io.ReadAll(conn)
			if err != nil || string(answer) != "1000000 bytes\n"+text {
				t.Errorf("got %d bytes, %v", len(answer), err)
			}
			conn.Close()
			want(t, h.awaitEvent(sekisho.EventForward), "channel", "1", "type", c.kind, "destination", c.destination, "origin", c.origin)
			want(t, h.awaitEvent(sekisho.EventForwardClosed), "channel", "1", "bytes_in", "1000000", "bytes_out", "1000014", "why", "closed")
		})
	}
}

// The recording knows the forwards; the session's end counts their bytes.
func TestForwardIsRecorded(t *testing.T) {
	h := newHouse(t)
	h.forwards("*:*", "").dial = accept(func(ch ssh.Channel) { io.WriteString(ch, "hello") })
	c := h.mustClient()
	conn, err := c.Dial("tcp", "db2:1")
	if err != nil {
		t.Fatal(err)
	}
	io.ReadAll(conn)
	conn.Close()
	h.awaitEvent(sekisho.EventForwardClosed)
	c.Close()
	want(t, h.awaitEvent(sekisho.EventSessionEnded), "bytes_in", "0", "bytes_out", "5")
	const entries = `{"type":"direct-tcpip","destination":"db2:1","origin":"0.0.0.0:0"}` +
		`{"type":"direct-tcpip","destination":"db2:1","bytes_in":0,"bytes_out":5,"why":"closed"}`
	if got := h.tape.said(recording.Forward); got != entries {
		t.Errorf("recorded %s", got)
	}
}

// mallory asks for places that no policy lets her reach, and for what are no places. The target hears nothing of it.
func TestForwardRefused(t *testing.T) {
	tcp := func(host string, port uint32) []byte {
		return ssh.Marshal(struct {
			Host       string
			Port       uint32
			Origin     string
			OriginPort uint32
		}{host, port, "127.0.0.1", 1})
	}
	socket := func(path string) []byte {
		return ssh.Marshal(struct {
			Path, Reserved string
			Port           uint32
		}{path, "", 0})
	}
	for _, c := range []struct {
		kind    string
		payload []byte
		why     string
		to      string
	}{
		{"direct-tcpip", tcp("db3.internal", 5432), "no policy allows it", "db3.internal:5432"},
		{"direct-tcpip", tcp("db2.internal", 22), "no policy allows it", "db2.internal:22"},
		{"direct-tcpip", tcp("db2.internal.evil.example", 5432), "no policy allows it", "db2.internal.evil.example:5432"},
		{"direct-tcpip", tcp("169.254.169.254", 80), "no policy allows it", "169.254.169.254:80"},
		{"direct-tcpip", tcp("10.1", 80), "no policy allows it", "10.1:80"}, // inet_aton takes it for 10.0.0.1
		{"direct-tcpip", tcp("::ffff:127.0.0.1", 80), "no policy allows it", "[::ffff:127.0.0.1]:80"},
		{"direct-tcpip", tcp("", 80), "malformed", ""},
		{"direct-tcpip", tcp("10.0.0.1", 0), "malformed", ""},
		{"direct-tcpip", tcp("10.0.0.1", 65536+80), "malformed", ""},
		{"direct-tcpip", tcp("10.0.0.1\x00", 80), "malformed", ""},
		{"direct-tcpip", tcp("a b", 80), "malformed", ""},
		{"direct-tcpip", tcp(strings.Repeat("a", 256), 80), "malformed", ""},
		{"direct-tcpip", nil, "malformed", ""},
		{"direct-tcpip", append(tcp("10.0.0.1", 80), 0), "malformed", ""},
		{"direct-streamlocal@openssh.com", socket("/run/docker.sock"), "no policy allows it", "/run/docker.sock"},
		{"direct-streamlocal@openssh.com", socket("/run/app/../docker.sock"), "no policy allows it", "/run/app/../docker.sock"},
		{"direct-streamlocal@openssh.com", socket("/run/app/x/y.sock"), "no policy allows it", "/run/app/x/y.sock"},
		{"direct-streamlocal@openssh.com", socket("run/app/x.sock"), "malformed", ""},
		{"direct-streamlocal@openssh.com", socket("/run/app/x\x00.sock"), "malformed", ""},
		{"direct-streamlocal@openssh.com", socket("/" + strings.Repeat("a", 512)), "malformed", ""},
		{"direct-streamlocal@openssh.com", tcp("10.0.0.1", 80), "malformed", ""},
		{"forwarded-tcpip", tcp("10.0.0.1", 80), "not relayed from this side", ""},
		{"x11", nil, "not relayed from this side", ""},
		{"auth-agent@openssh.com", nil, "not relayed from this side", ""},
		{"tun@openssh.com", nil, "not relayed from this side", ""},
		{"teleport@example.com", nil, "unknown", ""},
	} {
		t.Run(c.kind+" "+c.to, func(t *testing.T) {
			h := newHouse(t)
			h.forwards("db2.internal:5432 10.0.0.0/8:80 /run/app/*.sock", "").dial = func(ssh.NewChannel) { t.Error("the target was asked") }
			_, _, err := h.mustClient().OpenChannel(c.kind, c.payload)
			var refused *ssh.OpenChannelError
			reason := ssh.Prohibited
			if c.why == "unknown" {
				reason = ssh.UnknownChannelType
			}
			if !errors.As(err, &refused) || refused.Reason != reason {
				t.Fatalf("got %v", err)
			}
			if c.to != "" && refused.Message != "No policy lets you reach "+c.to+" through db1. You may reach db2.internal:5432, 10.0.0.0/8:80, /run/app/*.sock. Ask an administrator to allow it by @forward." {
				t.Errorf("said %q", refused.Message)
			}
			want(t, h.awaitEvent(sekisho.EventChannelRefused), "type", c.kind, "destination", c.to, "why", c.why)
		})
	}
}

// A refusal names the first destinations that are allowed, and counts the others.
func TestForwardRefusedNames(t *testing.T) {
	for list, text := range map[string]string{
		"":                                   "No policy allows you any forward there.",
		"a:1":                                "You may reach a:1.",
		"a:1 b:1 c:1 d:1 e:1":                "You may reach a:1, b:1, c:1, d:1, e:1.",
		"a:1 b:1 c:1 d:1 e:1 f:1 g:1 [::]:1": "You may reach a:1, b:1, c:1, d:1, e:1 and 3 more.",
	} {
		h := newHouse(t)
		h.forwards(list, "")
		_, err := h.mustClient().Dial("tcp", "z:1")
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) || refused.Message != "No policy lets you reach z:1 through db1. "+text+" Ask an administrator to allow it by @forward." {
			t.Errorf("%q: got %v", list, err)
		}
	}
}

func TestForwardRefusedByTarget(t *testing.T) {
	h := newHouse(t)
	h.forwards("*:*", "")
	_, err := h.mustClient().Dial("tcp", "db2:1")
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) || refused.Reason != ssh.ConnectionFailed || refused.Message != "nobody there" {
		t.Errorf("got %v", err)
	}
	want(t, h.awaitEvent(sekisho.EventForwardClosed), "bytes_in", "0", "bytes_out", "0", "why", "refused: nobody there")
}

// One forward whose destination does not answer holds up neither sessions nor other forwards.
func TestSlowForward(t *testing.T) {
	h := newHouse(t)
	asked := make(chan struct{})
	h.forwards("*:*", "").dial = func(nc ssh.NewChannel) {
		if strings.Contains(string(nc.ExtraData()), "silent") {
			close(asked)
			return
		}
		accept(func(ch ssh.Channel) { io.Copy(ch, ch) })(nc)
	}
	c := h.mustClient()
	go c.Dial("tcp", "silent:1")
	<-asked
	conn, err := c.Dial("tcp", "db2:1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.Output("echo fine"); string(out) != "fine\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestForwardsAreBounded(t *testing.T) {
	h := newHouse(t)
	h.forwards("*:*", "").dial = accept(func(ch ssh.Channel) { io.Copy(ch, ch) })
	c := h.mustClient()
	var open []net.Conn
	for range 256 {
		conn, err := c.Dial("tcp", "db2:1")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	_, err := c.Dial("tcp", "db2:1")
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) || refused.Reason != ssh.ResourceShortage {
		t.Errorf("the 257th: %v", err)
	}
	for _, conn := range open {
		conn.Close()
	}
	waitFor(t, func() bool { return len(h.eventsOf(sekisho.EventForwardClosed)) == 256 })
	waitFor(t, func() bool {
		conn, err := c.Dial("tcp", "db2:1")
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// A forward that cannot be noted is not opened, and the session ends.
func TestNoForwardWithoutNote(t *testing.T) {
	h := newHouse(t)
	h.forwards("*:*", "").dial = func(ssh.NewChannel) { t.Error("the target was asked") }
	c := h.mustClient()
	h.mu.Lock()
	h.noteErr = errors.New("log is gone")
	h.mu.Unlock()
	if _, err := c.Dial("tcp", "db2:1"); err == nil {
		t.Error("a forward that nobody noted")
	}
	if err := c.Wait(); err == nil {
		t.Error("the session went on")
	}
}

// When one side closes all of it, the other hears of it, though it says nothing itself.
func TestForwardClosedByOneSide(t *testing.T) {
	for name, user := range map[string]bool{"user": true, "target": false} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			gone := make(chan struct{})
			h.forwards("*:*", "").dial = accept(func(ch ssh.Channel) {
				io.WriteString(ch, "hello")
				if user {
					io.Copy(io.Discard, ch)
					close(gone)
				}
			})
			ch, reqs, err := h.mustClient().OpenChannel("direct-tcpip", tcpOpen("db2", 1))
			if err != nil {
				t.Fatal(err)
			}
			if user {
				ch.Close()
				<-gone
			} else if all, err := io.ReadAll(ch); string(all) != "hello" || err != nil {
				t.Errorf("got %q, %v", all, err)
			}
			for range reqs {
				t.Error("a request on a forward")
			}
			h.awaitEvent(sekisho.EventForwardClosed)
		})
	}
}

func tcpOpen(host string, port uint32) []byte {
	return ssh.Marshal(struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}{host, port, "192.0.2.1", 4022})
}

// A session that ends takes its forwards with it, and notes them before its own end.
func TestForwardEndsWithSession(t *testing.T) {
	h := newHouse(t)
	h.forwards("*:*", "").dial = accept(func(ch ssh.Channel) { io.Copy(ch, ch) })
	c := h.mustClient()
	for range 5 {
		conn, err := c.Dial("tcp", "db2:1")
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, "x")
		io.ReadFull(conn, make([]byte, 1))
	}
	h.gateway.End(func(sekisho.Session) bool { return true })
	c.Wait()
	waitFor(t, func() bool { return slices.Contains(h.kinds(), sekisho.EventSessionEnded) })
	kinds := h.kinds()
	if last := kinds[len(kinds)-1]; last != sekisho.EventSessionEnded || len(h.eventsOf(sekisho.EventForwardClosed)) != 5 {
		t.Errorf("noted %v", kinds)
	}
}

// After the user has said so, no more sessions are opened; what was opened before goes on.
func TestNoMoreSessions(t *testing.T) {
	h := newHouse(t)
	h.forwards("*:*", "").dial = accept(func(ch ssh.Channel) { io.Copy(ch, ch) })
	c := h.mustClient()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, err := c.SendRequest("no-more-sessions@openssh.com", true, nil); !ok || err != nil {
		t.Fatal(ok, err)
	}
	var refused *ssh.OpenChannelError
	if _, err := c.NewSession(); !errors.As(err, &refused) || refused.Reason != ssh.Prohibited {
		t.Errorf("one more: %v", err)
	}
	want(t, h.awaitEvent(sekisho.EventChannelRefused), "type", "session", "why", "no more sessions")
	if out, err := s.Output("echo on"); string(out) != "on\n" {
		t.Errorf("got %q, %v", out, err)
	}
	conn, err := c.Dial("tcp", "db2:1")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// Keep-alives are answered, in order with everything else; what is unknown is refused and noted.
func TestGlobalRequests(t *testing.T) {
	h := newHouse(t)
	end := h.forwards("", "")
	c := h.mustClient()
	for _, kind := range []string{"keepalive@openssh.com", "hostkeys-prove-00@openssh.com", "evil@example.com"} {
		if ok, _, err := c.SendRequest(kind, true, []byte("x")); ok || err != nil {
			t.Errorf("%s: %v, %v", kind, ok, err)
		}
	}
	if n := len(h.eventsOf(sekisho.EventChannelRefused)); n != 2 {
		t.Errorf("%d refusals noted", n)
	}
	target := <-end.conn
	for _, kind := range []string{"keepalive@openssh.com", "hostkeys-00@openssh.com"} {
		if ok, _, err := target.SendRequest(kind, true, []byte("x")); ok || err != nil {
			t.Errorf("%s: %v, %v", kind, ok, err)
		}
	}
}

// What comes over a forward while the user does not read is bounded by SSH's windows, and a session is not held up.
func TestForwardUnread(t *testing.T) {
	h := newHouse(t)
	var sent sync.WaitGroup
	sent.Add(1)
	h.forwards("*:*", "").dial = accept(func(ch ssh.Channel) {
		defer sent.Done()
		io.CopyN(ch, zeros{}, 20<<20)
	})
	c := h.mustClient()
	ch, reqs, err := c.OpenChannel("direct-tcpip", tcpOpen("db2", 1))
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.Output("echo on"); string(out) != "on\n" {
		t.Errorf("got %q, %v", out, err)
	}
	ch.Close()
	sent.Wait()
	detail := h.awaitEvent(sekisho.EventForwardClosed)
	var n int
	if fmt.Sscan(detail["bytes_out"], &n); n == 20<<20 || n > 8<<20 {
		t.Errorf("%d bytes were taken from the target for a user who reads none", n)
	}
}
