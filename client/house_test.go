package client_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
	"github.com/sekisho/sekisho/client"
	"github.com/sekisho/sekisho/login"
)

// house is a small control with a gateway and one target behind it: real HTTP, real proofs, real SSH, no policies.
type house struct {
	apiv1connect.UnimplementedSignInServiceHandler
	apiv1connect.UnimplementedAccessServiceHandler

	t      *testing.T
	server *httptest.Server
	proofs *login.Proofs
	userCA ssh.Signer
	hostCA ssh.Signer
	target *ssh.ServerConfig

	conns   atomic.Int64 // TLS connections taken
	logins  atomic.Int64 // SSH logins at the target
	refuse  atomic.Value // string: what Connect refuses with, if not ""
	expires atomic.Int64 // seconds that a sign-in lasts
	enters  atomic.Int64 // seconds that a certificate for an agent lasts
	fresh   atomic.Bool  // Connect wants a fresh sign-in
	never   atomic.Bool  // and takes none

	principal atomic.Value // string: of certificates for agents

	mu      sync.Mutex
	begun   map[string]*apiv1.BeginRequest
	order   []bool            // of the sign-ins begun, whether they were to be fresh
	anew    map[string]bool   // tokens of fresh sign-ins
	signIns map[string]string // token → thumbprint
	passes  map[string]string // target token → thumbprint
	done    map[string]bool   // device flow: confirmed on the page
	serials map[uint64]int
}

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{
		t: t, proofs: login.NewProofs(time.Now), userCA: newSigner(t), hostCA: newSigner(t),
		begun: map[string]*apiv1.BeginRequest{}, signIns: map[string]string{}, passes: map[string]string{},
		done: map[string]bool{}, anew: map[string]bool{}, serials: map[uint64]int{},
	}
	h.expires.Store(3600)
	h.enters.Store(3600)
	h.principal.Store("gateway")
	h.refuse.Store("")
	h.target = h.newTarget()
	mux := http.NewServeMux()
	mux.Handle(apiv1connect.NewSignInServiceHandler(signInSide{h}))
	mux.Handle(apiv1connect.NewAccessServiceHandler(accessSide{h}))
	mux.HandleFunc("GET /v1/stream", h.stream)
	mux.HandleFunc("GET /page", h.page)
	h.server = httptest.NewUnstartedServer(mux)
	h.server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			h.conns.Add(1)
		}
	}
	h.server.StartTLS()
	t.Cleanup(h.server.Close)
	return h
}

func (h *house) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw}))
}

func (h *house) pin() string {
	sum := sha256.Sum256(h.server.Certificate().Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// proven checks the request's proof and gives token and thumbprint.
func (h *house) proven(header http.Header, method, path string) (token, thumbprint string, err error) {
	token = strings.TrimPrefix(header.Get("Authorization"), "DPoP ")
	thumbprint, err = h.proofs.Check(header.Get("DPoP"), method, h.server.URL+path, token)
	return token, thumbprint, err
}

// signInSide and accessSide keep the two services' methods apart.
type signInSide struct{ *house }

func (s signInSide) Begin(_ context.Context, r *connect.Request[apiv1.BeginRequest]) (*connect.Response[apiv1.BeginResponse], error) {
	_, thumbprint, err := s.proven(r.Header(), "POST", r.Spec().Procedure)
	if err != nil {
		return nil, connect.NewError(connect.CodeUnauthenticated, err)
	}
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun[id] = r.Msg
	s.order = append(s.order, r.Msg.Fresh)
	s.passes["begun "+id] = thumbprint
	return connect.NewResponse(&apiv1.BeginResponse{
		Request: id, Url: s.server.URL + "/page?request=" + id, UserCode: "BCDF-GHJK", IntervalSeconds: 1,
		Expires: timestamppb.New(time.Now().Add(20 * time.Second)),
	}), nil
}

// page stands for control's pages and the IdP: whoever opens it is ken.
func (h *house) page(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("request")
	h.mu.Lock()
	begun := h.begun[id]
	h.done[id] = true
	h.mu.Unlock()
	if begun == nil {
		http.NotFound(w, r)
		return
	}
	if begun.RedirectUri != "" {
		http.Redirect(w, r, begun.RedirectUri+"?code=code-"+id+"&state="+url.QueryEscape(begun.State), http.StatusSeeOther)
	}
}

func (s signInSide) Finish(_ context.Context, r *connect.Request[apiv1.FinishRequest]) (*connect.Response[apiv1.FinishResponse], error) {
	_, thumbprint, err := s.proven(r.Header(), "POST", r.Spec().Procedure)
	if err != nil {
		return nil, connect.NewError(connect.CodeUnauthenticated, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	begun := s.begun[r.Msg.Request]
	sum := sha256.Sum256([]byte(r.Msg.CodeVerifier))
	switch {
	case begun == nil, s.passes["begun "+r.Msg.Request] != thumbprint,
		begun.CodeChallenge != base64.RawURLEncoding.EncodeToString(sum[:]),
		begun.RedirectUri != "" && r.Msg.Code != "code-"+r.Msg.Request:
		return nil, connect.NewError(connect.CodePermissionDenied, errors.New("That is not your sign-in."))
	case !s.done[r.Msg.Request]:
		return connect.NewResponse(&apiv1.FinishResponse{Pending: true}), nil
	}
	token := "sin_" + rand.Text()
	s.signIns[token] = thumbprint
	s.anew[token] = begun.Fresh
	return connect.NewResponse(&apiv1.FinishResponse{Token: token, SignIn: &apiv1.SignIn{
		Id: "s1", Subject: "ken", Expires: timestamppb.New(time.Now().Add(time.Duration(s.expires.Load()) * time.Second)),
	}}), nil
}

func (s signInSide) End(_ context.Context, r *connect.Request[apiv1.EndRequest]) (*connect.Response[apiv1.EndResponse], error) {
	token, _, err := s.proven(r.Header(), "POST", r.Spec().Procedure)
	if err != nil {
		return nil, connect.NewError(connect.CodeUnauthenticated, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.signIns, token)
	return connect.NewResponse(&apiv1.EndResponse{Ended: 1}), nil
}

func (h *house) freshBegun() []bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.order)
}

func (h *house) endAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.signIns)
}

type accessSide struct{ *house }

func (s accessSide) Describe(context.Context, *connect.Request[apiv1.DescribeRequest]) (*connect.Response[apiv1.DescribeResponse], error) {
	return connect.NewResponse(&apiv1.DescribeResponse{
		Name: "Test <b>", SshHosts: []string{"web1", "*.test.internal", "*", "evil\nProxyCommand x"},
		HostCa: string(ssh.MarshalAuthorizedKey(s.hostCA.PublicKey())), SshGateway: "gw.test.internal:2222",
		Recipients: []*apiv1.Recipient{{Id: "rk_1", Label: "dpo"}, {Id: "rk_2"}},
	}), nil
}

func (s accessSide) Enter(_ context.Context, r *connect.Request[apiv1.EnterRequest]) (*connect.Response[apiv1.EnterResponse], error) {
	token, thumbprint, err := s.proven(r.Header(), "POST", r.Spec().Procedure)
	s.mu.Lock()
	known := s.signIns[token]
	s.mu.Unlock()
	if err != nil || known != thumbprint {
		return nil, connect.NewError(connect.CodeUnauthenticated, errors.New("Your sign-in has ended. Run: sekisho login"))
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(r.Msg.PublicKey))
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	var sig ssh.Signature
	text := fmt.Appendf(nil, "sekisho-enter-v1\n%x\n", sha256.Sum256([]byte(token)))
	if err := ssh.Unmarshal(r.Msg.KeyProof, &sig); err != nil || key.Verify(text, &sig) != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("key proof"))
	}
	until := time.Now().Add(time.Duration(s.enters.Load()) * time.Second)
	cert := &ssh.Certificate{
		Key: key, CertType: ssh.UserCert, ValidPrincipals: []string{s.principal.Load().(string)}, ValidBefore: uint64(until.Unix()),
	}
	if err := cert.SignCert(rand.Reader, s.userCA); err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connect.NewResponse(&apiv1.EnterResponse{
		Certificate: string(ssh.MarshalAuthorizedKey(cert)), HostCa: string(ssh.MarshalAuthorizedKey(s.hostCA.PublicKey())),
		SshGateway: "gw.test.internal:2222", Expires: timestamppb.New(until),
	}), nil
}

func (s accessSide) Connect(_ context.Context, r *connect.Request[apiv1.ConnectRequest]) (*connect.Response[apiv1.ConnectResponse], error) {
	token, thumbprint, err := s.proven(r.Header(), "POST", r.Spec().Procedure)
	s.mu.Lock()
	known, anew := s.signIns[token], s.anew[token]
	s.mu.Unlock()
	if err != nil || known != thumbprint {
		return nil, connect.NewError(connect.CodeUnauthenticated, errors.New("Your sign-in has ended. Run: sekisho login"))
	}
	if s.fresh.Load() && (!anew || s.never.Load()) {
		stale := connect.NewError(connect.CodeUnauthenticated, errors.New("web1 wants more. Run: sekisho login --fresh"))
		if detail, err := connect.NewErrorDetail(&apiv1.Stale{FreshSeconds: 900}); err == nil {
			stale.AddDetail(detail)
		}
		return nil, stale
	}
	if why := s.refuse.Load().(string); why != "" {
		return nil, connect.NewError(connect.CodePermissionDenied, errors.New(why))
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(r.Msg.PublicKey))
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	var sig ssh.Signature
	text := fmt.Appendf(nil, "sekisho-connect-v1\n%x\n%s\n%s\n", sha256.Sum256([]byte(token)), r.Msg.Host, r.Msg.Login)
	if err := ssh.Unmarshal(r.Msg.KeyProof, &sig); err != nil || key.Verify(text, &sig) != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("key proof"))
	}
	cert := &ssh.Certificate{
		Key: key, CertType: ssh.UserCert, Serial: uint64(s.logins.Load()), ValidPrincipals: []string{r.Msg.Login},
		ValidAfter: uint64(time.Now().Add(-time.Minute).Unix()), ValidBefore: uint64(time.Now().Add(2 * time.Minute).Unix()),
	}
	if err := cert.SignCert(rand.Reader, s.userCA); err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	pass := rand.Text()
	s.mu.Lock()
	s.passes[pass] = thumbprint + " " + ssh.FingerprintSHA256(key)
	s.mu.Unlock()
	return connect.NewResponse(&apiv1.ConnectResponse{
		Certificate: string(ssh.MarshalAuthorizedKey(cert)), Token: pass, Gateways: []string{s.server.URL + "/v1/stream"},
		HostCa: string(ssh.MarshalAuthorizedKey(s.hostCA.PublicKey())), Target: r.Msg.Host, Door: "pass",
	}), nil
}

// stream is the gateway: it checks the pass and is the target's sshd itself. The login must be made with the key that
// the pass was given for: each ssh must have met its own agent.
func (h *house) stream(w http.ResponseWriter, r *http.Request) {
	token, thumbprint, err := h.proven(r.Header, "GET", "/v1/stream")
	h.mu.Lock()
	known, key, _ := strings.Cut(h.passes[token], " ")
	delete(h.passes, token)
	h.mu.Unlock()
	if err != nil || known != thumbprint || r.Header.Get("Upgrade") != "sekisho-stream" {
		http.Error(w, "This pass is not yours. Connect again.", http.StatusUnauthorized)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		h.t.Error(err)
		return
	}
	defer conn.Close()
	rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: sekisho-stream\r\n\r\n")
	rw.Flush()
	h.serveSSH(buffered{conn, rw.Reader}, key)
}

type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

func (h *house) newTarget() *ssh.ServerConfig {
	key := newSigner(h.t)
	cert := &ssh.Certificate{
		Key: key.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"web1", "db1.test.internal"},
		ValidBefore: ssh.CertTimeInfinity,
	}
	if err := cert.SignCert(rand.Reader, h.hostCA); err != nil {
		h.t.Fatal(err)
	}
	signer, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		h.t.Fatal(err)
	}
	checker := &ssh.CertChecker{
		IsUserAuthority: func(k ssh.PublicKey) bool { return string(k.Marshal()) == string(h.userCA.PublicKey().Marshal()) },
	}
	config := &ssh.ServerConfig{MaxAuthTries: 1, PublicKeyCallback: func(c ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		cert, ok := k.(*ssh.Certificate)
		if !ok {
			return nil, errors.New("no certificate")
		}
		perms, err := checker.Authenticate(c, k)
		if err == nil {
			perms.Extensions = map[string]string{"key": ssh.FingerprintSHA256(cert.Key)}
		}
		return perms, err
	}}
	config.AddHostKey(signer)
	return config
}

func (h *house) serveSSH(conn net.Conn, key string) {
	server, chans, reqs, err := ssh.NewServerConn(conn, h.target)
	if err != nil {
		return
	}
	h.logins.Add(1)
	if got := server.Permissions.Extensions["key"]; got != key {
		h.t.Errorf("logged in with %s on the stream for %s: the agents were mixed up", got, key)
	}
	go ssh.DiscardRequests(reqs)
	for n := range chans {
		if n.ChannelType() != "session" {
			n.Reject(ssh.UnknownChannelType, "no")
			continue
		}
		ch, reqs, err := n.Accept()
		if err != nil {
			return
		}
		go h.session(server, ch, reqs)
	}
}

// session answers "whoami" and "cat", and ends with status 7 for anything else.
func (h *house) session(server *ssh.ServerConn, ch ssh.Channel, reqs <-chan *ssh.Request) {
	for r := range reqs {
		var exec struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &exec) != nil {
			r.Reply(r.Type == "env", nil)
			continue
		}
		r.Reply(true, nil)
		status := uint32(0)
		switch exec.Command {
		case "whoami":
			fmt.Fprintf(ch, "%s\n", server.User())
		case "cat":
			io.Copy(ch, ch)
		default:
			status = 7
		}
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ S uint32 }{status}))
		ch.Close()
	}
}

// person is somebody at a machine of their own: a folder, a browser that counts how often it is opened.
type person struct {
	t       *testing.T
	h       *house
	home    string
	browser string
	opened  string
}

func newPerson(t *testing.T, h *house) *person {
	t.Helper()
	dir, err := os.MkdirTemp("", "sek") // t.TempDir is too long a path for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &person{t: t, h: h, home: filepath.Join(dir, "home"), browser: filepath.Join(dir, "browser"), opened: filepath.Join(dir, "opened")}
	script := "#!/bin/sh\necho x >> '" + p.opened + "'\nexec curl -sLk \"$1\" >/dev/null\n"
	if err := os.WriteFile(p.browser, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SEKISHO_BROWSER", p.browser)
	t.Setenv("SEKISHO_HOME", p.home)
	return p
}

// setup makes the machine know the house without anybody signed in.
func (p *person) setup() *client.Client {
	p.t.Helper()
	c, err := client.Setup(p.t.Context(), p.home, p.h.server.URL, p.h.ca(), "")
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *person) login() *client.Client {
	p.t.Helper()
	c := p.setup()
	if _, err := c.Login(p.t.Context(), client.LoginOptions{Out: io.Discard}); err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *person) browsers() int {
	b, _ := os.ReadFile(p.opened)
	return strings.Count(string(b), "x")
}

// leftovers are the sockets that are still in run/.
func (p *person) leftovers() []string {
	entries, err := os.ReadDir(filepath.Join(p.home, "run"))
	if err != nil {
		p.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".sock") {
			names = append(names, e.Name())
		}
	}
	return slices.Clip(names)
}
