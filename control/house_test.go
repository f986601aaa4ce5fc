package control_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/api"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/control"
	"github.com/sekisho/sekisho/login"
	"github.com/sekisho/sekisho/policy"
	"github.com/sekisho/sekisho/store/db"
)

const policies = `
@id("ops") permit (principal in Group::"ops", action == Action::"connect", resource) when { context.login == "deploy" };
@id("ops-db") @audit("strict") @pty("deny") permit (principal in Group::"dba", action == Action::"connect", resource == Target::"db1");
@id("fresh") @fresh("15m") permit (principal in Group::"fresh", action == Action::"connect", resource == Target::"web3");
@id("auditors") permit (principal in Group::"auditors", action in [Action::"readAudit", Action::"readRecordings"], resource);
@id("watchers") permit (principal in Group::"watchers", action == Action::"watchSessions", resource == Target::"db1");
@id("enders") permit (principal in Group::"enders", action == Action::"endSessions", resource == Target::"db1") when { context.person != "chief@example.com" };
@id("ca") permit (principal in Group::"ca-admins", action in [Action::"manageCA", Action::"revokeCertificates", Action::"readAudit"], resource);
@id("ca-only") permit (principal in Group::"ca-only", action == Action::"manageCA", resource);
@id("git") permit (principal in Group::"dev", action == Action::"certify", resource == Issuer::"git");
`

// issuers are those of docs/certificates.md, and one for programs.
var issuers = map[string]ca.IssuerConfig{
	"git":     {CA: "git", Principals: []string{"{account}"}, TTL: "8h", MaxTTL: "24h", Extensions: []string{"login@github.com={account}"}},
	"deploys": {CA: "git", Proof: ca.ProofToken, Match: "deploy-[a-z]+", TTL: "15m"},
	"orphan":  {CA: "none", Principals: []string{"{account}"}, TTL: "1h"},
	"builds":  {CA: "builds", Proof: ca.ProofToken, Principals: []string{"deploy:web1"}, TTL: "1h"},
}

// idp vouches for whoever the test says.
type idp struct {
	mu   sync.Mutex
	next sekisho.Identity
	fail error
}

func (i *idp) AuthCodeURL(_ context.Context, a login.Authorization) (string, error) {
	to := "https://idp.example.com/authorize?state=" + url.QueryEscape(a.State) + "&x=%22%3E%3Cscript%3E"
	if !a.Since.IsZero() {
		to += "&prompt=login"
	}
	return to, nil
}

func (i *idp) Exchange(context.Context, string, login.Authorization) (sekisho.Identity, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.next, i.fail
}

// house is a door with real rooms behind it.
type house struct {
	t       testing.TB
	url     string
	http    *http.Client
	server  *httptest.Server
	idp     *idp
	db      *db.DB
	log     *audit.Log
	ca      *ca.Authority
	revoked *ca.Revocations
	links   *ca.Links
	desk    *login.Desk
	key     *ecdsa.PrivateKey // of target tokens
	logged  *syncBuffer
	files   map[string][]byte
	handler http.Handler
	live    *liveSessions
	set     atomic.Pointer[policy.Set]
	closing chan struct{}
	// rotation takes the CAs on; shown is the host key that each target's SSH server proves.
	rotation *control.Rotation
	shown    sync.Map
	barred   atomic.Value // subject of who is revoked
	cut      []string     // connectors whose links were cut

	mu    sync.Mutex
	clock time.Time
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.clock
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock = h.clock.Add(d)
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{
		t: t, clock: time.Now().Truncate(time.Second), idp: &idp{}, logged: &syncBuffer{},
		files: map[string][]byte{},
	}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.handler.ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	h.url, h.http, h.server = srv.URL, srv.Client(), srv
	h.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	logger := slog.New(slog.NewTextHandler(h.logged, nil))
	dir := t.TempDir()

	h.db = must(db.Open(t.Context(), filepath.Join(dir, "data", "sekisho.db")))(t)
	t.Cleanup(func() { h.db.Close() })
	signer := func(name string) crypto.Signer { return must(ca.OpenKey(filepath.Join(dir, "keys", name)))(t) }
	h.log = must(audit.Open(t.Context(), audit.Config{
		Store: h.db, Signer: signer("audit"), Origin: "test/audit", Now: h.now, Log: logger,
	}))(t)
	t.Cleanup(func() { h.log.Close() })
	if err := h.log.Append(t.Context(), &sekisho.Event{Kind: sekisho.EventStarted, Actor: "control"}); err != nil {
		t.Fatal(err)
	}
	git := must(ssh.NewSignerFromSigner(signer("git")))(t)
	h.ca = must(ca.New(ca.Config{User: signer("user"), Gateway: signer("gateway"), Host: signer("host"), Issuers: issuers,
		CAs: []*sekisho.CA{ca.First("git", ca.TypeUser, "test:git", git.PublicKey(), h.now())}, Open: func(context.Context, string) (ca.Opened, error) {
			return ca.Opened{Signer: git}, nil
		}, Note: h.log.Append, Now: h.now,
		Create: newCAKey, Save: h.db.SaveCA,
		Refuse: func(id sekisho.KeyID, r *sekisho.CertificateRecord) error { return h.revoked.Refuse(id, r) }}))(t)
	h.revoked = must(ca.OpenRevocations(t.Context(), ca.RevocationsConfig{
		Store: h.db, Certificates: h.db.Certificates, Events: h.log.Query, Note: h.log.Append,
		CAs: func(context.Context) ([]*sekisho.CA, error) { return h.ca.CAs(), nil }, Now: h.now,
	}))(t)
	h.links = must(ca.OpenLinks(must(ca.OpenECDSA(filepath.Join(dir, "keys", "link")))(t), filepath.Join(dir, "keys", "link.pem"), h.now))(t)
	h.key = must(ca.OpenECDSA(filepath.Join(dir, "keys", "pass")))(t)
	h.live, h.closing = newLiveSessions(), make(chan struct{})
	h.set.Store(must(policy.Load([]policy.File{{Name: "test.cedar", Text: []byte(policies)}}))(t))
	h.desk = must(login.New(login.Config{
		Provider: h.idp, Store: h.db, URL: h.url, Now: h.now, Log: logger, Revoked: h.revoked.SignIn,
		Note: func(ctx context.Context, ev *sekisho.Event) error { return h.log.Append(ctx, ev) },
	}))(t)
	for _, c := range h.ca.CAs() {
		if err := h.db.SaveCA(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	h.rotation = must(control.NewRotation(control.RotationConfig{CA: h.ca, Store: h.db, Events: h.log, Now: h.now, Log: logger}))(t)
	h.handler = must(control.New(control.Config{
		Rotation: h.rotation, ProbeHostKey: h.probe,
		Name: "Example & Sons", URL: h.url, Domain: "example.internal", SSHHosts: []string{"*.example.internal"},
		Gateways: []string{h.url + "/v1/stream"}, SSHGateway: "gw.example.com:2222", AgentTTL: 30 * time.Minute, AuditKey: h.log.VerifierKey(),
		Recipients: func() []*apiv1.Recipient {
			return []*apiv1.Recipient{{Id: "rk_0123456789abcdef", Label: "auditors", Kem: "mlkem768-x25519", Default: true}}
		},
		Revoked: h.revoked, Enforce: h.enforce,
		Desk: h.desk, Passes: must(login.NewIssuer(h.key, h.url))(t), CA: h.ca, Links: h.links,
		Policies: h.set.Load, Store: h.db, Note: h.log.Append, Events: h.log,
		OpenRecording: h.openRecording, Live: h.live, FollowRecording: h.live.follow, Changed: h.live.changed.Wait, Closing: h.closing, Linked: func(target string) bool { return target == "web1" },
		Barred: func(_ context.Context, subject string) error {
			if h.barred.Load() == subject {
				return &sekisho.Refusal{Sentence: "You are revoked."}
			}
			return nil
		},
		Cut: func(connector string) { h.cut = append(h.cut, connector) },
		Now: h.now, Log: logger,
	}))(t)
	h.addTargets()
	return h
}

// enforce ends sign-ins; sessions are the gateway's.
func (h *house) enforce(ctx context.Context, r *sekisho.Revocation) (int, []string, error) {
	var n int
	var err error
	switch r.Kind {
	case sekisho.RevokedPerson:
		n, err = h.desk.EndFor(ctx, r.Value, "")
	case sekisho.RevokedSignIn:
		n, err = h.desk.EndFor(ctx, "", r.Value)
	}
	return n, []string{"ses_" + string(r.Kind)}, err
}

// newCAKey makes keys that live nowhere.
func newCAKey(_ context.Context, name, _, _ string) (string, ca.Opened, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", ca.Opened{}, err
	}
	signer, err := ssh.NewSignerFromSigner(key)
	return "file:" + name, ca.Opened{Signer: signer}, err
}

// probe gives the host key that a target's SSH server proves.
func (h *house) probe(_ context.Context, target, keyType string) (ssh.PublicKey, error) {
	shown, ok := h.shown.Load(target)
	if !ok {
		return nil, errors.New("the target is not linked")
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(shown.(string)))
	if err == nil && key.Type() != keyType {
		err = errors.New("no key of that type")
	}
	return key, err
}

func (h *house) openRecording(_ context.Context, session string) (io.ReadCloser, int64, error) {
	b, ok := h.files[session]
	switch {
	case !ok:
		return nil, 0, sekisho.ErrNotFound
	case b == nil:
		return nil, 0, errors.New("read /secret/place: disk is on fire")
	}
	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
}

func (h *house) addTargets() {
	for _, t := range []*sekisho.Target{
		{Name: "web1", Labels: []string{"env:prod"}, Logins: []string{"deploy", "root"}},
		{Name: "web2", Logins: []string{"root"}},
		{Name: "db1", Logins: []string{"postgres"}, Audited: true},
	} {
		if err := h.db.SaveTarget(h.t.Context(), t); err != nil {
			h.t.Fatal(err)
		}
	}
}

// device is a client machine: a key and, once signed in, a token.
type device struct {
	house  *house
	key    *ecdsa.PrivateKey
	prover *api.Prover
	token  string
	*api.Clients
	open *api.Clients
}

func (h *house) device() *device {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	d := &device{house: h, key: key, prover: must(api.NewProver(key))(h.t)}
	d.Clients = api.NewClients(&api.Transport{
		Base: h.http.Transport, Prover: d.prover, Origin: h.url, Now: h.now, Token: func() string { return d.token },
	})
	d.open = api.NewClients(&api.Transport{Base: h.http.Transport, Prover: d.prover, Origin: h.url, Now: h.now})
	return d
}

const verifier = "a-code-verifier-of-at-least-43-characters-0123456789"

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// signIn goes the whole way: begin, browser, IdP, callback, finish.
func (h *house) signIn(subject string, groups ...string) *device {
	h.t.Helper()
	return h.signInAt(h.now(), subject, groups...)
}

// signInAt is signIn by somebody who proved themselves to the IdP at that time.
func (h *house) signInAt(proved time.Time, subject string, groups ...string) *device {
	h.t.Helper()
	d := h.device()
	h.idp.next = sekisho.Identity{Subject: subject, Issuer: "https://idp.example.com", IssuerSubject: subject, Groups: groups, AuthTime: proved}
	begun, err := d.open.SignIn.Begin(h.t.Context(), connect.NewRequest(&apiv1.BeginRequest{
		CodeChallenge: challenge(), RedirectUri: "http://127.0.0.1:4711/done", State: "st", Device: subject + "'s laptop",
	}))
	if err != nil {
		h.t.Fatal(err)
	}
	b := h.browser()
	to := b.get(begun.Msg.Url).Header.Get("Location")
	res := b.get(h.url + login.PathCallback + "?code=c&state=" + url.QueryEscape(must(url.Parse(to))(h.t).Query().Get("state")))
	back := must(url.Parse(res.Header.Get("Location")))(h.t)
	if back.Host != "127.0.0.1:4711" || back.Query().Get("state") != "st" {
		h.t.Fatalf("status %d, sent to %q", res.StatusCode, back)
	}
	fin, err := d.open.SignIn.Finish(h.t.Context(), connect.NewRequest(&apiv1.FinishRequest{
		Request: begun.Msg.Request, CodeVerifier: verifier, Code: back.Query().Get("code"),
	}))
	if err != nil {
		h.t.Fatal(err)
	}
	d.token = fin.Msg.Token
	return d
}

// browser keeps cookies and follows nothing.
type browser struct {
	house   *house
	cookies map[string]string
	header  http.Header
}

func (h *house) browser() *browser {
	return &browser{house: h, cookies: map[string]string{}, header: http.Header{}}
}

type page struct {
	*http.Response
	body string
}

func (b *browser) get(url string) page { return b.do(http.MethodGet, url, "") }

func (b *browser) post(url string, form url.Values) page {
	return b.do(http.MethodPost, url, form.Encode())
}

func (b *browser) do(method, to, body string) page {
	b.house.t.Helper()
	req := must(http.NewRequestWithContext(b.house.t.Context(), method, to, strings.NewReader(body)))(b.house.t)
	req.Header = b.header.Clone()
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range b.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	res := must(b.house.http.Do(req))(b.house.t)
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		if !c.HttpOnly || !c.Secure || c.Path != "/" || !strings.HasPrefix(c.Name, "__Host-") {
			b.house.t.Errorf("cookie %s is not bound tightly", c)
		}
		b.cookies[c.Name] = c.Value
	}
	return page{res, string(must(io.ReadAll(res.Body))(b.house.t))}
}

// sshKey makes a key and the request that proves it.
func (d *device) ask(host, account string) (*apiv1.ConnectRequest, ssh.Signer) {
	d.house.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		d.house.t.Fatal(err)
	}
	signer := must(ssh.NewSignerFromSigner(key))(d.house.t)
	sig := must(signer.Sign(rand.Reader, control.ProofText(d.token, host, account)))(d.house.t)
	return &apiv1.ConnectRequest{Host: host, Login: account, PublicKey: ca.Line(signer.PublicKey()), KeyProof: ssh.Marshal(sig)}, signer
}

func (d *device) connect(host, account string) (*apiv1.ConnectResponse, error) {
	req, _ := d.ask(host, account)
	res, err := d.Access.Connect(d.house.t.Context(), connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// events gives the log's events of a kind, newest first.
func (h *house) events(kind string) []*sekisho.Event {
	h.t.Helper()
	lines := must(h.log.Query(h.t.Context(), sekisho.EventQuery{Kind: kind}))(h.t)
	all := make([]*sekisho.Event, len(lines))
	for i, line := range lines {
		all[i] = new(sekisho.Event)
		if err := json.Unmarshal(line, all[i]); err != nil {
			h.t.Fatal(err)
		}
	}
	return all
}

func wantCode(t testing.TB, what string, err error, code connect.Code) string {
	t.Helper()
	var ce *connect.Error
	if !errors.As(err, &ce) || ce.Code() != code {
		t.Fatalf("%s: got %v, want %v", what, err, code)
	}
	return ce.Message()
}
