package tunnel_test

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/tunnel"
)

// carriers links connectors of one member, each with room for some streams.
func carriers(t *testing.T, change func(*tunnel.RegistryConfig), room ...int) *tunnel.Registry {
	t.Helper()
	h := newHouse(t)
	id := sekisho.NewID("con")
	r, _ := h.serve(t, map[string]tunnel.Member{id: {ID: id, Name: "host1", Targets: []string{"db1"}}}, change)
	address := listen(t, echo)
	for _, n := range room {
		up := make(chan struct{}, 1)
		h.connect(t, id, map[string]string{"db1": address}, func(c *tunnel.LinkConfig) {
			c.MaxStreams, c.Up = n, func() { up <- struct{}{} }
		})
		<-up
	}
	return r
}

// open dials n streams to db1, all of which must come.
func open(t *testing.T, r *tunnel.Registry, n int) []net.Conn {
	t.Helper()
	var streams []net.Conn
	for i := range n {
		c, err := r.Dial(t.Context(), "db1")
		if err != nil {
			t.Fatalf("stream %d: %v", i+1, err)
		}
		t.Cleanup(func() { c.Close() })
		streams = append(streams, c)
	}
	return streams
}

// The connector says that it carries all it can, the person hears it, the cause has the number, and room that comes is used.
func TestAFullConnectorIsARefusal(t *testing.T) {
	r := carriers(t, nil, 3)
	streams := open(t, r, 3)
	for range 5 { // more than there are spare connections
		_, err := r.Dial(t.Context(), "db1")
		wantRefusal(t, err, "db1's connector carries all the sessions it can.")
		if !strings.Contains(err.Error(), "connector host1: too many streams: 3") {
			t.Errorf("cause %q", err)
		}
	}
	if !r.Linked("db1") {
		t.Error("a full connector is not linked")
	}
	exchange(t, streams[0], []byte("still here"))
	streams[0].Close()
	exchange(t, dial(t, r, "db1"), []byte("the next one"))
}

// Two links of one target, the newer of which is full: the older one carries on, until both are.
func TestAnotherLinkHasRoom(t *testing.T) {
	r := carriers(t, nil, 3, 2)
	for _, c := range open(t, r, 5) {
		defer exchange(t, c, []byte("through either"))
	}
	_, err := r.Dial(t.Context(), "db1")
	wantRefusal(t, err, "carries all the sessions it can")
}

// The gateway's own bound: a link that may have no more data connections is not waited for.
func TestAFullLinkIsARefusal(t *testing.T) {
	r, conns := handMade(t, func(c *tunnel.RegistryConfig) { c.MaxConns, c.OpenTime = 1, time.Hour }, 1)
	go serveOpen(conns[1])
	open(t, r, 1)
	_, err := r.Dial(t.Context(), "db1")
	wantRefusal(t, err, "carries all the sessions it can")
	if !strings.Contains(err.Error(), "link of host1 has 1 data connections") {
		t.Errorf("cause %q", err)
	}
}

// serveOpen answers that a stream is open.
func serveOpen(c *tls.Conn) {
	answer(c)
	_ = tunnel.WriteFrame(c, tunnel.Opened())
}
