package gateway_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

func listenRequest(address string, port uint32) []byte {
	return ssh.Marshal(struct {
		Address string
		Port    uint32
	}{address, port})
}

func socketRequest(path string) []byte { return ssh.Marshal(struct{ Path string }{path}) }

// What the target is asked to listen on is within the list; addresses that mean every address are held by what holds
// every address (RFC 4254, section 7.1).
func TestListenLimits(t *testing.T) {
	for _, c := range []struct {
		list, address string
		port          uint32
		granted       bool
	}{
		{"localhost:8080", "localhost", 8080, true},
		{"localhost:8080", "LOCALHOST", 8080, true},
		{"localhost:8080", "localhost", 8081, false},
		{"localhost:8080", "127.0.0.1", 8080, false},
		{"localhost:8080", "", 8080, false},
		{"localhost:8080", "*", 8080, false},
		{"localhost:8080", "0.0.0.0", 8080, false},
		{"127.0.0.0/8:8080", "127.0.0.2", 8080, true},
		{"127.0.0.0/8:8080", "localhost", 8080, false},
		{"0.0.0.0:8080", "0.0.0.0", 8080, true},
		{"0.0.0.0:8080", "", 8080, false},
		{"0.0.0.0:8080 [::]:8080", "", 8080, true},
		{"0.0.0.0:8080 [::]:8080", "*", 8080, true},
		{"0.0.0.0:8080 [::]:8080", "10.0.0.1", 8080, false},
		{"*:8080", "", 8080, true},
		{"*:8080", "::", 8080, true},
		{"*:8080", "10.0.0.1", 8080, true},
		{"*:8080", "localhost", 0, false},
		{"*:*", "", 0, true},
		{"*:0", "localhost", 0, false},
		{"*:0-100", "localhost", 0, false},
		{"localhost:*", "localhost", 0, true},
		{"localhost:*", "", 0, false},
		{"localhost:0-100 localhost:100-65535", "localhost", 0, false},
		{"*:*", "localhost", 65536, false},
		{"*:*", "a b", 80, false},
		{"/run/*", "localhost", 80, false},
		{"", "localhost", 8080, false},
	} {
		t.Run(fmt.Sprintf("%s in %s", c.address, c.list), func(t *testing.T) {
			h := newHouse(t)
			var asked atomic.Bool
			h.forwards("*:*", c.list).request = func(req *ssh.Request) {
				asked.Store(true)
				req.Reply(true, binary.BigEndian.AppendUint32(nil, 40001))
			}
			ok, reply, err := h.mustClient().SendRequest("tcpip-forward", true, listenRequest(c.address, c.port))
			if err != nil || ok != c.granted || asked.Load() != c.granted {
				t.Fatalf("granted %t, asked %t, %v", ok, asked.Load(), err)
			}
			if !c.granted {
				h.awaitEvent(sekisho.EventChannelRefused)
				return
			}
			port := c.port
			if port == 0 {
				port = 40001
				if len(reply) != 4 || binary.BigEndian.Uint32(reply) != port {
					t.Errorf("the user is told %x", reply)
				}
			} else if len(reply) > 0 {
				t.Errorf("the user is told %x", reply)
			}
			where := fmt.Sprintf("%s:%d", c.address, port)
			if c.address == "::" {
				where = fmt.Sprintf("[::]:%d", port)
			}
			want(t, h.awaitEvent(sekisho.EventListen), "type", "tcpip-forward", "address", where, "state", "open")
		})
	}
}

func TestListenSocketLimits(t *testing.T) {
	h := newHouse(t)
	h.forwards("", "/run/app/*.sock *:*").request = func(req *ssh.Request) { req.Reply(true, nil) }
	c := h.mustClient()
	for path, granted := range map[string]bool{"/run/app/x.sock": true, "/run/app/x/y.sock": false, "/run/app/../x.sock": false, "x.sock": false, "": false} {
		if ok, _, err := c.SendRequest("streamlocal-forward@openssh.com", true, socketRequest(path)); ok != granted || err != nil {
			t.Errorf("%q: granted %t, %v", path, ok, err)
		}
	}
	want(t, h.awaitEvent(sekisho.EventListen), "type", "streamlocal-forward@openssh.com", "address", "/run/app/x.sock", "state", "open")
}

func TestListensAreBounded(t *testing.T) {
	h := newHouse(t)
	h.forwards("", "*:*").request = func(req *ssh.Request) { req.Reply(true, nil) }
	c := h.mustClient()
	for port := range uint32(65) {
		ok, _, err := c.SendRequest("tcpip-forward", true, listenRequest("localhost", port+1))
		if ok != (port < 64) || err != nil {
			t.Fatalf("the %dth: %t, %v", port+1, ok, err)
		}
	}
	if ok, _, _ := c.SendRequest("cancel-tcpip-forward", true, listenRequest("localhost", 1)); !ok {
		t.Error("not cancelled")
	}
	if ok, _, _ := c.SendRequest("tcpip-forward", true, listenRequest("localhost", 65)); !ok {
		t.Error("none more after one was cancelled")
	}
}

func TestTargetDoesNotListen(t *testing.T) {
	h := newHouse(t)
	end := h.forwards("", "*:*")
	if ok, _, _ := h.mustClient().SendRequest("tcpip-forward", true, listenRequest("localhost", 80)); ok {
		t.Error("the user was told yes")
	}
	want(t, h.awaitEvent(sekisho.EventChannelRefused), "destination", "localhost:80", "why", "the target does not")
	// It says that somebody came, all the same.
	if _, _, err := (<-end.conn).OpenChannel("forwarded-tcpip", tcpOpen("localhost", 80)); err == nil {
		t.Error("the user's side was opened")
	}
}

// mustOpen opens a channel of the target to the user.
func mustOpen(t *testing.T, target ssh.Conn, kind string, payload []byte) ssh.Channel {
	t.Helper()
	ch, reqs, err := target.OpenChannel(kind, payload)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	return ch
}

// Connections that come to where the target listens reach the user, and no others; when it listens no more, none.
func TestForwarded(t *testing.T) {
	h := newHouse(t)
	end := h.forwards("", "127.0.0.1:* *:8080 /run/app/*.sock")
	end.request = func(req *ssh.Request) { req.Reply(true, binary.BigEndian.AppendUint32(nil, 40001)) }
	c := h.mustClient()
	target := <-end.conn
	for kind, payload := range map[string][]byte{
		"forwarded-tcpip": tcpOpen("127.0.0.1", 40001), "forwarded-streamlocal@openssh.com": ssh.Marshal(struct{ Path, Reserved string }{"/run/app/x.sock", ""}),
	} {
		if _, _, err := target.OpenChannel(kind, payload); err == nil {
			t.Errorf("%s before anybody asked", kind)
		}
	}
	l, err := c.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all, _ := io.ReadAll(conn)
			fmt.Fprintf(conn, "%s to you", all)
			conn.Close()
		}
	}()
	for _, wrong := range [][]byte{tcpOpen("127.0.0.1", 40002), tcpOpen("10.0.0.1", 40001), listenRequest("127.0.0.1", 40001), nil} {
		if _, _, err := target.OpenChannel("forwarded-tcpip", wrong); err == nil {
			t.Errorf("%q reached the user", wrong)
		}
	}
	ch := mustOpen(t, target, "forwarded-tcpip", tcpOpen("127.0.0.1", 40001))
	io.WriteString(ch, "hello")
	ch.CloseWrite()
	if answer, err := io.ReadAll(ch); string(answer) != "hello to you" || err != nil {
		t.Errorf("got %q, %v", answer, err)
	}
	ch.Close()
	want(t, h.awaitEvent(sekisho.EventForward), "type", "forwarded-tcpip", "destination", "127.0.0.1:40001", "origin", "192.0.2.1:4022")
	want(t, h.awaitEvent(sekisho.EventForwardClosed), "bytes_in", "12", "bytes_out", "5")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	listens := h.eventsOf(sekisho.EventListen)
	if len(listens) != 2 || listens[1]["state"] != "closed" || listens[1]["address"] != "127.0.0.1:40001" {
		t.Errorf("noted %v", listens)
	}
	if _, _, err := target.OpenChannel("forwarded-tcpip", tcpOpen("127.0.0.1", 40001)); err == nil {
		t.Error("a connection after the end of listening")
	}
	c.Close()
	want(t, h.awaitEvent(sekisho.EventSessionEnded), "bytes_in", "12", "bytes_out", "5")
}

// A place that means every address takes what comes to any, localhost what comes to a loopback address.
func TestForwardedAddresses(t *testing.T) {
	h := newHouse(t)
	end := h.forwards("", "*:*")
	end.request = func(req *ssh.Request) { req.Reply(true, nil) }
	c := h.mustClient()
	opened := c.HandleChannelOpen("forwarded-tcpip")
	go func() {
		for nc := range opened {
			nc.Reject(ssh.ConnectionFailed, "arrived")
		}
	}()
	for address, port := range map[string]uint32{"": 1, "localhost": 2, "::": 3, "10.0.0.1": 4} {
		if ok, _, err := c.SendRequest("tcpip-forward", true, listenRequest(address, port)); !ok {
			t.Fatal(address, err)
		}
	}
	target := <-end.conn
	for _, at := range []struct {
		address string
		port    uint32
		arrives bool
	}{
		{"", 1, true}, {"0.0.0.0", 1, true}, {"10.0.0.9", 1, true}, {"fd00::1", 1, true},
		{"localhost", 2, true}, {"127.0.0.1", 2, true}, {"::1", 2, true}, {"10.0.0.1", 2, false}, {"", 2, false},
		{"10.0.0.9", 3, true}, {"10.0.0.1", 4, true}, {"10.0.0.2", 4, false}, {"localhost", 4, false},
	} {
		_, _, err := target.OpenChannel("forwarded-tcpip", tcpOpen(at.address, at.port))
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) || (refused.Message == "arrived") != at.arrives {
			t.Errorf("%s:%d: %v", at.address, at.port, err)
		}
	}
}

// A connection may come to the target in the moment in which it begins to listen: it waits for the user to know.
func TestForwardedAtOnce(t *testing.T) {
	h := newHouse(t)
	end := h.forwards("", "127.0.0.1:*")
	target := make(chan ssh.Conn, 1)
	done := make(chan error, 1)
	end.request = func(req *ssh.Request) {
		conn := <-target
		go func() {
			ch, reqs, err := conn.OpenChannel("forwarded-tcpip", tcpOpen("127.0.0.1", 40001))
			if err == nil {
				go ssh.DiscardRequests(reqs)
				ch.Close()
			}
			done <- err
		}()
		req.Reply(true, binary.BigEndian.AppendUint32(nil, 40001))
	}
	c := h.mustClient()
	echo(c, "forwarded-tcpip") // a Listener of x/crypto/ssh takes connections only some time after the answer
	target <- <-end.conn
	if ok, _, err := c.SendRequest("tcpip-forward", true, listenRequest("127.0.0.1", 0)); !ok {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Where the target listens for one session it does not listen for another, and nobody ends what they did not begin.
func TestCancelWhatIsNotListenedOn(t *testing.T) {
	h := newHouse(t)
	h.forwards("", "*:*").request = func(req *ssh.Request) { t.Errorf("the target was asked for %s", req.Type) }
	c := h.mustClient()
	for _, kind := range []string{"cancel-tcpip-forward", "cancel-streamlocal-forward@openssh.com"} {
		for _, payload := range [][]byte{listenRequest("", 8080), socketRequest("/run/x"), nil} {
			if ok, _, err := c.SendRequest(kind, true, payload); ok || err != nil {
				t.Errorf("%s %q: %t, %v", kind, payload, ok, err)
			}
		}
	}
}

// The target listens, but that cannot be noted: the session ends.
func TestNoListeningWithoutNote(t *testing.T) {
	h := newHouse(t)
	h.forwards("", "*:*").request = func(req *ssh.Request) {
		h.mu.Lock()
		h.noteErr = errors.New("log is gone")
		h.mu.Unlock()
		req.Reply(true, nil)
	}
	c := h.mustClient()
	if ok, _, _ := c.SendRequest("tcpip-forward", true, listenRequest("localhost", 80)); ok {
		t.Error("granted")
	}
	c.Wait()
}
