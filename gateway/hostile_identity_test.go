package gateway_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/gateway"
)

// stand brings mallory as far as a door lets somebody come who has proved nothing yet.
func (w *ways) stand() *wire {
	w.t.Helper()
	m := newWire(w.t, w.connect(w.gateway.ServeSSH))
	if err := errors.Join(m.greet(), m.exchange(), m.service()); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// outcome says how an attempt to get in ended: let in, not let in, or the connection is closed.
func (w *wire) outcome() string {
	p, err := w.await(hearAuthSuccess, hearAuthFailure)
	switch {
	case err != nil:
		return "closed"
	case p[0] == hearAuthSuccess:
		return "in"
	case p[len(p)-1] == 1:
		return "partly"
	}
	return "refused"
}

// forger signs with another key than the certificate's that it shows.
type forger struct {
	ssh.Signer
	shown ssh.PublicKey
}

func (f forger) PublicKey() ssh.PublicKey { return f.shown }

// mallory has an administrator's certificate, which is public, and her own key. Whatever she signs, and however she
// mixes the two, she is at most herself.
func TestSomebodyElsesCertificate(t *testing.T) {
	type attempt func(m *wire, admin ssh.PublicKey, own ssh.Signer) string
	prove := func(m *wire, p []byte) string {
		m.say(p)
		return m.outcome()
	}
	for _, c := range []struct {
		name, outcome, actor string
		try                  attempt
	}{
		{"signs with her own", "closed", "", func(m *wire, admin ssh.PublicKey, own ssh.Signer) string {
			return prove(m, m.publicKey("root%db1", admin, own))
		}},
		{"offers it, then proves her own", "in", "mallory@example.com", func(m *wire, admin ssh.PublicKey, own ssh.Signer) string {
			m.say(m.publicKey("root%db1", admin, nil))
			if _, err := m.await(hearKeyOK); err != nil {
				return "not asked for"
			}
			return prove(m, m.publicKey("root%db1", own.PublicKey(), own))
		}},
		{"offers it between her offer and her proof", "in", "mallory@example.com", func(m *wire, admin ssh.PublicKey, own ssh.Signer) string {
			m.say(m.publicKey("root%db1", own.PublicKey(), nil), m.publicKey("root%db1", admin, nil), m.publicKey("root%db1", own.PublicKey(), own))
			return m.outcome()
		}},
		{"shows her key in it", "refused", "", func(m *wire, admin ssh.PublicKey, own ssh.Signer) string {
			c := *admin.(*ssh.Certificate)
			c.Key = own.PublicKey().(*ssh.Certificate).Key
			return prove(m, m.publicKey("root%db1", &c, forger{own, &c}))
		}},
		{"shows only the key", "refused", "", func(m *wire, admin ssh.PublicKey, own ssh.Signer) string {
			return prove(m, m.publicKey("root%db1", own.PublicKey().(*ssh.Certificate).Key, own))
		}},
		{"signs nothing", "closed", "", func(m *wire, admin ssh.PublicKey, own ssh.Signer) string {
			p := m.publicKey("root%db1", admin, own)
			return prove(m, p[:len(p)-10])
		}},
		{"signs for another connection", "closed", "", func(m *wire, _ ssh.PublicKey, own ssh.Signer) string {
			right := m.session
			m.session = make([]byte, 32)
			p := m.publicKey("root%db1", own.PublicKey(), own)
			m.session = right
			return prove(m, p)
		}},
		{"signs for another user name", "closed", "", func(m *wire, _ ssh.PublicKey, own ssh.Signer) string {
			p := m.publicKey("root%web1", own.PublicKey(), own)
			return prove(m, []byte(strings.Replace(string(p), "\x09root%web1", "\x08root%db1", 1)))
		}},
		{"calls it another algorithm", "refused", "", func(m *wire, admin ssh.PublicKey, own ssh.Signer) string {
			p := m.publicKey("root%db1", own.PublicKey(), own)
			return prove(m, []byte(strings.Replace(string(p), "\x00\x20ssh-ed25519-cert-v01@openssh.com", "\x00\x0bssh-ed25519", 1)))
		}},
		{"needs none", "refused", "", func(m *wire, _ ssh.PublicKey, _ ssh.Signer) string {
			return prove(m, message(sayAuth, struct{ User, Service, Method string }{"root%db1", "ssh-connection", "none"}))
		}},
		{"has a password", "refused", "", func(m *wire, _ ssh.PublicKey, _ ssh.Signer) string {
			return prove(m, message(sayAuth, struct {
				User, Service, Method string
				New                   bool
				Password              string
			}{"root%db1", "ssh-connection", "password", false, "secret"}))
		}},
		{"wants another service", "closed", "", func(m *wire, _ ssh.PublicKey, own ssh.Signer) string {
			return prove(m, message(sayAuth, struct{ User, Service, Method string }{"root%db1", "ssh-userauth", "none"}))
		}},
		{"does not ask to be let in", "closed", "", func(m *wire, _ ssh.PublicKey, _ ssh.Signer) string {
			return prove(m, open("session", 0, 1<<20, 1<<15, nil))
		}},
		{"says that she is in", "closed", "", func(m *wire, _ ssh.PublicKey, _ ssh.Signer) string {
			m.say([]byte{hearAuthSuccess})
			return prove(m, open("session", 0, 1<<20, 1<<15, nil))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWays(t)
			admin := w.holder("admin@example.com", []string{"gateway"}).PublicKey()
			if got := c.try(w.stand(), admin, w.holder("mallory@example.com", []string{"gateway"})); got != c.outcome {
				t.Errorf("she is %s", got)
			}
			started := w.noted(sekisho.EventSessionStarted)
			if c.actor == "" && len(started) > 0 || c.actor != "" && (len(started) != 1 || started[0].Actor != c.actor) {
				t.Errorf("sessions: %+v", started)
			}
		})
	}
}

// The same at the stream: the token says who it is for, and only its own key and certificate open it.
func TestSomebodyElsesCertificateAtTheStream(t *testing.T) {
	h := newHouse(t)
	own, _ := h.user()
	admin := certify(t, h.userCA, newKey(t).PublicKey(), ssh.UserCert, []string{"gateway:root:db1"})
	key := newKey(t)
	other := certSigner(t, certify(t, h.userCA, key.PublicKey(), ssh.UserCert, []string{"gateway:root:db1"}), key)
	for name, c := range map[string]struct {
		shown ssh.PublicKey
		by    ssh.Signer
	}{
		"signs with her own":       {admin, own},
		"a key of her own":         {own.PublicKey(), newKey(t)},
		"another one, well signed": {other.PublicKey(), other},
	} {
		conn, _, err := h.stream("ok")
		if err != nil {
			t.Fatal(err)
		}
		m := newWire(t, conn)
		if err := errors.Join(m.greet(), m.exchange(), m.service()); err != nil {
			t.Fatal(err)
		}
		m.say(m.publicKey("root", c.shown, c.by))
		if got := m.outcome(); got != "closed" && got != "refused" {
			t.Errorf("%s: she is %s", name, got)
		}
	}
}

// Whoever waits for a proof goes on as the user that was asked about, and by nothing but the proof.
func TestNothingElseThanTheProof(t *testing.T) {
	kbd := func(user string) []byte {
		return message(sayAuth, struct{ User, Service, Method, Language, Sub string }{user, "ssh-connection", "keyboard-interactive", "", ""})
	}
	for _, c := range []struct {
		name, outcome string
		next          func(m *wire, key ssh.Signer) []byte
	}{
		{"the key again", "refused", func(m *wire, key ssh.Signer) []byte { return m.publicKey("root%db1", key.PublicKey(), key) }},
		{"another user name", "closed", func(m *wire, key ssh.Signer) []byte { return kbd("root%web1") }},
		{"a visit", "closed", func(m *wire, key ssh.Signer) []byte { return kbd("mei") }},
		{"none", "refused", func(m *wire, key ssh.Signer) []byte {
			return message(sayAuth, struct{ User, Service, Method string }{"root%db1", "ssh-connection", "none"})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWays(t)
			w.recall = func(c *ssh.Certificate) (*sekisho.Pass, error) {
				pass, _ := person(c)
				return pass, &sekisho.Refusal{Sentence: "It has ended.", Cause: sekisho.ErrEnded}
			}
			w.prove = func(context.Context, gateway.Question) (*gateway.Challenge, error) {
				t.Error("somebody is asked")
				return nil, errors.New("nobody is")
			}
			m, key := w.stand(), w.mei()
			m.say(m.publicKey("root%db1", key.PublicKey(), key))
			if got := m.outcome(); got != "partly" {
				t.Fatalf("she is %s", got)
			}
			m.say(c.next(m, key))
			if got := m.outcome(); got != c.outcome {
				t.Errorf("she is %s", got)
			}
			if len(w.noted(sekisho.EventSessionStarted)) > 0 {
				t.Error("a session has started")
			}
		})
	}
}

// Greetings that are none: too long, without an end, binary, byte by byte, or what comes after them is.
func TestGreetings(t *testing.T) {
	noise := make([]byte, 64<<10)
	rand.Read(noise)
	hello := malloryVersion + "\r\n"
	length := func(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
	for _, c := range []struct {
		name, say string
		answers   bool // by a key exchange of ours
	}{
		{"nothing but lines", strings.Repeat("x\r\n", 20<<10), false},
		{"64 kB without an end", "SSH-2.0-" + strings.Repeat("x", 64<<10), false},
		{"64 kB, then an end", "SSH-2.0-" + strings.Repeat("x", 64<<10) + "\r\n", false},
		{"noise", string(noise), false},
		{"zeros", strings.Repeat("\x00", 64<<10), false},
		{"lower case", "ssh-2.0-x\r\n", false},
		{"version 1", "SSH-1.99-x\r\n", false},
		{"another protocol", "GET / HTTP/1.1\r\nHost: gw\r\n\r\n", false},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", false},
		{"a line before it", "hello\r\n" + hello, false},
		{"control characters", "SSH-2.0-\x1b[2J\r\n", true},
		{"then noise", hello + string(noise), true},
		{"then a packet of 4 GB", hello + length(1<<32-1) + string(noise), true},
		{"then a packet of 256 kB and one", hello + length(256<<10+1) + string(noise), true},
		{"then a packet of nothing", hello + length(0) + string(noise), true},
		{"then a packet that is all padding", hello + length(12) + "\x0b" + strings.Repeat("\x00", 11), true},
		{"then key exchange lists of any length", hello + length(1000) + "\x04\x14" + strings.Repeat("\x7f", 998), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWays(t)
			conn := w.connect(w.gateway.ServeSSH)
			go func() {
				io.WriteString(conn, c.say)
				conn.(*net.TCPConn).CloseWrite()
			}()
			heard, _ := io.ReadAll(conn) // it ends
			most := len("SSH-2.0-Sekisho\r\n")
			if c.answers {
				most = 4096
			}
			if len(heard) > 0 && !strings.HasPrefix(string(heard), "SSH-2.0-Sekisho\r\n") || len(heard) > most {
				t.Errorf("heard %d bytes, %.100q", len(heard), heard)
			}
			waitFor(t, func() bool { knocking, _ := w.gateway.Standing(); return knocking == 0 })
		})
	}
}

// A visit whose channel says nothing, or does not take the list, ends, whatever else is open; what is said to it is not
// held.
func TestVisitsThatHoldOn(t *testing.T) {
	for name, requests := range map[string][][]byte{
		"says nothing":        nil,
		"does not listen":     {ask(0, "shell", true, nil)},
		"asks for many shows": {ask(0, "pty-req", true, nil), ask(0, "env", true, nil), ask(0, "exec", true, nil), ask(0, "exec", true, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWays(t)
			w.gateway.SetVisitPatience(50 * time.Millisecond)
			m, key := w.stand(), w.mei()
			if err := m.prove("mei", key); err != nil {
				t.Fatal(err)
			}
			m.say(open("session", 0, 0, 1<<15, nil))
			m.opened()
			m.say(requests...)
			m.sayOften(1000, data(0, "x"))
			waitFor(t, func() bool { return w.gateway.Visits() == 0 })
		})
	}
}

// One person does not fill the gateway: beyond their share they are refused, and others are not.
func TestOneFillsTheGateway(t *testing.T) {
	w := newWays(t)
	w.gateway.SetMaxOwn(4)
	shows := &terminal{}
	var open []*ssh.Client
	for n := range 5 {
		user := "root%db1"
		if n%2 == 0 {
			user = "mei"
		}
		c, err := w.atPort(w.client(user, shows, w.mei()))
		if (err == nil) != (n < 4) {
			t.Fatalf("%d: %v", n, err)
		}
		open = append(open, c)
	}
	if got := shows.String(); got != "You have 4 sessions here, and nobody may have more. End some of them.\r\n" {
		t.Errorf("she hears %q", got)
	}
	if _, err := w.house.client(); err == nil {
		t.Error("there is one more by the stream")
	}
	ken, err := w.atPort(w.client("root%db1", &terminal{}, w.holder("ken@example.com", []string{"gateway"})))
	if err != nil {
		t.Fatal(err)
	}
	w.echoes(ken)
	open[0].Close()
	waitFor(t, func() bool {
		_, err := w.atPort(w.client("root%db1", &terminal{}, w.mei()))
		return err == nil
	})
}

// SSH inside SSH inside SSH goes on for 8 connections, and no further.
func TestDepth(t *testing.T) {
	w := newWays(t)
	w.decision.Limits.Nested = sekisho.NestedRecord
	end := w.forwards("*:*", "")
	end.conn = make(chan ssh.Conn, 20)
	end.dial = accept(func(ch ssh.Channel) { io.Copy(io.Discard, ch) })
	c := w.mustClient()
	for depth := 2; depth <= 9; depth++ {
		conn, err := c.Dial("tcp", "10.0.0.5:22")
		if err != nil {
			t.Fatal(err)
		}
		inner, err := w.shake(conn, "10.0.0.5:22", w.client("root", &terminal{}, w.mei()))
		if (err == nil) != (depth <= 8) {
			t.Fatalf("%d: %v", depth, err)
		}
		c = inner
	}
	if n := len(w.noted(sekisho.EventSessionStarted)); n != 8 {
		t.Errorf("%d sessions", n)
	}
}
