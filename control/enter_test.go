package control_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/control"
)

// knock makes a key for an agent and the request that proves it.
func (d *device) knock() *apiv1.EnterRequest {
	d.house.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		d.house.t.Fatal(err)
	}
	signer := must(ssh.NewSignerFromSigner(key))(d.house.t)
	sig := must(signer.Sign(rand.Reader, control.EnterText(d.token)))(d.house.t)
	return &apiv1.EnterRequest{PublicKey: ca.Line(signer.PublicKey()), KeyProof: ssh.Marshal(sig)}
}

func TestEnter(t *testing.T) {
	h := newHouse(t)
	// No policy lets mallory go anywhere: the certificate opens nothing by itself.
	mallory := h.signIn("mallory@example.com")
	req := mallory.knock()
	res, err := mallory.Access.Enter(t.Context(), connect.NewRequest(req))
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(res.Msg.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	cert := key.(*ssh.Certificate)
	if !cmp.Equal(cert.ValidPrincipals, []string{sekisho.AnyDoorPrincipal}) || len(cert.Extensions) != 0 || !strings.HasPrefix(req.PublicKey, ca.Line(cert.Key)) {
		t.Errorf("principals %v, extensions %v", cert.ValidPrincipals, cert.Extensions)
	}
	if got := time.Unix(int64(cert.ValidBefore), 0); !got.Equal(h.now().Add(30*time.Minute)) || !got.Equal(res.Msg.Expires.AsTime()) {
		t.Errorf("valid until %v, said %v", got, res.Msg.Expires.AsTime())
	}
	if res.Msg.SshGateway != "gw.example.com:2222" || res.Msg.HostCa != h.ca.Lines().Host[0] {
		t.Errorf("got %v", res.Msg)
	}
	made := h.events(sekisho.EventCertificate)
	if len(made) != 1 || made[0].Actor != "mallory@example.com" || made[0].ClientAddress != "127.0.0.1" {
		t.Fatalf("noted %v", made)
	}
	if err := audit.CheckCertificate(cert, made[0]); err != nil {
		t.Error(err)
	}
	h.pass(8*time.Hour - time.Minute)
	if res, err = mallory.Access.Enter(t.Context(), connect.NewRequest(mallory.knock())); err != nil {
		t.Fatal(err)
	}
	if left := res.Msg.Expires.AsTime().Sub(h.now()); left > time.Minute {
		t.Errorf("the certificate outlives the sign-in by %v", left-time.Minute)
	}
}

func TestEnterRefuses(t *testing.T) {
	h := newHouse(t)
	alice, other := h.signIn("alice@example.com", "ops"), h.signIn("alice@example.com", "ops")
	for name, c := range map[string]struct {
		change func(*apiv1.EnterRequest)
		code   connect.Code
	}{
		"no proof":           {func(m *apiv1.EnterRequest) { m.KeyProof = nil }, connect.CodeUnauthenticated},
		"another's key":      {func(m *apiv1.EnterRequest) { m.PublicKey = alice.knock().PublicKey }, connect.CodeUnauthenticated},
		"proof of a sign-in": {func(m *apiv1.EnterRequest) { r := other.knock(); m.PublicKey, m.KeyProof = r.PublicKey, r.KeyProof }, connect.CodeUnauthenticated},
		"proof of a connection": {func(m *apiv1.EnterRequest) {
			r, _ := alice.ask("web1", "deploy")
			m.PublicKey, m.KeyProof = r.PublicKey, r.KeyProof
		}, connect.CodeUnauthenticated},
		"options": {func(m *apiv1.EnterRequest) { m.PublicKey = "cert-authority " + m.PublicKey }, connect.CodeInvalidArgument},
		"no key":  {func(m *apiv1.EnterRequest) { m.PublicKey = "" }, connect.CodeInvalidArgument},
	} {
		req := alice.knock()
		c.change(req)
		_, err := alice.Access.Enter(t.Context(), connect.NewRequest(req))
		wantCode(t, name, err, c.code)
	}
	// Nor is the proof for an agent one for a connection.
	req, _ := alice.ask("web1", "deploy")
	r := alice.knock()
	req.PublicKey, req.KeyProof = r.PublicKey, r.KeyProof
	_, err := alice.Access.Connect(t.Context(), connect.NewRequest(req))
	wantCode(t, "the other way round", err, connect.CodeUnauthenticated)
	if n := len(h.events(sekisho.EventCertificate)); n != 0 {
		t.Errorf("%d certificates were made", n)
	}
}

// Who proved themselves too long ago hears so in words and by a detail that a program can read, and what to do.
func TestConnectStale(t *testing.T) {
	h := newHouse(t)
	if err := h.db.SaveTarget(t.Context(), &sekisho.Target{Name: "web3", Logins: []string{"root"}}); err != nil {
		t.Fatal(err)
	}
	alice := h.signInAt(h.now(), "alice@example.com", "fresh")
	if _, err := alice.connect("web3", "root"); err != nil {
		t.Fatal(err)
	}
	h.pass(15*time.Minute + time.Second)
	for name, d := range map[string]*device{
		"signed in long ago":         alice,
		"the IdP did not say when":   h.signInAt(time.Time{}, "alice@example.com", "fresh"),
		"the IdP knew her since ago": h.signInAt(h.now().Add(-time.Hour), "alice@example.com", "fresh"),
	} {
		_, err := d.connect("web3", "root")
		said := wantCode(t, name, err, connect.CodeUnauthenticated)
		if said != "root on web3 is for people who proved themselves no longer than 15m ago. Run: sekisho login --fresh" {
			t.Errorf("%s: says %q", name, said)
		}
		if fresh := staleOf(t, err); fresh != 15*60 {
			t.Errorf("%s: detail says %d s", name, fresh)
		}
		if ev := h.events(sekisho.EventDecision)[0]; ev.Decision.Effect != sekisho.Allow || !strings.Contains(ev.Error, "15m") {
			t.Errorf("%s: noted %+v", name, ev)
		}
	}
	if n := len(h.events(sekisho.EventCertificate)); n != 1 {
		t.Errorf("%d certificates were made", n)
	}
	// A refusal that a fresh sign-in does not mend has no such detail.
	_, err := alice.connect("db1", "postgres")
	wantCode(t, "no policy", err, connect.CodePermissionDenied)
	if fresh := staleOf(t, err); fresh != 0 {
		t.Errorf("detail says %d s", fresh)
	}
	if _, err := h.signInAt(h.now(), "alice@example.com", "fresh").connect("web3", "root"); err != nil {
		t.Error(err)
	}
}

func staleOf(t *testing.T, err error) int64 {
	t.Helper()
	var ce *connect.Error
	if !errors.As(err, &ce) {
		t.Fatal(err)
	}
	for _, detail := range ce.Details() {
		if m, err := detail.Value(); err == nil {
			if s, ok := m.(*apiv1.Stale); ok {
				return s.FreshSeconds
			}
		}
	}
	return 0
}

// Begin's wish for a fresh sign-in reaches the IdP.
func TestBeginFresh(t *testing.T) {
	h := newHouse(t)
	for _, fresh := range []bool{false, true} {
		begun, err := h.device().open.SignIn.Begin(t.Context(), connect.NewRequest(&apiv1.BeginRequest{
			CodeChallenge: challenge(), RedirectUri: "http://127.0.0.1:4711/done", State: "st", Fresh: fresh,
		}))
		if err != nil {
			t.Fatal(err)
		}
		if to := h.browser().get(begun.Msg.Url).Header.Get("Location"); strings.Contains(to, "prompt=login") != fresh {
			t.Errorf("fresh %v: sent to %s", fresh, to)
		}
	}
}
