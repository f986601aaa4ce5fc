package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/gateway"
)

// ways is a house with every way in that carries no token.
type ways struct {
	*house
	mu     sync.Mutex
	recall func(*ssh.Certificate) (*sekisho.Pass, error)
	prove  func(context.Context, gateway.Question) (*gateway.Challenge, error)
	places []gateway.Place
	asked  []gateway.Question
	// between is called once somebody is in who goes on from there, dialled when they have.
	between func()
	dialled func(outer io.Closer)
}

// person is the sign-in behind a certificate in these tests: its Key ID is who holds it.
func person(c *ssh.Certificate) (*sekisho.Pass, error) {
	return &sekisho.Pass{ID: "tok_1", SignIn: "sin_" + c.KeyId, Identity: sekisho.Identity{Subject: c.KeyId, AuthTime: time.Now()}}, nil
}

func newWays(t *testing.T, change ...func(*gateway.Config)) *ways {
	w := &ways{recall: person}
	w.house = newHouse(t, append([]func(*gateway.Config){func(c *gateway.Config) {
		c.Domain = "example.internal"
		c.Recall = func(_ context.Context, c *ssh.Certificate) (*sekisho.Pass, error) { return w.recall(c) }
		c.HostSigner = func(_ context.Context, names ...string) (ssh.Signer, error) {
			key := newKey(t)
			return certSigner(t, certify(t, w.hostCA, key.PublicKey(), ssh.HostCert, names), key), nil
		}
		c.Reachable = func(_ context.Context, p *sekisho.Pass, client netip.Addr) ([]gateway.Place, error) {
			if p.Identity.Subject == "" || !client.IsLoopback() {
				t.Errorf("listed for %+v at %s", p, client)
			}
			return w.places, nil
		}
		c.Prove = func(ctx context.Context, q gateway.Question) (*gateway.Challenge, error) {
			w.mu.Lock()
			w.asked = append(w.asked, q)
			w.mu.Unlock()
			return w.prove(ctx, q)
		}
	}}, change...)...)
	w.find = map[string]string{"db1": "db1", "db1.example.internal": "db1", "10.0.0.5": "db1", "web1": "web1"}
	return w
}

func (w *ways) questions() []gateway.Question {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// holder is somebody with a certificate of the user CA for these principals.
func (w *ways) holder(subject string, principals []string, change ...func(*ssh.Certificate)) ssh.Signer {
	key := newKey(w.t)
	named := func(c *ssh.Certificate) { c.KeyId = subject }
	return certSigner(w.t, certify(w.t, w.signs, key.PublicKey(), ssh.UserCert, principals, append([]func(*ssh.Certificate){named}, change...)...), key)
}

// mei has the certificate that is in people's agents.
func (w *ways) mei() ssh.Signer { return w.holder("mei@example.com", []string{"gateway"}) }

// terminal is what an SSH client shows before it is let in.
type terminal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *terminal) banner(text string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.WriteString(text)
	return nil
}

func (t *terminal) challenge(name, instruction string, questions []string, _ []bool) ([]string, error) {
	t.banner(name + instruction)
	return make([]string, len(questions)), nil
}

func (t *terminal) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// client is what somebody comes with who shows that key and can be asked.
func (w *ways) client(user string, shows *terminal, keys ...ssh.Signer) *ssh.ClientConfig {
	checker := &ssh.CertChecker{
		IsHostAuthority: func(k ssh.PublicKey, _ string) bool { return bytes.Equal(k.Marshal(), w.hostCA.PublicKey().Marshal()) },
		IsUserAuthority: func(ssh.PublicKey) bool { return false },
	}
	return &ssh.ClientConfig{User: user, HostKeyCallback: checker.CheckHostKey, BannerCallback: shows.banner,
		HostKeyAlgorithms: []string{ssh.CertAlgoED25519v01},
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(keys...), ssh.KeyboardInteractive(shows.challenge)}}
}

// connect gives both ends of a TCP connection, the second to serve.
func (w *ways) connect(serve func(context.Context, net.Conn)) net.Conn {
	w.t.Helper()
	l := listen(w.t)
	defer l.Close()
	var served sync.WaitGroup
	served.Go(func() {
		if conn, err := l.Accept(); err == nil {
			go serve(context.WithoutCancel(w.t.Context()), conn)
		}
	})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	served.Wait()
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

func (w *ways) shake(conn net.Conn, address string, config *ssh.ClientConfig) (*ssh.Client, error) {
	c, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		return nil, err
	}
	client := ssh.NewClient(c, channels, requests)
	w.t.Cleanup(func() { client.Close() })
	return client, nil
}

// atPort comes to the SSH port.
func (w *ways) atPort(config *ssh.ClientConfig) (*ssh.Client, error) {
	return w.shake(w.connect(w.gateway.ServeSSH), "gw.example.com:22", config)
}

// onTheWay goes to an address and is redirected.
func (w *ways) onTheWay(config *ssh.ClientConfig) (*ssh.Client, error) {
	conn := w.connect(func(ctx context.Context, conn net.Conn) {
		w.gateway.ServeOriginal(ctx, conn, netip.MustParseAddr("10.0.0.5"))
	})
	return w.shake(conn, "10.0.0.5:22", config)
}

// through goes through the gateway as ssh -J does.
func (w *ways) through(host string, outer, inner *ssh.ClientConfig) (*ssh.Client, error) {
	visit, err := w.atPort(outer)
	if err != nil {
		return nil, err
	}
	conn, err := visit.Dial("tcp", host+":22")
	if err != nil {
		return nil, err
	}
	return w.shake(conn, host+":22", inner)
}

// echoes reports whether a session does what it should.
func (w *ways) echoes(c *ssh.Client) {
	w.t.Helper()
	s, err := c.NewSession()
	if err != nil {
		w.t.Fatal(err)
	}
	if out, err := s.Output("echo hi"); err != nil || string(out) != "hi\n" {
		w.t.Errorf("%q, %v", out, err)
	}
}

// noted gives the events of a kind.
func (w *ways) noted(kind string) (all []*sekisho.Event) {
	w.house.mu.Lock()
	defer w.house.mu.Unlock()
	for _, ev := range w.events {
		if ev.Kind == kind {
			all = append(all, ev)
		}
	}
	return all
}

func (w *ways) one(kind string) *sekisho.Event {
	w.t.Helper()
	return w.only(kind, 0)
}

// only gives the event of a kind that is the only one, but for those around it.
func (w *ways) only(kind string, around int) *sekisho.Event {
	w.t.Helper()
	all := w.noted(kind)
	if len(all) != around+1 {
		w.t.Fatalf("%d events %s", len(all), kind)
	}
	return all[around]
}

// wayIn is one of the ways, with a user name that leads to root at db1 by it.
type wayIn struct {
	name   string
	way    sekisho.Way
	user   string
	around int // sessions that it goes through
	come   func(*ways, *ssh.ClientConfig) (*ssh.Client, error)
}

var waysIn = []wayIn{
	{"port", sekisho.WayPort, "root%db1", 0, (*ways).atPort},
	{"transparent", sekisho.WayTransparent, "root", 0, (*ways).onTheWay},
	{"jump", sekisho.WayJump, "root", 0, func(w *ways, inner *ssh.ClientConfig) (*ssh.Client, error) {
		return w.inside("mei", inner)
	}},
	{"forward", sekisho.WayForward, "root", 1, func(w *ways, inner *ssh.ClientConfig) (*ssh.Client, error) {
		decision := w.decision
		w.decision.Effect, w.decision.Limits.Fresh, w.decision.Limits.Nested = sekisho.Allow, 0, sekisho.NestedRecord
		end := w.forwards("*:*", "")
		end.conn = make(chan ssh.Conn, 10)
		end.dial = accept(func(ch ssh.Channel) {
			io.WriteString(ch, "SSH-2.0-OpenSSH_of_db1\r\n") // nobody is to hear it
			io.Copy(io.Discard, ch)
		})
		w.between = func() { w.decision = decision }
		return w.inside("root%db1", inner)
	}},
}

// inside comes to the SSH port as mei, to whom nothing is wrong, and goes on from there to db1.
func (w *ways) inside(user string, inner *ssh.ClientConfig) (*ssh.Client, error) {
	signs, recall := w.signs, w.recall
	w.signs, w.recall = w.userCA, person
	outer, err := w.atPort(w.client(user, &terminal{}, w.mei()))
	w.signs, w.recall = signs, recall
	if w.between != nil {
		w.between()
	}
	if err != nil {
		return nil, err
	}
	conn, err := outer.Dial("tcp", "db1:22")
	if err != nil {
		return nil, err
	}
	if w.dialled != nil {
		w.dialled(outer)
	}
	return w.shake(conn, "db1:22", inner)
}

func onEveryWay(t *testing.T, test func(*testing.T, wayIn)) {
	for _, in := range waysIn {
		t.Run(in.name, func(t *testing.T) { test(t, in) })
	}
}
