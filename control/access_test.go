package control_test

import (
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/login"
)

func TestDescribeByPlainJSON(t *testing.T) {
	h := newHouse(t)
	res := must(h.http.Post(h.url+"/sekisho.v1.AccessService/Describe", "application/json", strings.NewReader("{}")))(t)
	defer res.Body.Close()
	var got map[string]any
	if err := json.Unmarshal(must(io.ReadAll(res.Body))(t), &got); err != nil {
		t.Fatal(err)
	}
	if got["name"] != "Example & Sons" || got["hostCa"] != h.ca.Lines().Host[0] || got["auditKey"] != h.log.VerifierKey() || got["sshGateway"] != "gw.example.com:2222" {
		t.Errorf("got %v", got)
	}
	if to := fmt.Sprint(got["recipients"]); to != "[map[default:true id:rk_0123456789abcdef kem:mlkem768-x25519 label:auditors]]" {
		t.Errorf("recipients %s", to)
	}
}

func TestConnect(t *testing.T) {
	h := newHouse(t)
	alice := h.signIn("alice@example.com", "ops")
	req, signer := alice.ask("Web1.Example.Internal", "deploy")
	res, err := alice.Access.Connect(t.Context(), connect.NewRequest(req))
	if err != nil {
		t.Fatal(err)
	}
	m := res.Msg
	if m.Target != "web1" || m.Door != "pass" || m.HostCa != h.ca.Lines().Host[0] || len(m.Gateways) != 1 {
		t.Errorf("got %v", m)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(m.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	cert := key.(*ssh.Certificate)
	if string(cert.Key.Marshal()) != string(signer.PublicKey().Marshal()) || !cmp.Equal(cert.ValidPrincipals, []string{"deploy:web1"}) {
		t.Errorf("certificate of another key, or for %v", cert.ValidPrincipals)
	}
	if got := time.Unix(int64(cert.ValidBefore), 0); !got.Equal(h.now().Add(2 * time.Minute)) {
		t.Errorf("valid until %v", got)
	}

	v := must(login.NewVerifier(login.VerifierConfig{Issuer: h.url, Keys: []crypto.PublicKey{h.key.Public()}, Proofs: login.NewProofs(h.now), Now: h.now}))(t)
	proof := must(alice.prover.Proof(http.MethodGet, m.Gateways[0], m.Token, h.now()))(t)
	pass := must(v.Verify(m.Token, proof, http.MethodGet, m.Gateways[0]))(t)
	if pass.Target != "web1" || pass.Host != "web1.example.internal" || pass.Login != "deploy" || pass.Key != ssh.FingerprintSHA256(cert.Key) {
		t.Errorf("pass %+v", pass)
	}

	decision, made := h.events(sekisho.EventDecision)[0], h.events(sekisho.EventCertificate)[0]
	if decision.Decision.Effect != sekisho.Allow || decision.Actor != "alice@example.com" || decision.ClientAddress != "127.0.0.1" || decision.Seq+1 != made.Seq {
		t.Errorf("decision %+v in front of line %d", decision, made.Seq)
	}
	if err := audit.CheckCertificate(cert, made); err != nil {
		t.Error(err)
	}
	if id, err := sekisho.ParseKeyID(cert.KeyId); err != nil || id.Request != pass.ID || id.SignIn != pass.SignIn {
		t.Errorf("key ID %s for pass %s", cert.KeyId, pass.ID)
	}
	if strings.Contains(h.logged.String(), alice.token) || strings.Contains(h.logged.String(), m.Token) {
		t.Error("a token is in the log")
	}
}

func TestConnectAudited(t *testing.T) {
	h := newHouse(t)
	m, err := h.signIn("dora@example.com", "dba").connect("db1", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, _ := ssh.ParseAuthorizedKey([]byte(m.Certificate))
	cert := key.(*ssh.Certificate)
	if m.Door != "audit" || !cmp.Equal(cert.ValidPrincipals, []string{"gateway:postgres:db1"}) || len(cert.Extensions) != 0 {
		t.Errorf("door %s, principals %v, extensions %v", m.Door, cert.ValidPrincipals, cert.Extensions)
	}
}

func TestConnectDenied(t *testing.T) {
	h := newHouse(t)
	mallory, alice := h.signIn("mallory@example.com", "guests"), h.signIn("alice@example.com", "ops")
	_, err := mallory.connect("web1", "deploy")
	known := wantCode(t, "no policy", err, connect.CodePermissionDenied)
	if !strings.HasSuffix(known, "Or check the name: sekisho targets lists what you may reach.") {
		t.Errorf("who may have meant another target hears %q", known)
	}
	if d := h.events(sekisho.EventDecision)[0]; d.Decision.Effect != sekisho.Deny || d.Target != "web1" || d.Actor != "mallory@example.com" {
		t.Errorf("noted %+v", d)
	}
	_, err = mallory.connect("web7", "deploy")
	unknown := wantCode(t, "unknown target", err, connect.CodePermissionDenied)
	if strings.ReplaceAll(unknown, "web7", "web1") != known {
		t.Errorf("one can tell a target that exists from one that does not:\n%s\n%s", known, unknown)
	}
	_, err = mallory.connect("web2", "deploy")
	if got := wantCode(t, "unknown login", err, connect.CodePermissionDenied); strings.ReplaceAll(got, "web2", "web1") != known {
		t.Errorf("one can tell a login that exists from one that does not:\n%s\n%s", known, got)
	}
	_, err = alice.connect("web7", "deploy")
	if got := wantCode(t, "unknown target", err, connect.CodePermissionDenied); !strings.Contains(got, "no target called web7. Check the name: sekisho targets") {
		t.Errorf("who may go everywhere hears %q", got)
	}
	_, err = alice.connect("web2", "deploy")
	if got := wantCode(t, "unknown login", err, connect.CodePermissionDenied); !strings.Contains(got, "no login deploy") {
		t.Errorf("who may go there hears %q", got)
	}
	_, err = alice.connect("web1", "root")
	wantCode(t, "forbidden login", err, connect.CodePermissionDenied)
	if n := len(h.events(sekisho.EventCertificate)); n != 0 {
		t.Errorf("%d certificates were made", n)
	}
	if n := len(h.events(sekisho.EventDecision)); n != 6 {
		t.Errorf("%d decisions were noted, want 6", n)
	}
}

func TestConnectMalformed(t *testing.T) {
	h := newHouse(t)
	alice := h.signIn("alice@example.com", "ops")
	other := h.signIn("alice@example.com", "ops")
	for name, c := range map[string]struct {
		change func(*apiv1.ConnectRequest)
		code   connect.Code
	}{
		"no proof":          {func(m *apiv1.ConnectRequest) { m.KeyProof = nil }, connect.CodeUnauthenticated},
		"cut proof":         {func(m *apiv1.ConnectRequest) { m.KeyProof = m.KeyProof[:20] }, connect.CodeUnauthenticated},
		"proof for a login": {func(m *apiv1.ConnectRequest) { m.Login = "root" }, connect.CodeUnauthenticated},
		"proof for a host":  {func(m *apiv1.ConnectRequest) { m.Host = "web2" }, connect.CodeUnauthenticated},
		"proof of a sign-in": {func(m *apiv1.ConnectRequest) {
			r, _ := other.ask("web1", "deploy")
			m.PublicKey, m.KeyProof = r.PublicKey, r.KeyProof
		}, connect.CodeUnauthenticated},
		"another's key":       {func(m *apiv1.ConnectRequest) { r, _ := alice.ask("web1", "deploy"); m.PublicKey = r.PublicKey }, connect.CodeUnauthenticated},
		"options":             {func(m *apiv1.ConnectRequest) { m.PublicKey = `command="x" ` + m.PublicKey }, connect.CodeInvalidArgument},
		"two keys":            {func(m *apiv1.ConnectRequest) { m.PublicKey += "\n" + m.PublicKey }, connect.CodeInvalidArgument},
		"no key":              {func(m *apiv1.ConnectRequest) { m.PublicKey = "" }, connect.CodeInvalidArgument},
		"endless key":         {func(m *apiv1.ConnectRequest) { m.PublicKey = strings.Repeat("A", 1<<18) }, connect.CodeInvalidArgument},
		"no host":             {func(m *apiv1.ConnectRequest) { m.Host = "" }, connect.CodeInvalidArgument},
		"host with principal": {func(m *apiv1.ConnectRequest) { m.Host = "web1:root" }, connect.CodeInvalidArgument},
		"login with target":   {func(m *apiv1.ConnectRequest) { m.Login = "root:web1" }, connect.CodeInvalidArgument},
		"login with newline":  {func(m *apiv1.ConnectRequest) { m.Login = "root\n" }, connect.CodeInvalidArgument},
		"endless":             {func(m *apiv1.ConnectRequest) { m.Host = strings.Repeat("a", 2<<20) }, connect.CodeResourceExhausted},
	} {
		req, _ := alice.ask("web1", "deploy")
		c.change(req)
		_, err := alice.Access.Connect(t.Context(), connect.NewRequest(req))
		wantCode(t, name, err, c.code)
	}
	if n := len(h.events(sekisho.EventCertificate)); n != 0 {
		t.Errorf("%d certificates were made", n)
	}
}

func TestTargets(t *testing.T) {
	h := newHouse(t)
	res, err := h.signIn("alice@example.com", "ops").Access.Targets(t.Context(), connect.NewRequest(&apiv1.TargetsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Msg.Targets) != 1 {
		t.Fatalf("got %v", res.Msg.Targets)
	}
	got := res.Msg.Targets[0]
	if got.Name != "web1" || !cmp.Equal(got.Logins, []string{"deploy"}) || got.Door != "pass" || !got.Linked {
		t.Errorf("got %v", got)
	}
	if len(got.Access) != 1 || got.Access[0].Login != "deploy" || got.Access[0].Door != "pass" || got.Access[0].Limits != 0 || len(res.Msg.Limits) != 1 {
		t.Fatalf("got %v", res.Msg)
	}
	var limits sekisho.Limits
	if err := json.Unmarshal(res.Msg.Limits[0], &limits); err != nil || limits.TTL == 0 {
		t.Errorf("limits %s, %v", res.Msg.Limits[0], err)
	}
	res, err = h.signIn("mallory@example.com").Access.Targets(t.Context(), connect.NewRequest(&apiv1.TargetsRequest{}))
	if err != nil || len(res.Msg.Targets) != 0 {
		t.Errorf("mallory sees %v, %v", res, err)
	}
}

// Every call but the open ones wants a sign-in, and a sign-in's token is nothing without its key.
func TestNobodyGetsIn(t *testing.T) {
	h := newHouse(t)
	alice := h.signIn("alice@example.com", "ops", "auditors")
	thief := h.device()
	thief.token = alice.token
	connector := h.device()
	connector.token = sekisho.NewID("con") + ".secret"
	type call func(context.Context, *device) error
	calls := map[string]call{
		"SignIn.Status": func(ctx context.Context, d *device) error {
			return second(d.SignIn.Status(ctx, connect.NewRequest(&apiv1.StatusRequest{})))
		},
		"SignIn.End": func(ctx context.Context, d *device) error {
			return second(d.SignIn.End(ctx, connect.NewRequest(&apiv1.EndRequest{})))
		},
		"Access.Connect": func(ctx context.Context, d *device) error {
			r, _ := d.ask("web1", "deploy")
			return second(d.Access.Connect(ctx, connect.NewRequest(r)))
		},
		"Access.Enter": func(ctx context.Context, d *device) error {
			return second(d.Access.Enter(ctx, connect.NewRequest(d.knock())))
		},
		"Access.Targets": func(ctx context.Context, d *device) error {
			return second(d.Access.Targets(ctx, connect.NewRequest(&apiv1.TargetsRequest{})))
		},
		"Recording.List": func(ctx context.Context, d *device) error {
			return second(d.Recording.List(ctx, connect.NewRequest(&apiv1.ListRecordingsRequest{})))
		},
		"Audit.List": func(ctx context.Context, d *device) error {
			return second(d.Audit.List(ctx, connect.NewRequest(&apiv1.ListEventsRequest{})))
		},
		"Connector.Sync": func(ctx context.Context, d *device) error {
			return second(d.Connector.Sync(ctx, connect.NewRequest(&apiv1.SyncRequest{})))
		},
		"Recording.Download": func(ctx context.Context, d *device) error {
			s, err := d.Recording.Download(ctx, connect.NewRequest(&apiv1.DownloadRequest{Session: sekisho.NewID("ses")}))
			return drained(s, err)
		},
		"Audit.Export": func(ctx context.Context, d *device) error {
			s, err := d.Audit.Export(ctx, connect.NewRequest(&apiv1.ExportRequest{}))
			return drained(s, err)
		},
	}
	for name, c := range calls {
		wantCode(t, name+" without a sign-in", c(t.Context(), h.device()), connect.CodeUnauthenticated)
		wantCode(t, name+" by a thief", c(t.Context(), thief), connect.CodeUnauthenticated)
		wantCode(t, name+" by a made-up connector", c(t.Context(), connector), connect.CodeUnauthenticated)
	}
	if got := h.events(sekisho.EventSignInRefused); len(got) == 0 || got[0].Actor != "alice@example.com" {
		t.Error("nobody will know that the token was stolen")
	}
	h.pass(9 * time.Hour)
	wantCode(t, "Access.Targets after the sign-in expired", calls["Access.Targets"](t.Context(), alice), connect.CodeUnauthenticated)
}

func second[T any](_ T, err error) error { return err }

func drained[T any](s *connect.ServerStreamForClient[T], err error) error {
	if err != nil {
		return err
	}
	defer s.Close()
	for s.Receive() {
	}
	return s.Err()
}

// A proof works once, and for the URL it was made for.
func TestProofIsBound(t *testing.T) {
	h := newHouse(t)
	alice := h.signIn("alice@example.com", "ops")
	path := "/sekisho.v1.AccessService/Targets"
	try := func(proof, host string) int {
		req := must(http.NewRequest(http.MethodPost, h.url+path, strings.NewReader("{}")))(t)
		req.Host = host
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "DPoP "+alice.token)
		req.Header.Set("DPoP", proof)
		res := must(h.http.Do(req))(t)
		res.Body.Close()
		return res.StatusCode
	}
	prove := func(url string) string {
		return must(alice.prover.Proof(http.MethodPost, url, alice.token, h.now()))(t)
	}
	good := prove(h.url + path)
	if got := try(good, "rebound.example.com"); got != http.StatusOK {
		t.Errorf("the Host header counts: status %d", got)
	}
	if got := try(good, ""); got != http.StatusUnauthorized {
		t.Errorf("played again: status %d", got)
	}
	if got := try(prove("https://evil.example.com"+path), "evil.example.com"); got != http.StatusUnauthorized {
		t.Errorf("made for another host: status %d", got)
	}
	if got := try(prove(h.url+"/sekisho.v1.SignInService/Status"), ""); got != http.StatusUnauthorized {
		t.Errorf("made for another call: status %d", got)
	}
}
