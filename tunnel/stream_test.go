package tunnel_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/tunnel"
)

func TestAStreamEchoesAndHalfCloses(t *testing.T) {
	h, r, _ := one(t)
	if !r.Linked("db1") || r.Linked("db2") {
		t.Errorf("linked: db1 %v, db2 %v", r.Linked("db1"), r.Linked("db2"))
	}
	for _, size := range []int{1, 100, 1 << 10, 64 << 10, 3 << 20} {
		c := dial(t, r, "db1")
		exchange(t, c, bytes.Repeat([]byte("sekisho."), size/8+1))
		c.Close()
	}
	if e := h.events.await(t, sekisho.EventConnectorConnected, 1); e.Actor != "connector:host1" || e.ClientAddress != "127.0.0.1" {
		t.Errorf("event %+v", e)
	}
}

func TestTheTargetMayEndFirst(t *testing.T) {
	h := newHouse(t)
	id := sekisho.NewID("con")
	r, _ := h.serve(t, map[string]tunnel.Member{id: {ID: id, Name: "host1", Targets: []string{"db1"}}}, nil)
	heard := make(chan string, 1)
	h.connect(t, id, map[string]string{"db1": listen(t, func(c *net.TCPConn) {
		io.WriteString(c, "SSH-2.0-first")
		c.CloseWrite()
		b, _ := io.ReadAll(c)
		heard <- string(b)
	})}, nil)
	h.events.await(t, sekisho.EventConnectorConnected, 1)
	c := dial(t, r, "db1")
	defer c.Close()
	if b, err := io.ReadAll(c); string(b) != "SSH-2.0-first" || err != nil {
		t.Fatalf("read %q, %v", b, err)
	}
	if _, err := io.WriteString(c, "still here"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := <-heard; got != "still here" {
		t.Errorf("target heard %q after its own end", got)
	}
}

func TestManyStreamsDrainThePoolAndItRefills(t *testing.T) {
	_, r, _ := one(t)
	text := bytes.Repeat([]byte("0123456789abcdef"), 8<<10)
	for range 2 {
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				c, err := r.Dial(ctx, "db1")
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				defer c.Close()
				exchange(t, c, text)
			})
		}
		wg.Wait()
	}
}

func TestBrowsersAreNeverAskedForACertificate(t *testing.T) {
	h, _, _ := one(t)
	asked := false
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		RootCAs: h.ca.pool(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return new(tls.Certificate), nil
		},
	}}}
	resp, err := client.Get("https://" + h.address + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); string(b) != "a page" || asked {
		t.Errorf("got %q, asked for a certificate: %v", b, asked)
	}
}

func TestTheLinkComesBackAfterTheGatewayRestarts(t *testing.T) {
	h := newHouse(t)
	id := sekisho.NewID("con")
	members := map[string]tunnel.Member{id: {ID: id, Name: "host1", Targets: []string{"db1"}}}
	r, stop := h.serve(t, members, nil)
	h.connect(t, id, map[string]string{"db1": listen(t, echo)}, nil)
	h.events.await(t, sekisho.EventConnectorConnected, 1)
	c := dial(t, r, "db1")
	stop()
	if _, err := io.ReadAll(c); err == nil {
		t.Log("stream ended cleanly") // either is fine; it must end
	}
	if _, err := r.Dial(t.Context(), "db1"); err == nil {
		t.Error("a closed registry dials")
	}
	r, _ = h.serve(t, members, nil)
	h.events.await(t, sekisho.EventConnectorConnected, 2)
	c = dial(t, r, "db1")
	exchange(t, c, []byte("again"))
	c.Close()
}

func TestRenewKeepsOpenStreams(t *testing.T) {
	h := newHouse(t)
	id := sekisho.NewID("con")
	r, _ := h.serve(t, map[string]tunnel.Member{id: {ID: id, Name: "host1", Targets: []string{"db1"}}}, nil)
	l, _ := h.connect(t, id, map[string]string{"db1": listen(t, echo)}, nil)
	h.events.await(t, sekisho.EventConnectorConnected, 1)
	old := dial(t, r, "db1")
	l.Renew()
	h.events.await(t, sekisho.EventConnectorConnected, 2)
	h.events.await(t, sekisho.EventConnectorLost, 1)
	exchange(t, old, []byte("through the first link's stream"))
	old.Close()
	c := dial(t, r, "db1")
	exchange(t, c, []byte("through the second link"))
	c.Close()
}

func TestDrainLetsOpenStreamsEnd(t *testing.T) {
	h := newHouse(t)
	id := sekisho.NewID("con")
	r, _ := h.serve(t, map[string]tunnel.Member{id: {ID: id, Name: "host1", Targets: []string{"db1"}}}, nil)
	_, stop := h.connect(t, id, map[string]string{"db1": listen(t, echo)}, func(c *tunnel.LinkConfig) {
		c.DrainTime = time.Minute
	})
	h.events.await(t, sekisho.EventConnectorConnected, 1)
	c := dial(t, r, "db1")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	h.events.await(t, sekisho.EventConnectorLost, 1)
	_, err := r.Dial(t.Context(), "db1")
	wantRefusal(t, err, "db1 is not connected right now")
	select {
	case <-stopped:
		t.Error("the connector ended with a stream open")
	default:
	}
	exchange(t, c, []byte("last words"))
	c.Close()
	<-stopped
}

func TestCutEndsLinksAndStreams(t *testing.T) {
	h, r, id := one(t)
	c := dial(t, r, "db1")
	defer c.Close()
	r.Cut(sekisho.NewID("con")) // somebody else's
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	r.Cut(id)
	if _, err := io.Copy(io.Discard, c); err == nil {
		t.Error("a stream ended as if by itself when it was cut")
	}
	h.events.await(t, sekisho.EventConnectorLost, 1)
}
