package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/gateway"
	"github.com/sekisho/sekisho/recording"
)

// house is a gateway between a user's ssh and a target's sshd, both x/crypto/ssh over loopback.
type house struct {
	t                           *testing.T
	userCA, gatewayCA, hostCA   ssh.Signer
	signs                       ssh.Signer // makes the user's certificate
	hostKey                     ssh.Signer
	gateway                     *gateway.Gateway
	server                      *httptest.Server
	target                      net.Listener
	decision                    sekisho.Decision
	tape                        *memoryTape
	pass                        sekisho.Pass
	mu                          sync.Mutex
	events                      []*sekisho.Event
	noteErr, recordErr, callErr error
	deciding                    chan struct{}                          // when set, Decide waits for it
	program                     func(ssh.Channel, <-chan *ssh.Request) // what the target runs
	find                        map[string]string                      // the targets that hosts mean
	revoked                     atomic.Pointer[uint64]                 // a serial
	// sshd, when set, is what the target does with a connection once somebody has logged in.
	sshd func(ssh.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request)
}

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func certify(t *testing.T, ca ssh.Signer, key ssh.PublicKey, kind uint32, principals []string, change ...func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	c := &ssh.Certificate{Key: key, CertType: kind, KeyId: "test", ValidPrincipals: principals,
		ValidAfter: uint64(time.Now().Add(-time.Minute).Unix()), ValidBefore: uint64(time.Now().Add(2 * time.Minute).Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": ""}}}
	for _, f := range change {
		f(c)
	}
	if err := c.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	return c
}

func certSigner(t *testing.T, c *ssh.Certificate, key ssh.Signer) ssh.Signer {
	t.Helper()
	s, err := ssh.NewCertSigner(c, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newHouse(t *testing.T, change ...func(*gateway.Config)) *house {
	h := &house{t: t, userCA: newKey(t), gatewayCA: newKey(t), hostCA: newKey(t), tape: &memoryTape{}, program: program}
	h.signs = h.userCA
	h.decision = sekisho.Decision{Effect: sekisho.Allow, Policies: []string{"p"},
		Limits: sekisho.Limits{Audit: sekisho.AuditStrict, TTL: time.Minute, PTY: true, Shell: true, Exec: true,
			Subsystems: []string{"*"}, Env: []string{"LANG", "LC_*"}, Files: []sekisho.FileLimit{{}}}}
	h.pass = sekisho.Pass{ID: "tok_1", SignIn: "sin_1", Identity: sekisho.Identity{Subject: "mei@example.com"}, Target: "db1", Login: "root", Host: "db1"}
	key := newKey(t)
	h.hostKey = certSigner(t, certify(t, h.hostCA, key.PublicKey(), ssh.HostCert, []string{"db1"}), key)
	config := gateway.Config{
		Name: "gw", Host: "gw.example.com", Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Identify: func(r *http.Request) (*sekisho.Pass, error) {
			if r.Header.Get("Authorization") != "ok" {
				return nil, &sekisho.Refusal{Sentence: "The token is not good."}
			}
			pass := h.pass
			return &pass, nil
		},
		Recall: func(_ context.Context, c *ssh.Certificate) (*sekisho.Pass, error) {
			if h.callErr != nil {
				return nil, h.callErr
			}
			pass := h.pass
			return &pass, nil
		},
		Revoked: func(c *ssh.Certificate) error {
			if revoked := h.revoked.Load(); revoked != nil && c.Serial == *revoked {
				return &sekisho.Refusal{Sentence: "This certificate is revoked."}
			}
			return nil
		},
		Decide: func(_ context.Context, p *sekisho.Pass, _ netip.Addr) (*sekisho.Target, sekisho.Decision, error) {
			if h.deciding != nil {
				<-h.deciding
			}
			return &sekisho.Target{Name: p.Target, Logins: []string{p.Login}}, h.decision, nil
		},
		Note: h.note,
		Record: func(context.Context, sekisho.Session, sekisho.Limits) (gateway.Tape, error) {
			if h.recordErr != nil {
				return nil, h.recordErr
			}
			return h.tape, nil
		},
		Certify: func(_ context.Context, s sekisho.Session, _ sekisho.Limits, key ssh.PublicKey) (*ssh.Certificate, error) {
			return certify(t, h.gatewayCA, key, ssh.UserCert, []string{sekisho.Principal(s.Login, s.Target)}), nil
		},
		Reach: func(ctx context.Context, target string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", h.target.Addr().String())
		},
		HostSigner: func(context.Context, ...string) (ssh.Signer, error) { return h.hostKey, nil },
		Find: func(_ context.Context, host string) (string, error) {
			if target, ok := h.find[host]; ok {
				return target, nil
			}
			return "", sekisho.ErrNotFound
		},
		Reachable: func(context.Context, *sekisho.Pass, netip.Addr) ([]gateway.Place, error) { return nil, nil },
		Prove: func(context.Context, gateway.Question) (*gateway.Challenge, error) {
			return nil, &sekisho.Refusal{Sentence: "Nobody can be asked."}
		},
		TrustsUser: only(h.userCA), TrustsHost: only(h.hostCA),
	}
	for _, f := range change {
		f(&config)
	}
	var err error
	if h.gateway, err = gateway.New(config); err != nil {
		t.Fatal(err)
	}
	h.target = listen(t)
	go h.serveTarget(h.target, h.hostKey)
	h.server = httptest.NewServer(h.gateway)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		h.gateway.Shutdown(ctx)
		h.server.Close()
		h.target.Close()
	})
	return h
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (h *house) note(_ context.Context, evs ...*sekisho.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.noteErr != nil {
		return h.noteErr
	}
	h.events = append(h.events, evs...)
	return nil
}

func (h *house) kinds() (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ev := range h.events {
		list = append(list, ev.Kind)
	}
	return list
}

// stream opens a client's stream and gives its raw bytes.
func (h *house) stream(token string) (net.Conn, *http.Response, error) {
	conn, err := net.Dial("tcp", h.server.Listener.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	h.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /v1/stream HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: sekisho-stream\r\nAuthorization: %s\r\n\r\n", token)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, resp, fmt.Errorf("%s", resp.Status)
	}
	return &buffered{conn, r}, resp, nil
}

type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// user is an SSH client with a certificate for the audit door of db1, made by those who change it.
func (h *house) user(change ...func(*ssh.Certificate)) (ssh.Signer, *ssh.ClientConfig) {
	key := newKey(h.t)
	h.pass.Key = ssh.FingerprintSHA256(key.PublicKey())
	c := certify(h.t, h.signs, key.PublicKey(), ssh.UserCert, []string{"gateway:root:db1"}, change...)
	signer := certSigner(h.t, c, key)
	checker := &ssh.CertChecker{
		IsHostAuthority: func(k ssh.PublicKey, _ string) bool { return bytes.Equal(k.Marshal(), h.hostCA.PublicKey().Marshal()) },
		IsUserAuthority: func(ssh.PublicKey) bool { return false },
	}
	return signer, &ssh.ClientConfig{User: "root", HostKeyCallback: checker.CheckHostKey, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}}
}

func (h *house) client(change ...func(*ssh.Certificate)) (*ssh.Client, error) {
	_, config := h.user(change...)
	conn, _, err := h.stream("ok")
	if err != nil {
		return nil, err
	}
	c, chans, reqs, err := ssh.NewClientConn(conn, "db1:22", config)
	if err != nil {
		return nil, err
	}
	client := ssh.NewClient(c, chans, reqs)
	h.t.Cleanup(func() { client.Close() })
	return client, nil
}

func (h *house) mustClient() *ssh.Client {
	h.t.Helper()
	c, err := h.client()
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// serveTarget is a target's sshd: it trusts the gateway CA and runs a few programs of its own.
func (h *house) serveTarget(l net.Listener, key ssh.Signer) {
	trusted := h.gatewayCA.PublicKey().Marshal()
	config := &ssh.ServerConfig{PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		checker := &ssh.CertChecker{
			IsUserAuthority: func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), trusted) },
			IsHostAuthority: func(ssh.PublicKey, string) bool { return false },
		}
		c, ok := key.(*ssh.Certificate)
		if !ok || !checker.IsUserAuthority(c.SignatureKey) {
			return nil, errors.New("foreign")
		}
		return &ssh.Permissions{}, checker.CheckCert(meta.User()+":db1", c)
	}}
	config.AddHostKey(key)
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			end, chans, reqs, err := ssh.NewServerConn(conn, config)
			if err != nil {
				return
			}
			defer func() { go gateway.Discard(end.Conn) }()
			if h.sshd != nil {
				h.sshd(end, chans, reqs)
				return
			}
			go ssh.DiscardRequests(reqs)
			for nc := range chans {
				ch, reqs, err := nc.Accept()
				if err == nil {
					go h.program(ch, reqs)
				}
			}
		}()
	}
}

// program is what the target runs: a command's first word says what.
func program(ch ssh.Channel, reqs <-chan *ssh.Request) {
	defer ch.Close()
	for req := range reqs {
		var command struct{ Line string }
		start := req.Type == "exec" && ssh.Unmarshal(req.Payload, &command) == nil
		if req.WantReply {
			req.Reply(start || req.Type == "pty-req" || req.Type == "env", nil)
		}
		if !start {
			continue
		}
		status := uint32(0)
		word, rest, _ := strings.Cut(command.Line, " ")
		switch word {
		case "echo":
			fmt.Fprintln(ch, rest)
		case "both":
			fmt.Fprint(ch, "out")
			fmt.Fprint(ch.Stderr(), "err")
		case "cat":
			io.Copy(ch, ch)
		case "fill":
			var n int
			fmt.Sscan(rest, &n)
			io.CopyN(ch, zeros{}, int64(n))
		case "fail":
			fmt.Sscan(rest, &status)
		case "garble":
			for range 50 {
				ch.SendRequest("exit-status", false, []byte{1})
			}
			fmt.Fprint(ch, rest)
		case "hang":
			io.Copy(io.Discard, ch)
		}
		ch.CloseWrite()
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// memoryTape is a Tape that knows what was durable when.
type memoryTape struct {
	mu      sync.Mutex
	pending []entry
	flushed []entry
	durable []entry
	end     recording.End
	closed  bool
	hold    chan struct{} // when set, Sync waits for it
	fail    error         // when set, Sync fails
	full    error         // when set, Append fails
}

type entry struct {
	kind recording.Kind
	data string
}

func (m *memoryTape) Append(e recording.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full != nil {
		return m.full
	}
	m.pending = append(m.pending, entry{e.Kind, string(e.Data)})
	return nil
}

func (m *memoryTape) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flushed = append(m.flushed, m.pending...)
	m.pending = nil
	return nil
}

func (m *memoryTape) Sync() error {
	m.mu.Lock()
	hold := m.hold
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.durable = append(m.durable, m.flushed...)
	m.flushed = nil
	return nil
}

func (m *memoryTape) Close(end recording.End, _ time.Duration) error {
	m.Flush()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.durable = append(m.durable, m.flushed...)
	m.flushed, m.end, m.closed = nil, end, true
	return nil
}

// said is all durable output.
func (m *memoryTape) said(kind recording.Kind) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, e := range m.durable {
		if e.kind == kind {
			b.WriteString(e.data)
		}
	}
	return b.String()
}

// only trusts one CA's key.
func only(authority ssh.Signer) func(ssh.PublicKey) bool {
	return func(key ssh.PublicKey) bool { return string(key.Marshal()) == string(authority.PublicKey().Marshal()) }
}
