package tunnel_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a small x509 CA.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key: key, cert: cert}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// issue makes a certificate; uri is empty for a server's.
func (a *authority) issue(t testing.TB, uri string, life time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		form.URIs, form.IPAddresses = []*url.URL{u}, nil
		form.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, form, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// house is a gateway's HTTPS listener with links on it.
type house struct {
	ca      *authority
	cert    tls.Certificate
	address string
	events  *events
}

type events struct {
	sync.Mutex
	list []sekisho.Event
	more chan struct{}
}

func (e *events) note(_ context.Context, ev *sekisho.Event) error {
	e.Lock()
	defer e.Unlock()
	e.list = append(e.list, *ev)
	close(e.more)
	e.more = make(chan struct{})
	return nil
}

// await waits until n events of a kind are there.
func (e *events) await(t testing.TB, kind string, n int) sekisho.Event {
	t.Helper()
	bound := time.After(20 * time.Second)
	for {
		e.Lock()
		more, found := e.more, 0
		for _, ev := range e.list {
			if ev.Kind == kind {
				if found++; found == n {
					e.Unlock()
					return ev
				}
			}
		}
		e.Unlock()
		select {
		case <-more:
		case <-bound:
			t.Fatalf("%d events %q, want %d", found, kind, n)
		}
	}
}

func newHouse(t testing.TB) *house {
	ca := newAuthority(t)
	return &house{ca: ca, cert: ca.issue(t, "", time.Hour), events: &events{more: make(chan struct{})}}
}

// serve starts a gateway and gives it, with what stops it. Members are by connector ID.
func (h *house) serve(t testing.TB, members map[string]tunnel.Member, change func(*tunnel.RegistryConfig)) (*tunnel.Registry, func()) {
	t.Helper()
	cfg := tunnel.RegistryConfig{
		Authorize: func(_ context.Context, leaf *x509.Certificate) (tunnel.Member, error) {
			for id, m := range members {
				if leaf.URIs[0].String() == "sekisho://connector/"+id {
					return m, nil
				}
			}
			return tunnel.Member{}, &sekisho.Refusal{Sentence: "This connector is not known."}
		},
		Note: h.events.note,
		Log:  logger(t),
	}
	if change != nil {
		change(&cfg)
	}
	r, err := tunnel.NewRegistry(cfg)
	if err != nil {
		t.Fatal(err)
	}
	address := h.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	h.address = l.Addr().String()
	base := &tls.Config{Certificates: []tls.Certificate{h.cert}, NextProtos: []string{"http/1.1"}}
	srv := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a page") }),
		ErrorLog: log.New(io.Discard, "", 0),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){
			tunnel.ALPN: func(_ *http.Server, c *tls.Conn, _ http.Handler) { r.Serve(c) },
		},
		ReadHeaderTimeout: 10 * time.Second,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(tls.NewListener(l, tunnel.ServerTLS(base, h.ca.pool())))
	}()
	stop := sync.OnceFunc(func() {
		l.Close()
		r.Close()
		srv.Close()
		<-done
	})
	t.Cleanup(stop)
	return r, stop
}

func logger(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func (h *house) clientTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: h.ca.pool(), Certificates: []tls.Certificate{cert}}
}

// connect starts a connector for targets and gives what stops it.
func (h *house) connect(t testing.TB, id string, targets map[string]string, change func(*tunnel.LinkConfig)) (*tunnel.Link, func()) {
	t.Helper()
	cfg := tunnel.LinkConfig{
		Address: h.address, TLS: h.clientTLS(h.ca.issue(t, "sekisho://connector/"+id, time.Hour)), Connector: id,
		Targets: targets, Log: logger(t), DrainTime: time.Second,
	}
	if change != nil {
		change(&cfg)
	}
	l, err := tunnel.NewLink(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx)
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return l, stop
}

// listen starts a TCP server that handles each connection with f.
func listen(t testing.TB, f func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				f(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// echo sends back what it gets and then its end.
func echo(c *net.TCPConn) {
	io.Copy(c, c)
	c.CloseWrite()
}

// one is the usual set-up: one connector with one target that echoes.
func one(t testing.TB) (*house, *tunnel.Registry, string) {
	h := newHouse(t)
	id := sekisho.NewID("con")
	r, _ := h.serve(t, map[string]tunnel.Member{id: {ID: id, Name: "host1", Targets: []string{"db1"}}}, nil)
	up := make(chan struct{}, 1)
	h.connect(t, id, map[string]string{"db1": listen(t, echo)}, func(c *tunnel.LinkConfig) { c.Up = func() { up <- struct{}{} } })
	<-up
	return h, r, id
}

// dial opens a stream, waiting for a link that is still coming up.
func dial(t testing.TB, r *tunnel.Registry, target string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		c, err := r.Dial(ctx, target)
		if err == nil {
			return c
		}
		if ctx.Err() != nil {
			t.Fatalf("dial %s: %v", target, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func exchange(t testing.TB, c net.Conn, text []byte) {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(text)
		if err == nil {
			err = c.(interface{ CloseWrite() error }).CloseWrite()
		}
		sent <- err
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("echo gave %d bytes, want %d; error %v", len(got), len(text), err)
	}
	if err := <-sent; err != nil {
		t.Errorf("send: %v", err)
	}
}

func wantRefusal(t testing.TB, err error, sentence string) {
	t.Helper()
	var r *sekisho.Refusal
	if !errors.As(err, &r) || !bytes.Contains([]byte(r.Sentence), []byte(sentence)) || r.Next == "" {
		t.Errorf("error %v, want a refusal that says %q and what to do next", err, sentence)
	}
}
