package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// heap is what is in use after a collection, ours and that of the target and of mallory, who live in the same process.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// ends has the gateway end all sessions, and waits until none is left.
func (h *house) ends() {
	h.t.Helper()
	h.gateway.End(func(sekisho.Session) bool { return true })
	waitFor(h.t, func() bool { live, deciding := h.gateway.Sessions(); return len(live)+deciding == 0 })
}

// serves reports whether somebody else is served meanwhile.
func (h *house) serves() {
	h.t.Helper()
	s, err := h.mustClient().NewSession()
	if err != nil {
		h.t.Fatal(err)
	}
	if out, err := s.Output("echo me too"); string(out) != "me too\n" {
		h.t.Errorf("somebody else got %q, %v", out, err)
	}
}

// first is what runs in the first channel; in all others runs what the target of these tests runs.
func first(other func(ssh.Channel, <-chan *ssh.Request)) func(ssh.Channel, <-chan *ssh.Request) {
	var taken atomic.Bool
	return func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		if taken.CompareAndSwap(false, true) {
			other(ch, reqs)
		} else {
			program(ch, reqs)
		}
	}
}

// listens is a program that takes every request, as sshd does, and ends with its channel.
func listens(ch ssh.Channel, reqs <-chan *ssh.Request) {
	go io.Copy(io.Discard, ch)
	for req := range reqs {
		req.Reply(true, nil)
	}
	ch.Close()
}

// Endless packets of every kind that is cheap to say: the connection is served on or ends, as SSH has it; the log gets what
// it is to hold and no more, memory is not filled, others are served, and the session can be ended.
func TestFloods(t *testing.T) {
	const many = 10_000
	size := struct{ C, R, W, H uint32 }{80, 24, 0, 0}
	for _, c := range []struct {
		name  string
		flood func(ch uint32) []byte
		ends  bool // the connection does not survive it
		noted int  // refusals and requests in the log
	}{
		{"ignore", func(uint32) []byte { return message(sayIgnore, struct{ D []byte }{make([]byte, 1000)}) }, false, 0},
		{"debug", func(uint32) []byte {
			return message(sayDebug, struct {
				Show       bool
				Text, Lang string
			}{true, "x", ""})
		}, false, 0},
		{"ping", func(uint32) []byte { return message(sayPing, struct{ D []byte }{[]byte("x")}) }, false, 0},
		{"unimplemented", func(uint32) []byte { return message(sayUnimplemented, struct{ N uint32 }{7}) }, true, 0},
		{"unknown message", func(uint32) []byte { return []byte{250, 0, 0, 0, 0} }, true, 0},
		{"empty packet", func(uint32) []byte { return nil }, true, 0},
		{"service again", func(uint32) []byte { return message(sayService, struct{ Name string }{"ssh-userauth"}) }, true, 0},
		{"bare new keys", func(uint32) []byte { return []byte{sayNewKeys} }, true, 0},
		{"bare key exchange", func(uint32) []byte { return message(sayECDH, struct{ Q []byte }{make([]byte, 32)}) }, true, 0},
		{"answers to nothing", func(uint32) []byte { return []byte{hearSuccess} }, false, 0},
		{"answers on a channel", func(ch uint32) []byte { return message(hearAskSuccess, struct{ Ch uint32 }{ch}) }, false, 0},
		{"channel opened again", func(ch uint32) []byte {
			return message(hearOpened, struct{ Ch, Own, Window, Packet uint32 }{ch, 0, 1, 1 << 15})
		}, true, 0},
		{"window without end", func(ch uint32) []byte { return message(sayWindow, struct{ Ch, N uint32 }{ch, 1 << 31}) }, true, 0},
		{"data nowhere", func(uint32) []byte { return data(99, "x") }, true, 0},
		{"data of no type", func(ch uint32) []byte {
			return message(sayExtended, struct {
				Ch, Kind uint32
				D        []byte
			}{ch, 7, make([]byte, 1000)})
		}, false, 0},
		{"errors of the user's", func(ch uint32) []byte {
			return message(sayExtended, struct {
				Ch, Kind uint32
				D        []byte
			}{ch, 1, make([]byte, 1000)})
		}, true, 0}, // beyond the window
		{"end of input", func(ch uint32) []byte { return message(sayEOF, struct{ Ch uint32 }{ch}) }, false, 0},
		{"keep-alives", func(uint32) []byte { return global("keepalive@openssh.com", true) }, false, 0},
		{"unknown questions", func(uint32) []byte { return global("evil@example.com", true) }, false, 100},
		{"questions without answer", func(uint32) []byte { return global("evil@example.com", false) }, false, 100},
		{"unknown requests", func(ch uint32) []byte { return ask(ch, "evil@example.com", true, nil) }, false, 100},
		{"forbidden variables", func(ch uint32) []byte { return ask(ch, "env", false, struct{ N, V string }{"LD_PRELOAD", "x"}) }, false, 100},
		{"variables", func(ch uint32) []byte { return ask(ch, "env", false, struct{ N, V string }{"LC_X", "x"}) }, false, 1000},
		{"window changes", func(ch uint32) []byte { return ask(ch, "window-change", false, size) }, false, 0},
		{"malformed window changes", func(ch uint32) []byte { return ask(ch, "window-change", false, nil) }, false, 100},
		{"signals", func(ch uint32) []byte { return ask(ch, "signal", false, struct{ N string }{"USR1"}) }, false, 1000},
		{"programs", func(ch uint32) []byte { return run(ch, "hang") }, false, 100},
		{"forwards", func(uint32) []byte { return open("direct-tcpip", 7, 1<<20, 1<<15, tcpOpen("db9", 22)) }, false, 100},
		{"channels", func(uint32) []byte { return open("evil@example.com", 7, 1<<20, 1<<15, nil) }, false, 100},
		{"channels of no size", func(uint32) []byte { return open("session", 7, 0, 0, nil) }, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			h.program = first(listens)
			m := h.mallory()
			if err := m.say(open("session", 1, 1<<20, 32<<10, nil)); err != nil {
				t.Fatal(err)
			}
			ch := m.opened()
			if err := m.say(run(ch, "listen")); err != nil {
				t.Fatal(err)
			}
			if _, err := m.await(hearAskSuccess); err != nil {
				t.Fatal(err)
			}
			over := make(chan struct{})
			go func() {
				defer close(over)
				m.await(200) // which never comes
			}()
			before := heap()
			if err := m.sayOften(many, c.flood(ch)); (err != nil) && !c.ends {
				t.Fatal(err)
			}
			if c.ends {
				<-over
			}
			noted := func() int {
				return len(h.eventsOf(sekisho.EventChannelRefused)) + len(h.eventsOf(sekisho.EventRequest))
			}
			waitFor(t, func() bool { return noted() >= c.noted })
			h.serves()
			if grown := heap() - before; grown > 16<<20 {
				t.Errorf("holds %d kB more", grown>>10)
			}
			h.ends()
			if n := noted(); n != c.noted {
				t.Errorf("%d noted, want %d", n, c.noted)
			}
			m.conn.Close()
			<-over
		})
	}
}

func (w *wire) sayOften(n int, payload []byte) error {
	batch := make([][]byte, 100)
	for i := range batch {
		batch[i] = payload
	}
	for range n / len(batch) {
		if err := w.say(batch...); err != nil {
			return err
		}
	}
	return nil
}

func data(channel uint32, text string) []byte {
	return message(sayData, struct {
		Channel uint32
		Text    string
	}{channel, text})
}

func global(kind string, reply bool) []byte {
	return message(sayGlobal, struct {
		Kind  string
		Reply bool
	}{kind, reply})
}

// After a program has ended mallory goes on asking of its channel, and never answers that it is closed. Her session can
// be ended all the same.
func TestRequestsAfterTheEnd(t *testing.T) {
	h := newHouse(t)
	m := h.mallory()
	if err := m.say(open("session", 0, 1<<20, 32<<10, nil)); err != nil {
		t.Fatal(err)
	}
	ch := m.opened()
	if err := m.say(run(ch, "echo hi")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.await(sayClose); err != nil {
		t.Fatal(err)
	}
	if err := m.sayOften(1000, ask(ch, "window-change", false, struct{ C, R, W, H uint32 }{80, 24, 0, 0})); err != nil {
		t.Fatal(err)
	}
	m.say(global("ping", true))
	if _, err := m.await(hearFailure); err != nil { // the connection as a whole goes on
		t.Error(err)
	}
	h.ends()
}

// A target that says no more while requests pour in, and one that pours in requests itself, hold up nothing when the
// session is to end.
func TestEndAmidRequests(t *testing.T) {
	h := newHouse(t)
	h.program = func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		if req, ok := <-reqs; ok {
			req.Reply(true, nil)
		}
		for {
			if _, err := ch.SendRequest("exit-status", false, []byte("nonsense")); err != nil {
				return
			}
		}
	}
	m := h.mallory()
	m.say(open("session", 0, 1<<20, 32<<10, nil))
	ch := m.opened()
	m.say(run(ch, "x"))
	m.sayOften(1000, ask(ch, "xon-xoff", true, struct{ Can bool }{true}))
	h.ends()
}

// Where the target does not let the gateway in, those who open channel upon channel are told, and gone.
func TestChannelsAtAClosedTarget(t *testing.T) {
	h := newHouse(t)
	h.target.Close()
	h.target = listen(t)
	go h.serveTarget(h.target, newKey(t))
	m := h.mallory()
	m.sayOften(1000, open("session", 0, 1<<20, 32<<10, nil))
	if _, err := m.await(hearOpenFailure); err != nil {
		t.Error(err)
	}
	waitFor(t, func() bool { live, deciding := h.gateway.Sessions(); return len(live)+deciding == 0 })
}

// When the log fails amid a flood, the session ends.
func TestLogFailsInAFlood(t *testing.T) {
	for name, p := range map[string][]byte{"channels": open("evil", 0, 1<<20, 32<<10, nil), "questions": global("evil", true)} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			m := h.mallory()
			h.mu.Lock() // the log waits
			m.sayOften(1000, p)
			h.noteErr = errors.New("log is gone")
			h.mu.Unlock()
			waitFor(t, func() bool { live, deciding := h.gateway.Sessions(); return len(live)+deciding == 0 })
		})
	}
}

// 10,000 channels at once in one connection: no more of them are open than may be, and others are served.
func TestTenThousandChannels(t *testing.T) {
	for _, c := range []struct {
		kind    string
		payload []byte
		most    int
	}{{"session", nil, 64}, {"direct-tcpip", tcpOpen("db2", 1), 256}} {
		t.Run(c.kind, func(t *testing.T) {
			h := newHouse(t)
			end := h.forwards("*:*", "")
			end.dial = accept(func(ch ssh.Channel) { io.Copy(io.Discard, ch) })
			m := h.mallory()
			<-end.conn
			go m.sayOften(10_000, open(c.kind, 0, 1<<20, 32<<10, c.payload))
			opened, refused := 0, 0
			for opened+refused < 10_000 {
				p, err := m.await(hearOpened, hearOpenFailure)
				if err != nil {
					t.Fatal(err)
				}
				if p[0] == hearOpened {
					opened++
				} else {
					refused++
				}
			}
			if opened != c.most {
				t.Errorf("%d are open", opened)
			}
			if n := len(h.eventsOf(sekisho.EventChannelRefused)); n != 100 {
				t.Errorf("%d refusals noted", n)
			}
			h.serves()
			h.ends()
			if all := h.details(sekisho.EventSessionEnded, "refused"); !slices.Contains(all, fmt.Sprintf("refused=%d", refused)) {
				t.Errorf("%d refused, the ends say %q", refused, all)
			}
		})
	}
}

// Channels that are opened and closed again leave nothing behind.
func TestChannelsOpenedAndClosed(t *testing.T) {
	h := newHouse(t)
	m := h.mallory()
	var before int64
	for n := 0; n < 3000; {
		if n == 500 {
			before = heap()
		}
		if err := m.say(open("session", uint32(n), 1<<20, 32<<10, nil)); err != nil {
			t.Fatal(err)
		}
		p, err := m.await(hearOpened, hearOpenFailure)
		if err != nil {
			t.Fatal(err)
		}
		if p[0] == hearOpenFailure { // the last ones are not quite gone
			continue
		}
		n++
		if err := m.say(append([]byte{sayClose}, p[5:9]...)); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool { return len(h.eventsOf(sekisho.EventChannelClosed)) == 3000 })
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("2,500 channels leave %d kB", grown>>10)
	}
	h.serves()
}

// mallory never opens her window, while a program has no end of things to say. No more is taken from it than SSH's
// windows hold, and the other channels of her connection go on, as does everybody else.
func TestZeroWindow(t *testing.T) {
	h := newHouse(t)
	m := h.mallory()
	for id := range uint32(3) {
		m.say(open("session", id, 0, 32<<10, nil))
		m.say(run(m.opened(), "fill 1000000000"))
	}
	m.say(open("session", 9, 1<<20, 32<<10, nil))
	m.say(run(m.opened(), "echo on"))
	p, err := m.await(sayData)
	if err != nil || !strings.HasSuffix(string(p), "on\n") {
		t.Errorf("heard %q, %v", p, err)
	}
	h.serves()
	h.ends()
	if n := len(h.tape.said(recording.Output)); n > 3*(4<<20) {
		t.Errorf("%d bytes were taken from the target", n)
	}
}

// mallory reads nothing at all, or a byte now and then.
func TestSlowReader(t *testing.T) {
	h := newHouse(t)
	m := h.mallory()
	m.say(open("session", 0, 1<<31, 32<<10, nil))
	m.say(run(m.opened(), "fill 1000000000"))
	for range 20 {
		if _, err := m.r.ReadByte(); err != nil {
			t.Fatal(err)
		}
		h.serves()
	}
	h.ends()
	if n := len(h.tape.said(recording.Output)); n > 32<<20 {
		t.Errorf("%d bytes were taken from the target", n)
	}
}

// A client that breaks the protocol and has sent more than anybody will read leaves nothing behind: not before it is
// served, not before it has proved anything, and not inside. That nothing is left the end of all tests sees.
func TestSentAhead(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps func(*wire, ssh.Signer)
		ahead []byte
	}{
		{"before the first answer", nil, message(sayService, struct{ N string }{"x"})},
		{"short packets before it", nil, []byte{sayUnimplemented}},
		{"a new key exchange before it", func(m *wire, _ ssh.Signer) { m.exchange() }, message(sayService, struct{ N string }{"x"})},
		{"before any proof", func(m *wire, _ ssh.Signer) { m.service() }, message(sayService, struct{ N string }{"x"})},
		{"too many offers", func(m *wire, key ssh.Signer) {
			m.service()
			m.sayOften(100, m.publicKey("root", newKey(m.t).PublicKey(), nil))
		}, message(sayAuth, struct{ User, Service, Method string }{"root", "ssh-connection", "none"})},
		{"inside", func(m *wire, key ssh.Signer) { m.service(); m.prove("root", key) }, data(99, "x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			key, _ := h.user()
			conn, _, err := h.stream("ok")
			if err != nil {
				t.Fatal(err)
			}
			m := newWire(t, conn)
			if err := errors.Join(m.greet(), m.exchange()); err != nil {
				t.Fatal(err)
			}
			if c.steps != nil {
				c.steps(m, key) // may be refused
			}
			m.sayOften(200, c.ahead)
			waitFor(t, func() bool { live, deciding := h.gateway.Sessions(); return len(live)+deciding == 0 })
		})
	}
}

// lingering is a connection whose handshake's deadline is lifted only when it has been closed.
type lingering struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

func (c *lingering) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (c *lingering) SetDeadline(at time.Time) error {
	if at.IsZero() {
		<-c.closed
	}
	return c.Conn.SetDeadline(at)
}

// Nor is anything left where who is inside breaks the protocol before anybody has looked at them.
func TestSentAheadAtOnce(t *testing.T) {
	w := newWays(t)
	m := newWire(t, w.connect(func(ctx context.Context, conn net.Conn) {
		w.gateway.ServeSSH(ctx, &lingering{Conn: conn, closed: make(chan struct{})})
	}))
	if err := m.enter("root%db1", w.mei()); err != nil {
		t.Fatal(err)
	}
	m.sayOften(200, data(99, "x"))
	waitFor(t, func() bool { knocking, _ := w.gateway.Standing(); return knocking == 0 })
}

// Nor does a target leave anything that says more than anybody reads before it lets the gateway in.
func TestTargetSaysAhead(t *testing.T) {
	h := newHouse(t)
	said := make(chan struct{})
	l := listen(t)
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		config := &ssh.ServerConfig{
			PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, errors.New("no") },
			AuthLogCallback: func(conn ssh.ConnMetadata, _ string, _ error) { // "none" is refused after this
				time.AfterFunc(100*time.Millisecond, func() {
					defer close(said)
					for range 200 {
						conn.(ssh.ServerPreAuthConn).SendAuthBanner("x")
					}
				})
			},
		}
		config.AddHostKey(h.hostKey)
		ssh.NewServerConn(conn, config)
	}()
	h.target.Close()
	h.target = l
	conn, _, err := h.stream("ok") // whose SSH never comes
	if err != nil {
		t.Fatal(err)
	}
	<-said
	conn.Close()
	waitFor(t, func() bool { live, deciding := h.gateway.Sessions(); return len(live)+deciding == 0 })
}

// Key exchange upon key exchange: each is taken, and the session goes on; one that is begun and never ended holds up only
// who began it.
func TestKeyExchanges(t *testing.T) {
	h := newHouse(t)
	m := h.mallory()
	for range 100 {
		if err := m.exchange(); err != nil {
			t.Fatal(err)
		}
	}
	m.say(open("session", 0, 1<<31, 32<<10, nil))
	ch := m.opened()
	m.say(run(ch, "fill 1000000000"))
	if _, err := m.await(sayData); err != nil {
		t.Fatal(err)
	}
	before := heap()
	m.say(kexInit())
	go io.Copy(io.Discard, m.r)
	h.serves()
	if grown := heap() - before; grown > 64<<20 {
		t.Errorf("holds %d kB more", grown>>10)
	}
	h.ends()
}

// A window of 2 MiB filled with single bytes is the dearest thing that a channel can hold: x/crypto/ssh keeps each packet
// by itself. How dear it is docs/bounds.md says; here is seen that it is given back.
func TestSingleBytes(t *testing.T) {
	h := newHouse(t)
	h.program = first(func(_ ssh.Channel, reqs <-chan *ssh.Request) { // reads nothing
		for req := range reqs {
			req.Reply(true, nil)
		}
	})
	m := h.mallory()
	m.say(open("session", 0, 1<<20, 32<<10, nil))
	ch := m.opened()
	before := heap()
	const n = 100_000
	if err := m.sayOften(n, data(ch, "x")); err != nil {
		t.Fatal(err)
	}
	m.say(global("all", true))
	if _, err := m.await(hearFailure); err != nil {
		t.Fatal(err)
	}
	if grown := heap() - before; grown > 100*n {
		t.Errorf("each byte costs %d", grown/n)
	}
	h.serves()
	h.ends()
	waitFor(t, func() bool { return heap()-before < 20*n })
}

// A target that mallory has taken over, and that opens channels, asks and answers without end: nothing of it reaches the
// user's side, the log has the first of it, and the session goes on.
func TestHostileTarget(t *testing.T) {
	h := newHouse(t)
	h.decision.Limits.Listen = destinations(t, "localhost:1-100")
	h.sshd = func(conn ssh.Conn, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
		go ssh.DiscardRequests(requests)
		var flood sync.WaitGroup
		for range 4 {
			flood.Go(func() {
				for i := range 250 {
					kind := []string{"forwarded-tcpip", "x11", "auth-agent@openssh.com", "session", "direct-tcpip", "evil\x1b[2J"}[i%6]
					if _, _, err := conn.OpenChannel(kind, tcpOpen("localhost", 22)); err == nil {
						t.Errorf("%s was opened", kind)
					}
					conn.SendRequest("hostkeys-00@openssh.com", i%2 == 0, []byte("x"))
				}
			})
		}
		for nc := range channels {
			if ch, reqs, err := nc.Accept(); err == nil {
				go func() {
					flood.Wait()
					h.program(ch, reqs)
				}()
			}
		}
	}
	c := h.mustClient()
	asked := c.HandleChannelOpen("forwarded-tcpip")
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.Output("echo on"); string(out) != "on\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if len(asked) > 0 {
		t.Error("a channel came to the user's side")
	}
	if n := len(h.eventsOf(sekisho.EventChannelRefused)); n != 100 {
		t.Errorf("%d refusals noted", n)
	}
	h.ends()
	if got := h.awaitEvent(sekisho.EventSessionEnded)["refused"]; got != "1000" {
		t.Errorf("the end says %q refusals", got)
	}
}

// A target that takes nothing of what is sent to it holds up that channel, and no other.
func TestTargetThatDoesNotRead(t *testing.T) {
	h := newHouse(t)
	h.program = func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		for req := range reqs {
			var command struct{ Line string }
			ssh.Unmarshal(req.Payload, &command)
			req.Reply(true, nil)
			if command.Line != "stuck" {
				io.WriteString(ch, command.Line)
				ch.Close()
			}
		}
	}
	c := h.mustClient()
	stuck, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	if ok, err := stuck.SendRequest("exec", true, ssh.Marshal(struct{ Line string }{"stuck"})); !ok {
		t.Fatal(err)
	}
	go io.Copy(stuck, zeros{})
	for range 10 {
		other, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if out, _ := other.Output("on"); string(out) != "on" {
			t.Errorf("got %q", out)
		}
	}
	h.ends()
}
