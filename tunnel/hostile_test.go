package tunnel_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/tunnel"
)

// rawDial makes one connection as a connector would, by hand.
func (h *house) rawDial(t testing.TB, cert tls.Certificate) (*tls.Conn, error) {
	t.Helper()
	cfg := h.clientTLS(cert)
	cfg.NextProtos = []string{tunnel.ALPN}
	c, err := tls.Dial("tcp", h.address, cfg)
	if err == nil {
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return c, err
}

// answer reads the gateway's next frame, which is nil when it hung up.
func answer(c *tls.Conn) tunnel.Frame {
	f, _ := tunnel.ReadFrame(c)
	return f
}

func send(t testing.TB, c *tls.Conn, frames ...tunnel.Frame) {
	t.Helper()
	for _, f := range frames {
		if err := tunnel.WriteFrame(c, f); err != nil {
			t.Fatal(err)
		}
	}
}

func TestForeignAndMissingCertificatesAreRefused(t *testing.T) {
	h := newHouse(t)
	id := sekisho.NewID("con")
	h.serve(t, map[string]tunnel.Member{id: {ID: id, Name: "host1", Targets: []string{"db1"}}}, nil)
	uri := "sekisho://connector/" + id
	for name, cert := range map[string]tls.Certificate{
		"none":             {},
		"another CA's":     newAuthority(t).issue(t, uri, time.Hour),
		"expired":          h.ca.issue(t, uri, -time.Second),
		"a server's":       h.ca.issue(t, "", time.Hour),
		"another URI":      h.ca.issue(t, "sekisho://gateway/"+id, time.Hour),
		"no connector ID":  h.ca.issue(t, "sekisho://connector/root", time.Hour),
		"unknown to house": h.ca.issue(t, "sekisho://connector/"+sekisho.NewID("con"), time.Hour),
	} {
		c, err := h.rawDial(t, cert)
		if err != nil {
			continue
		}
		_ = tunnel.WriteFrame(c, tunnel.Hello(false, id, sekisho.NewID("lnk"), 1))
		_ = tunnel.WriteFrame(c, tunnel.Serve("db1"))
		if tunnel.IsWelcome(answer(c)) {
			t.Errorf("certificate %s: welcome", name)
		}
	}
}

func TestNobodyLinksAsAnotherConnector(t *testing.T) {
	h, r, victim := one(t)
	mallory := sekisho.NewID("con")
	cert := h.ca.issue(t, "sekisho://connector/"+mallory, time.Hour)
	c, err := h.rawDial(t, cert)
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, tunnel.Hello(false, victim, sekisho.NewID("lnk"), 1), tunnel.Serve("db1"))
	if f := answer(c); tunnel.IsWelcome(f) {
		t.Errorf("answer %#v", f)
	}
	if !r.Linked("db1") {
		t.Error("the victim's link is gone")
	}
}

// mallory has joined, but owns other targets.
func TestAConnectorServesOnlyItsOwnTargets(t *testing.T) {
	h := newHouse(t)
	victim, mallory := sekisho.NewID("con"), sekisho.NewID("con")
	r, _ := h.serve(t, map[string]tunnel.Member{
		victim:  {ID: victim, Name: "host1", Targets: []string{"db1"}},
		mallory: {ID: mallory, Name: "mallory", Targets: []string{"web1"}},
	}, nil)
	cert := h.ca.issue(t, "sekisho://connector/"+mallory, time.Hour)
	c, err := h.rawDial(t, cert)
	if err != nil {
		t.Fatal(err)
	}
	link := sekisho.NewID("lnk")
	send(t, c, tunnel.Hello(false, mallory, link, 2), tunnel.Serve("db1", "web1"))
	if f := answer(c); !tunnel.IsWelcome(f) {
		t.Fatalf("answer %#v", f)
	}
	if r.Linked("db1") || !r.Linked("web1") {
		t.Errorf("linked: db1 %v, web1 %v", r.Linked("db1"), r.Linked("web1"))
	}
	// Offering nothing but another's target is refused as a whole, and noted under mallory's name.
	c, err = h.rawDial(t, cert)
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, tunnel.Hello(false, mallory, sekisho.NewID("lnk"), 1), tunnel.Serve("db1"))
	if f := answer(c); tunnel.Reason(f) == "" {
		t.Errorf("answer %#v, want a refusal", f)
	}
	if e := h.events.await(t, sekisho.EventConnectorRefused, 1); e.Actor != "connector:mallory" {
		t.Errorf("event %+v", e)
	}
	// Nor does a data connection of the victim's certificate get onto mallory's link.
	c, err = h.rawDial(t, h.ca.issue(t, "sekisho://connector/"+victim, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, tunnel.Hello(true, victim, link, 0))
	if f := answer(c); tunnel.Reason(f) == "" {
		t.Errorf("answer %#v, want a refusal", f)
	}
}

func TestALinkThatCannotBeNotedIsRefused(t *testing.T) {
	h := newHouse(t)
	id := sekisho.NewID("con")
	r, _ := h.serve(t, map[string]tunnel.Member{id: {ID: id, Name: "host1", Targets: []string{"db1"}}},
		func(c *tunnel.RegistryConfig) {
			c.Note = func(context.Context, *sekisho.Event) error { return errors.New("disk is full") }
		})
	c, err := h.rawDial(t, h.ca.issue(t, "sekisho://connector/"+id, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, tunnel.Hello(false, id, sekisho.NewID("lnk"), 1), tunnel.Serve("db1"))
	if f := answer(c); tunnel.Reason(f) == "" || strings.Contains(tunnel.Reason(f), "disk") {
		t.Errorf("answer %#v, want a refusal without the cause", f)
	}
	if r.Linked("db1") {
		t.Error("linked without a line in the log")
	}
}

func TestHostileFirstFrames(t *testing.T) {
	h := newHouse(t)
	id := sekisho.NewID("con")
	r, _ := h.serve(t, map[string]tunnel.Member{id: {ID: id, Name: "host1", Targets: []string{"db1"}}}, nil)
	cert := h.ca.issue(t, "sekisho://connector/"+id, time.Hour)
	lnk := sekisho.NewID("lnk")
	frames := func(f ...tunnel.Frame) string {
		var b []byte
		for _, f := range f {
			b = tunnel.AppendFrame(b, f)
		}
		return string(b)
	}
	for name, bytes := range map[string]string{
		"HTTP":               "GET / HTTP/1.1\r\n\r\n",
		"zeros":              strings.Repeat("\x00", 9000),
		"no hello":           frames(tunnel.Serve("db1")),
		"hello twice":        frames(tunnel.Hello(false, id, lnk, 1), tunnel.Hello(false, id, lnk, 1)),
		"more than said":     frames(tunnel.Hello(false, id, lnk, 1), tunnel.Serve("db1", "db2")),
		"data for no link":   frames(tunnel.Hello(true, id, lnk, 0)),
		"open from below":    frames(tunnel.Hello(false, id, lnk, 1), tunnel.Open("db1", sekisho.NewID("str"))),
		"opened before open": frames(tunnel.Hello(true, id, lnk, 0), tunnel.Opened()),
	} {
		c, err := h.rawDial(t, cert)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, bytes)
		if f := answer(c); tunnel.IsWelcome(f) {
			t.Errorf("%s: welcome", name)
		}
		if rest, _ := io.ReadAll(c); len(rest) > 0 {
			t.Errorf("%s: %d more bytes", name, len(rest))
		}
	}
	if r.Linked("db1") {
		t.Error("linked")
	}
}

const handMadeID = someConnector

// handMade is a link whose connector's end is the test: one control and some data connections.
func handMade(t *testing.T, change func(*tunnel.RegistryConfig), spares int) (*tunnel.Registry, []*tls.Conn) {
	t.Helper()
	h := newHouse(t)
	id, link := handMadeID, sekisho.NewID("lnk")
	r, _ := h.serve(t, map[string]tunnel.Member{id: {ID: id, Name: "host1", Targets: []string{"db1"}}}, change)
	cert := h.ca.issue(t, "sekisho://connector/"+id, time.Hour)
	var conns []*tls.Conn
	for i := range 1 + spares {
		c, err := h.rawDial(t, cert)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		if i > 0 {
			send(t, c, tunnel.Hello(true, id, link, 0))
			continue
		}
		send(t, c, tunnel.Hello(false, id, link, 1), tunnel.Serve("db1"))
		if f := answer(c); !tunnel.IsWelcome(f) {
			t.Fatalf("answer %#v", f)
		}
	}
	return r, conns
}

func TestAHungConnectorCostsOneBoundedWait(t *testing.T) {
	soon := func(c *tunnel.RegistryConfig) { c.OpenTime = 50 * time.Millisecond }
	t.Run("no data connection comes", func(t *testing.T) {
		r, _ := handMade(t, soon, 0)
		_, err := r.Dial(t.Context(), "db1")
		wantRefusal(t, err, "did not answer in time")
	})
	t.Run("no answer to open", func(t *testing.T) {
		r, conns := handMade(t, soon, 1)
		_, err := r.Dial(t.Context(), "db1")
		wantRefusal(t, err, "did not answer in time")
		answer(conns[1]) // the open, if it was in time
		if _, err := io.ReadAll(conns[1]); err == nil {
			t.Log("data connection closed politely")
		}
	})
	t.Run("the caller gives up", func(t *testing.T) {
		r, _ := handMade(t, nil, 0)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := r.Dial(ctx, "db1")
		wantRefusal(t, err, "did not answer in time")
	})
	t.Run("too many wait", func(t *testing.T) {
		r, conns := handMade(t, func(c *tunnel.RegistryConfig) { c.MaxPending = 1 }, 0)
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error)
		go func() {
			_, err := r.Dial(ctx, "db1")
			first <- err
		}()
		answer(conns[0]) // the want frame: the first Dial waits
		_, err := r.Dial(t.Context(), "db1")
		wantRefusal(t, err, "too many connections")
		cancel()
		<-first
	})
}

func TestADyingSpareConnectionIsReplaced(t *testing.T) {
	r, conns := handMade(t, nil, 1)
	result := make(chan error, 1)
	go func() {
		c, err := r.Dial(t.Context(), "db1")
		if err == nil {
			c.Close()
		}
		result <- err
	}()
	answer(conns[1]) // open
	conns[1].NetConn().Close()
	if f := answer(conns[0]); f == nil { // want: it tries again and needs another one
		t.Error("no data connection was asked for")
	}
	conns[0].Close()
	wantRefusal(t, <-result, "db1 is not connected right now")
}

func TestExpiredCertificatesOpenNoStream(t *testing.T) {
	var late atomic.Int64
	r, _ := handMade(t, func(c *tunnel.RegistryConfig) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	}, 1)
	if !r.Linked("db1") {
		t.Fatal("not linked")
	}
	late.Store(int64(2 * time.Hour))
	if r.Linked("db1") {
		t.Error("linked by an expired certificate")
	}
}

// A gateway that has been taken over asks for what the connector does not list.
func TestTheConnectorDialsOnlyItsOwnTargets(t *testing.T) {
	h := newHouse(t)
	id := sekisho.NewID("con")
	l, err := tls.Listen("tcp", "127.0.0.1:0", tunnel.ServerTLS(&tls.Config{Certificates: []tls.Certificate{h.cert}}, h.ca.pool()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h.address = l.Addr().String()
	refuse := func(_ context.Context, _, address string) (net.Conn, error) {
		t.Errorf("connector dials %s", address)
		return nil, errors.New("not this one")
	}
	_, stop := h.connect(t, id, map[string]string{"db1": "127.0.0.1:1"}, func(c *tunnel.LinkConfig) { c.Dial = refuse; c.Spare = 1 })
	defer stop()

	control := accept(t, l)
	answer(control) // hello
	answer(control) // targets
	send(t, control, tunnel.Welcome(1))
	for range 2 {
		data := accept(t, l)
		if f := answer(data); !tunnel.HelloIsData(f) {
			t.Fatalf("%#v, want a data connection's hello", f)
		}
		send(t, data, tunnel.Open("db2", sekisho.NewID("str")))
		if f := answer(data); tunnel.Reason(f) != "unknown target" {
			t.Errorf("answer %#v", f)
		}
		data.NetConn().Close()
	}
	control.NetConn().Close()
}

func accept(t *testing.T, l net.Listener) *tls.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.(*tls.Conn).NetConn().Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*tls.Conn)
}

func TestADeadTargetIsARefusal(t *testing.T) {
	h := newHouse(t)
	id := sekisho.NewID("con")
	r, _ := h.serve(t, map[string]tunnel.Member{id: {ID: id, Name: "host1", Targets: []string{"db1"}}}, nil)
	up := make(chan struct{}, 1)
	h.connect(t, id, map[string]string{"db1": "127.0.0.1:1"}, func(c *tunnel.LinkConfig) { c.Up = func() { up <- struct{}{} } })
	<-up
	for range 3 {
		_, err := r.Dial(t.Context(), "db1")
		wantRefusal(t, err, "cannot reach the SSH server")
	}
}

// The connector is removed after it was authorized and before its link stands: Cut must not miss it.
func TestCutReachesALinkThatIsBeingMade(t *testing.T) {
	h := newHouse(t)
	id := sekisho.NewID("con")
	var r *tunnel.Registry
	r, _ = h.serve(t, map[string]tunnel.Member{id: {ID: id, Name: "host1", Targets: []string{"db1"}}},
		func(c *tunnel.RegistryConfig) {
			c.Note = func(_ context.Context, e *sekisho.Event) error {
				if e.Kind == sekisho.EventConnectorConnected {
					r.Cut(id)
				}
				return nil
			}
		})
	c, err := h.rawDial(t, h.ca.issue(t, "sekisho://connector/"+id, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, tunnel.Hello(false, id, sekisho.NewID("lnk"), 1), tunnel.Serve("db1"))
	if f := answer(c); tunnel.Reason(f) == "" {
		t.Errorf("answer %#v, want a refusal", f)
	}
	if r.Linked("db1") {
		t.Error("linked after the cut")
	}
}

func TestACutLinkTakesNoDataConnection(t *testing.T) {
	r, conns := handMade(t, nil, 0)
	waiting := make(chan error, 1)
	go func() {
		_, err := r.Dial(t.Context(), "db1")
		waiting <- err
	}()
	answer(conns[0]) // want: the Dial waits
	r.Cut(handMadeID)
	wantRefusal(t, <-waiting, "db1 is not connected right now")
	if r.Linked("db1") {
		t.Error("linked after the cut")
	}
}
