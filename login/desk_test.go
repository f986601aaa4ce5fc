package login_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/api"
	"github.com/sekisho/sekisho/login"
)

// front is a desk with all that it needs.
type front struct {
	*login.Desk
	op    *op
	clock *clock
	store *memory

	mu     sync.Mutex
	events []sekisho.Event
	deaf   atomic.Bool // Note fails
}

func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{clock: newClock(), store: newMemory()}
	f.op = newOP(t, f.clock)
	desk, err := login.New(login.Config{
		Provider: f.op.provider(t, nil), Store: f.store, URL: controlURL, Note: f.note,
		Now: f.clock.now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Desk = desk
	return f
}

func (f *front) note(_ context.Context, e *sekisho.Event) error {
	if f.deaf.Load() {
		return errors.New("disk full")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, *e)
	return nil
}

func (f *front) kinds() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, e := range f.events {
		out = append(out, e.Kind)
	}
	return out
}

// person is a client with its key.
type person struct {
	key      *ecdsa.PrivateKey
	prover   *api.Prover
	verifier string
}

func newPerson(t testing.TB) *person {
	t.Helper()
	p := &person{key: newKey(t), verifier: rand.Text() + rand.Text()}
	var err error
	if p.prover, err = api.NewProver(p.key); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *person) begin(redirect string) login.BeginParams {
	sum := sha256.Sum256([]byte(p.verifier))
	return login.BeginParams{
		CodeChallenge: base64.RawURLEncoding.EncodeToString(sum[:]), RedirectURI: redirect, State: "cli-state",
		Device: "mei's laptop", Thumbprint: p.prover.Thumbprint(), ClientAddress: "192.0.2.7",
	}
}

const loopbackURI = "http://127.0.0.1:4711/done"

// browse takes a browser through the IdP and gives the outcome.
func (f *front) browse(t *testing.T, request string) (login.Outcome, error) {
	t.Helper()
	to, cookie, err := f.Visit(t.Context(), request)
	if err != nil {
		t.Fatalf("Visit: %v", err)
	}
	code, state := authorize(t, to)
	return f.Callback(t.Context(), state, code, cookie, "")
}

// code takes the code out of a loopback redirect.
func code(t *testing.T, o login.Outcome) string {
	t.Helper()
	u, err := url.Parse(o.RedirectTo)
	if err != nil || !strings.HasPrefix(o.RedirectTo, loopbackURI+"?") || u.Query().Get("state") != "cli-state" {
		t.Fatalf("redirect to %q", o.RedirectTo)
	}
	return u.Query().Get("code")
}

// approved goes as far as the code on the loopback redirect.
func (f *front) approved(t *testing.T, p *person) login.FinishParams {
	t.Helper()
	b, err := f.Begin(t.Context(), p.begin(loopbackURI))
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	o, err := f.browse(t, b.Request)
	if err != nil {
		t.Fatalf("Callback: %v", err)
	}
	return login.FinishParams{Request: b.Request, CodeVerifier: p.verifier, Code: code(t, o), Thumbprint: p.prover.Thumbprint()}
}

// signIn goes all the way.
func (f *front) signIn(t *testing.T, p *person) (string, *sekisho.SignIn) {
	t.Helper()
	token, s, pending, err := f.Finish(t.Context(), f.approved(t, p))
	if err != nil || pending || token == "" {
		t.Fatalf("Finish: pending %v, %v", pending, err)
	}
	return token, s
}

func wantRefusal(t *testing.T, err error, sentence string) {
	t.Helper()
	var r *sekisho.Refusal
	if !errors.As(err, &r) || !strings.Contains(r.Sentence, sentence) || r.Next == "" || r.Cause == nil {
		t.Errorf("got %v; want a refusal with %q, a next step and a cause", err, sentence)
	}
}

func TestSignInByBrowser(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	token, got := f.signIn(t, mei)
	now := f.clock.now()
	hash := sha256.Sum256([]byte(token))
	want := &sekisho.SignIn{
		ID: got.ID,
		Identity: sekisho.Identity{Subject: "mei@example.com", Issuer: f.op.URL, IssuerSubject: "u-1", Name: "Mei",
			Groups: []string{"sre", "oncall"}, Methods: []string{"pwd", "mfa"}, AuthTime: now},
		Thumbprint: mei.prover.Thumbprint(), TokenHash: hash[:], Device: "mei's laptop", ClientAddress: "192.0.2.7",
		Created: now, Expires: now.Add(8 * time.Hour),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sign-in (-want +got):\n%s", diff)
	}
	if id, ok := login.SignInID(token); !ok || id != got.ID {
		t.Errorf("token names %q, want %q", id, got.ID)
	}
	if diff := cmp.Diff([]string{sekisho.EventSignIn}, f.kinds()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for key, r := range f.store.pending {
		if strings.Contains(key, token) || strings.Contains(string(r.body), token) {
			t.Errorf("the token is in record %s", key)
		}
	}
}

// A fresh sign-in goes to the IdP with the wish to have it proved again, and only that one does.
func TestFreshSignIn(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	for _, fresh := range []bool{false, true} {
		p := mei.begin(loopbackURI)
		p.Fresh = fresh
		b, err := f.Begin(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		to, _, err := f.Visit(t.Context(), b.Request)
		if err != nil || strings.Contains(to, "prompt=login") != fresh {
			t.Errorf("fresh %v: %s, %v", fresh, to, err)
		}
	}
	f.op.set(false, f.op.but(map[string]any{"auth_time": f.clock.now().Add(-time.Hour).Unix()}))
	p := mei.begin(loopbackURI)
	p.Fresh = true
	b, err := f.Begin(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.browse(t, b.Request)
	wantRefusal(t, err, "did not ask you to prove yourself again")
}

func TestSignInByDevice(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	ctx := t.Context()
	b, err := f.Begin(ctx, mei.begin(""))
	if err != nil {
		t.Fatal(err)
	}
	if b.URL != controlURL+"/device?code="+b.UserCode || b.Interval != login.PollInterval {
		t.Errorf("begun %+v", b)
	}
	finish := login.FinishParams{Request: b.Request, CodeVerifier: mei.verifier, Thumbprint: mei.prover.Thumbprint()}
	if token, _, pending, err := f.Finish(ctx, finish); !pending || err != nil || token != "" {
		t.Fatalf("before approval: pending %v, %v", pending, err)
	}
	asked, err := f.LookUp(ctx, " "+strings.ToLower(strings.ReplaceAll(b.UserCode, "-", " ")), "198.51.100.1")
	if err != nil {
		t.Fatal(err)
	}
	want := login.Asked{Request: asked.Request, UserCode: b.UserCode, Device: "mei's laptop", ClientAddress: "192.0.2.7", Expires: b.Expires}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	o, err := f.browse(t, asked.Request)
	if err != nil || !o.DeviceDone || o.RedirectTo != "" || o.Identity.Subject != "mei@example.com" {
		t.Fatalf("outcome %+v, %v", o, err)
	}
	token, s, pending, err := f.Finish(ctx, finish)
	if err != nil || pending || token == "" || s.Identity.Subject != "mei@example.com" {
		t.Fatalf("Finish: pending %v, %v", pending, err)
	}
}

func TestBeginRefuses(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	for name, change := range map[string]func(*login.BeginParams){
		"foreign host":       func(p *login.BeginParams) { p.RedirectURI = "http://evil.example.com:80/" },
		"localhost by name":  func(p *login.BeginParams) { p.RedirectURI = "http://localhost:4711/" },
		"https":              func(p *login.BeginParams) { p.RedirectURI = "https://127.0.0.1:4711/" },
		"no port":            func(p *login.BeginParams) { p.RedirectURI = "http://127.0.0.1/" },
		"port 0":             func(p *login.BeginParams) { p.RedirectURI = "http://127.0.0.1:0/" },
		"port too big":       func(p *login.BeginParams) { p.RedirectURI = "http://127.0.0.1:65536/" },
		"user before host":   func(p *login.BeginParams) { p.RedirectURI = "http://127.0.0.1:80@evil.example.com:80/" },
		"backslash":          func(p *login.BeginParams) { p.RedirectURI = `http://127.0.0.1:80\@evil.example.com/` },
		"suffix":             func(p *login.BeginParams) { p.RedirectURI = "http://127.0.0.1.evil.example.com:80/" },
		"other loopback":     func(p *login.BeginParams) { p.RedirectURI = "http://127.1:80/" },
		"mapped loopback":    func(p *login.BeginParams) { p.RedirectURI = "http://[::ffff:127.0.0.1]:80/" },
		"query":              func(p *login.BeginParams) { p.RedirectURI = loopbackURI + "?a=b" },
		"fragment":           func(p *login.BeginParams) { p.RedirectURI = loopbackURI + "#a" },
		"newline":            func(p *login.BeginParams) { p.RedirectURI = loopbackURI + "\r\nSet-Cookie: a=b" },
		"long":               func(p *login.BeginParams) { p.RedirectURI = loopbackURI + strings.Repeat("a", 300) },
		"script":             func(p *login.BeginParams) { p.RedirectURI = "javascript:alert(1)" },
		"plain challenge":    func(p *login.BeginParams) { p.CodeChallenge = "verifier" },
		"no key":             func(p *login.BeginParams) { p.Thumbprint = "" },
		"long state":         func(p *login.BeginParams) { p.State = strings.Repeat("s", 513) },
		"device of controls": func(p *login.BeginParams) { p.Device = "laptop\x1b[2J" },
		"long device":        func(p *login.BeginParams) { p.Device = strings.Repeat("d", 129) },
	} {
		t.Run(name, func(t *testing.T) {
			p := mei.begin(loopbackURI)
			change(&p)
			_, err := f.Begin(t.Context(), p)
			wantRefusal(t, err, "malformed")
		})
	}
	for _, ok := range []string{"http://127.0.0.1:1/", "http://[::1]:65535/cb", "http://127.0.0.1:80"} {
		if _, err := f.Begin(t.Context(), mei.begin(ok)); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
}

// An audit log that cannot be written lets nobody in.
func TestNoTokenWithoutEvent(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	finish := f.approved(t, mei)
	f.deaf.Store(true)
	token, _, _, err := f.Finish(t.Context(), finish)
	if err == nil || token != "" {
		t.Fatalf("token handed out: %v", err)
	}
	if left, err := f.List(t.Context(), "mei@example.com"); err != nil || len(left) != 0 {
		t.Errorf("live sign-ins %v, %v", left, err)
	}
}

func TestEnd(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	ctx := t.Context()
	token, one := f.signIn(t, mei)
	_, two := f.signIn(t, newPerson(t))
	ken := &sekisho.SignIn{ID: sekisho.NewID("sin"), Identity: sekisho.Identity{Subject: "ken@example.com"},
		Created: f.clock.now(), Expires: f.clock.now().Add(time.Hour)}
	if err := f.store.SaveSignIn(ctx, ken); err != nil {
		t.Fatal(err)
	}
	_, err := f.End(ctx, one, ken.ID, false)
	wantRefusal(t, err, "no such live sign-in")
	if n, err := f.End(ctx, one, "", false); n != 1 || err != nil {
		t.Fatalf("End current: %d, %v", n, err)
	}
	_, err = f.Authenticate(ctx, token, "", "POST", controlURL, "")
	wantRefusal(t, err, "Your sign-in has ended.")
	_, three := f.signIn(t, newPerson(t))
	if n, err := f.End(ctx, three, "", true); n != 2 || err != nil {
		t.Fatalf("End everywhere: %d, %v", n, err)
	}
	_, err = f.End(ctx, two, "", false)
	wantRefusal(t, err, "no such live sign-in")
	if left, err := f.List(ctx, "ken@example.com"); err != nil || len(left) != 1 {
		t.Errorf("ken has %v, %v", left, err)
	}
}

func TestExpired(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	token, _ := f.signIn(t, mei)
	f.clock.pass(8 * time.Hour)
	for range 2 {
		_, err := f.Authenticate(t.Context(), token, "", "POST", controlURL, "")
		wantRefusal(t, err, "Your sign-in has ended.")
	}
	if diff := cmp.Diff([]string{sekisho.EventSignIn, sekisho.EventSignInEnded}, f.kinds()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestIdPSaysNo(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	b, err := f.Begin(t.Context(), mei.begin(loopbackURI))
	if err != nil {
		t.Fatal(err)
	}
	to, cookie, err := f.Visit(t.Context(), b.Request)
	if err != nil {
		t.Fatal(err)
	}
	_, state := authorize(t, to)
	o, err := f.Callback(t.Context(), state, "", cookie, "access_denied")
	wantRefusal(t, err, "did not sign you in")
	if u, _ := url.Parse(o.RedirectTo); u.Query().Get("error") != "access_denied" || u.Query().Get("state") != "cli-state" {
		t.Errorf("redirect %q", o.RedirectTo)
	}
	if diff := cmp.Diff([]string{sekisho.EventSignInRefused}, f.kinds()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// An outsider, who cannot sign in at the IdP, must not be able to fill the audit log with that.
func TestRefusalsOfNobodyAreBounded(t *testing.T) {
	f, mallory := newFront(t), newPerson(t)
	const tries, most = 100, 50
	for range tries {
		b, err := f.Begin(t.Context(), mallory.begin(loopbackURI))
		if err != nil {
			t.Fatal(err)
		}
		to, cookie, err := f.Visit(t.Context(), b.Request)
		if err != nil {
			t.Fatal(err)
		}
		_, state := authorize(t, to)
		_, err = f.Callback(t.Context(), state, "", cookie, "access_denied")
		wantRefusal(t, err, "did not sign you in")
	}
	if n := len(f.kinds()); n != most {
		t.Errorf("%d events of %d tries, want %d", n, tries, most)
	}
}
