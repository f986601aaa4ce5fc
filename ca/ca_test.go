package ca_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/ca"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// book is an audit log of one slice.
type book struct {
	mu     sync.Mutex
	events []*sekisho.Event
	fail   error
}

func (b *book) note(_ context.Context, events ...*sekisho.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	for _, ev := range events {
		ev.Seq = int64(len(b.events))
		copied := *ev
		b.events = append(b.events, &copied)
	}
	return nil
}

func (b *book) count(kind string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ev := range b.events {
		if ev.Kind == kind {
			n++
		}
	}
	return n
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newPublic(t testing.TB) ssh.PublicKey {
	t.Helper()
	public, err := ssh.NewPublicKey(newKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func newAuthority(t testing.TB) (*ca.Authority, *book) {
	t.Helper()
	b := &book{events: []*sekisho.Event{{Kind: sekisho.EventStarted}}}
	a, err := ca.New(ca.Config{
		User: newKey(t), Gateway: newKey(t), Host: newKey(t),
		Note: b.note, Now: func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

func alice(t testing.TB) ca.PeopleRequest {
	return ca.PeopleRequest{
		SignIn: &sekisho.SignIn{
			ID:       "sin_a",
			Identity: sekisho.Identity{Subject: "alice@example.com"},
			Created:  noon.Add(-time.Hour), Expires: noon.Add(time.Hour),
		},
		Target:        &sekisho.Target{Name: "web1", Logins: []string{"deploy", "root"}},
		Login:         "deploy",
		Key:           newPublic(t),
		Limits:        sekisho.Limits{TTL: 2 * time.Minute, PTY: true},
		Request:       "tok_a",
		ClientAddress: "192.0.2.1:5000",
	}
}

func TestPeople(t *testing.T) {
	a, b := newAuthority(t)
	req := alice(t)
	req.Before = []*sekisho.Event{{Kind: sekisho.EventDecision}}
	cert, err := a.People(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	checker := ssh.CertChecker{Clock: func() time.Time { return noon }}
	if err := checker.CheckCert("deploy:web1", cert); err != nil {
		t.Error(err)
	}
	if !cmp.Equal(cert.SignatureKey.Marshal(), a.UserCA().Marshal()) {
		t.Error("signed by another CA")
	}
	if cert.Serial != 2 || cert.KeyId != "alice@example.com/people/sin_a/tok_a/2" {
		t.Errorf("serial %d, key ID %s", cert.Serial, cert.KeyId)
	}
	if diff := cmp.Diff(map[string]string{"permit-pty": ""}, cert.Extensions); diff != "" {
		t.Error(diff)
	}
	if cert.ValidAfter != uint64(noon.Add(-ca.Skew).Unix()) || cert.ValidBefore != uint64(noon.Add(2*time.Minute).Unix()) {
		t.Errorf("valid from %d to %d", cert.ValidAfter, cert.ValidBefore)
	}
	if b.events[1].Kind != sekisho.EventDecision {
		t.Error("the decision is not in front of the certificate")
	}
	want := &sekisho.Event{
		Seq: 2, Kind: sekisho.EventCertificate, Actor: "alice@example.com", SignIn: "sin_a", Target: "web1", Login: "deploy",
		ClientAddress: "192.0.2.1:5000",
		Certificate: &sekisho.CertificateRecord{
			Issuer: "people", Type: "user", KeyID: "alice@example.com/people/sin_a/tok_a",
			Key: ssh.FingerprintSHA256(req.Key), CA: ssh.FingerprintSHA256(a.UserCA()), Principals: []string{"deploy:web1"},
			ValidAfter: noon.Add(-ca.Skew), ValidBefore: noon.Add(2 * time.Minute), Extensions: []string{"permit-pty"},
		},
	}
	if diff := cmp.Diff(want, b.events[2]); diff != "" {
		t.Error(diff)
	}
	if err := audit.CheckCertificate(cert, b.events[2]); err != nil {
		t.Error(err)
	}
}

func TestPeopleRules(t *testing.T) {
	a, b := newAuthority(t)
	for name, change := range map[string]func(*ca.PeopleRequest){
		"ended sign-in":           func(r *ca.PeopleRequest) { r.SignIn.Ended = noon },
		"expired sign-in":         func(r *ca.PeopleRequest) { r.SignIn.Expires = noon },
		"nobody":                  func(r *ca.PeopleRequest) { r.SignIn.Identity.Subject = "" },
		"no sign-in":              func(r *ca.PeopleRequest) { r.SignIn = nil },
		"no target":               func(r *ca.PeopleRequest) { r.Target = nil },
		"another login":           func(r *ca.PeopleRequest) { r.Login = "postgres" },
		"principal in login":      func(r *ca.PeopleRequest) { r.Login = "root:web2"; r.Target.Logins = []string{"root:web2"} },
		"principal in target":     func(r *ca.PeopleRequest) { r.Target.Name = "web1:x" },
		"comma in login":          func(r *ca.PeopleRequest) { r.Login = "root,x"; r.Target.Logins = []string{"root,x"} },
		"around the gateway":      func(r *ca.PeopleRequest) { r.Limits.Audit = sekisho.AuditStrict },
		"direct to audited":       func(r *ca.PeopleRequest) { r.Target.Audited = true },
		"no TTL":                  func(r *ca.PeopleRequest) { r.Limits.TTL = 0 },
		"negative TTL":            func(r *ca.PeopleRequest) { r.Limits.TTL = -time.Second },
		"endless request in name": func(r *ca.PeopleRequest) { r.Request = strings.Repeat("/", 1000) },
	} {
		req := alice(t)
		change(&req)
		if cert, err := a.People(t.Context(), req); err == nil || cert != nil {
			t.Errorf("%s: got a certificate", name)
		}
	}
	if n := b.count(sekisho.EventCertificate); n != 0 {
		t.Errorf("%d lines were noted for certificates that were not made", n)
	}
}

// What lives for hours is bounded, so that all of one person's fit into a revocation list.
func TestAnyDoorRate(t *testing.T) {
	a, _ := newAuthority(t)
	req := ca.AnyDoorRequest{SignIn: alice(t).SignIn, Key: newPublic(t), TTL: time.Hour, ClientAddress: "192.0.2.1"}
	for range 30 {
		if _, err := a.AnyDoor(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	var refused *ca.Refused
	if _, err := a.AnyDoor(t.Context(), req); !errors.As(err, &refused) || refused.Rule != "rate" {
		t.Error(err)
	}
	bob := *req.SignIn
	bob.Identity.Subject = "bob@example.com"
	req.SignIn = &bob
	if _, err := a.AnyDoor(t.Context(), req); err != nil {
		t.Error(err)
	}
}

func TestAnyDoor(t *testing.T) {
	a, b := newAuthority(t)
	req := ca.AnyDoorRequest{SignIn: alice(t).SignIn, Key: newPublic(t), TTL: 9 * time.Hour, ClientAddress: "192.0.2.1"}
	cert, err := a.AnyDoor(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(cert.ValidPrincipals, []string{"gateway"}) || len(cert.Extensions) != 0 || cert.KeyId != "alice@example.com/people/sin_a/-/1" {
		t.Errorf("principals %v, extensions %v, key ID %s", cert.ValidPrincipals, cert.Extensions, cert.KeyId)
	}
	if cert.ValidBefore != uint64(req.SignIn.Expires.Unix()) {
		t.Error("the certificate outlives the sign-in")
	}
	if err := audit.CheckCertificate(cert, b.events[1]); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*ca.AnyDoorRequest){
		"no sign-in":      func(r *ca.AnyDoorRequest) { r.SignIn = nil },
		"ended sign-in":   func(r *ca.AnyDoorRequest) { r.SignIn.Ended = noon },
		"expired sign-in": func(r *ca.AnyDoorRequest) { r.SignIn.Expires = noon },
		"nobody":          func(r *ca.AnyDoorRequest) { r.SignIn.Identity.Subject = "" },
		"no TTL":          func(r *ca.AnyDoorRequest) { r.TTL = 0 },
		"no key":          func(r *ca.AnyDoorRequest) { r.Key = nil },
		"the CA's key":    func(r *ca.AnyDoorRequest) { r.Key = a.UserCA() },
	} {
		bad := req
		bad.SignIn = alice(t).SignIn
		change(&bad)
		if cert, err := a.AnyDoor(t.Context(), bad); err == nil || cert != nil {
			t.Errorf("%s: got a certificate", name)
		}
	}
	if n := b.count(sekisho.EventCertificate); n != 1 {
		t.Errorf("%d lines were noted for certificates that were not made", n-1)
	}
}

func TestTTLIsCut(t *testing.T) {
	a, _ := newAuthority(t)
	req := alice(t)
	req.Limits.TTL = 1000 * time.Hour
	req.SignIn.Expires = noon.Add(10 * time.Minute)
	cert, err := a.People(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if cert.ValidBefore != uint64(noon.Add(10*time.Minute).Unix()) {
		t.Error("the certificate outlives the sign-in")
	}
	req.SignIn.Expires = noon.Add(9000 * time.Hour)
	if cert, err = a.People(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if cert.ValidBefore != uint64(noon.Add(ca.MaxTTL).Unix()) {
		t.Error("TTL has no cap")
	}
}

func TestDoors(t *testing.T) {
	a, _ := newAuthority(t)
	req := alice(t)
	req.Target.Audited, req.Gateway, req.Limits.PTY = true, true, false
	cert, err := a.People(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"gateway:deploy:web1"}, cert.ValidPrincipals); diff != "" {
		t.Error(diff)
	}
	if len(cert.Extensions) != 0 {
		t.Errorf("extensions %v without a pty", cert.Extensions)
	}
	session := &sekisho.Session{ID: "ses_1", SignIn: "sin_a", Identity: req.SignIn.Identity, Target: "web1", Login: "deploy"}
	cert, err = a.Gateways(t.Context(), ca.GatewayRequest{Session: session, Limits: req.Limits, Key: newPublic(t), GatewayName: "main"})
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(cert.SignatureKey.Marshal(), a.GatewayCA().Marshal()) || !cmp.Equal(cert.ValidPrincipals, []string{"deploy:web1"}) {
		t.Errorf("principals %v", cert.ValidPrincipals)
	}
	session.Login = "deploy:web2"
	if _, err = a.Gateways(t.Context(), ca.GatewayRequest{Session: session, Limits: req.Limits, Key: newPublic(t)}); err == nil {
		t.Error("a login with a colon passed")
	}
}

// What the gateway needs at the target to keep its limits is in its own certificate; a person's has what sshd can hold.
func TestExtensions(t *testing.T) {
	list := func(texts ...string) []sekisho.Destination {
		var out []sekisho.Destination
		for _, s := range texts {
			d, err := sekisho.ParseDestination(s)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, d)
		}
		return out
	}
	const agent, ports, pty, x11 = "permit-agent-forwarding", "permit-port-forwarding", "permit-pty", "permit-X11-forwarding"
	some, all := list("10.0.0.0/8:443", "/run/a.sock"), list("*:*")
	for name, tt := range map[string]struct {
		limits      sekisho.Limits
		pass, audit []string // the person's, for either door
		gateways    []string
	}{
		"nothing":            {limits: sekisho.Limits{Shell: true, Exec: true, Subsystems: []string{"*"}}},
		"terminal":           {sekisho.Limits{PTY: true}, []string{pty}, []string{pty}, []string{pty}},
		"agent":              {sekisho.Limits{Agent: true}, []string{agent}, []string{agent}, []string{agent}},
		"display":            {sekisho.Limits{X11: true}, []string{x11}, []string{x11}, []string{x11}},
		"anywhere both ways": {sekisho.Limits{Forward: all, Listen: all}, []string{ports}, []string{ports}, []string{ports}},
		"anywhere one way":   {sekisho.Limits{Forward: all}, nil, []string{ports}, []string{ports}},
		"the other way":      {sekisho.Limits{Listen: all}, nil, []string{ports}, []string{ports}},
		"some":               {sekisho.Limits{Forward: some, Listen: some}, nil, []string{ports}, []string{ports}},
		"all": {sekisho.Limits{PTY: true, Agent: true, X11: true, Forward: all, Listen: all},
			[]string{x11, agent, ports, pty}, []string{x11, agent, ports, pty}, []string{x11, agent, ports, pty}},
	} {
		a, b := newAuthority(t)
		tt.limits.TTL = time.Minute
		req := alice(t)
		session := &sekisho.Session{ID: "ses_1", SignIn: "sin_a", Identity: req.SignIn.Identity, Target: "web1", Login: "deploy"}
		check := func(issuer string, want []string, cert *ssh.Certificate, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			got := slices.Sorted(maps.Keys(cert.Extensions))
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", name, issuer, diff)
			}
			line := b.events[cert.Serial]
			if diff := cmp.Diff(got, line.Certificate.Extensions, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: %s: the log says something else:\n%s", name, issuer, diff)
			}
			if err := audit.CheckCertificate(cert, line); err != nil {
				t.Errorf("%s: %s: %v", name, issuer, err)
			}
		}
		req.Limits = tt.limits
		cert, err := a.People(t.Context(), req)
		check("pass door", tt.pass, cert, err)
		req.Gateway = true
		cert, err = a.People(t.Context(), req)
		check("audit door", tt.audit, cert, err)
		cert, err = a.Gateways(t.Context(), ca.GatewayRequest{Session: session, Limits: tt.limits, Key: newPublic(t), GatewayName: "main"})
		check("gateway", tt.gateways, cert, err)
	}
}

func TestHosts(t *testing.T) {
	a, b := newAuthority(t)
	cert, err := a.Hosts(t.Context(), ca.HostRequest{
		Names: []string{"web1", "web1.example.internal"}, Key: newPublic(t), TTL: 30 * 24 * time.Hour, Actor: "connector:rack",
	})
	if err != nil {
		t.Fatal(err)
	}
	checker := ssh.CertChecker{
		Clock:           func() time.Time { return noon.Add(time.Hour) },
		IsHostAuthority: func(k ssh.PublicKey, _ string) bool { return string(k.Marshal()) == string(a.HostCA().Marshal()) },
	}
	if err := checker.CheckHostKey("web1.example.internal:22", nil, cert); err != nil {
		t.Error(err)
	}
	if err := checker.CheckHostKey("web2:22", nil, cert); err == nil {
		t.Error("good for another host")
	}
	if rec := b.events[1]; rec.Certificate.Type != "host" || rec.Actor != "connector:rack" {
		t.Errorf("noted %+v", rec)
	}
	for _, name := range []string{"10.0.0.5", "2001:db8::1"} {
		cert, err := a.Hosts(t.Context(), ca.HostRequest{Names: []string{name}, Key: newPublic(t), TTL: 2 * time.Hour})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if err := checker.CheckHostKey(net.JoinHostPort(name, "22"), nil, cert); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, names := range [][]string{nil, {""}, {"2001:DB8::1"}, {"fe80::1%eth0"}, {"2001:db8::/32"}, {"*"}, {"web1", "*.example.com"}, {"Web1"}, {"a,b"}, make([]string, 17)} {
		if _, err := a.Hosts(t.Context(), ca.HostRequest{Names: names, Key: newPublic(t), TTL: time.Hour}); err == nil {
			t.Errorf("names %q passed", names)
		}
	}
}

func TestNoNoteNoCertificate(t *testing.T) {
	a, b := newAuthority(t)
	b.fail = errors.New("disk full")
	if cert, err := a.People(t.Context(), alice(t)); !errors.Is(err, b.fail) || cert != nil {
		t.Errorf("got %v, %v", cert, err)
	}
	forgetful, err := ca.New(ca.Config{User: newKey(t), Gateway: newKey(t), Host: newKey(t),
		Note: func(context.Context, ...*sekisho.Event) error { return nil }, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	if cert, err := forgetful.People(t.Context(), alice(t)); err == nil || cert != nil {
		t.Error("a log that gives no index got a certificate signed")
	}
	if _, err := ca.New(ca.Config{User: newKey(t), Gateway: newKey(t), Host: newKey(t)}); err == nil {
		t.Error("an authority without a log was made")
	}
}

func TestOneKeyOneCA(t *testing.T) {
	b := &book{}
	key := newKey(t)
	if _, err := ca.New(ca.Config{User: key, Gateway: key, Host: newKey(t), Note: b.note}); err == nil {
		t.Error("user and gateway CA share a key")
	}
	weak, _ := rsa.GenerateKey(rand.Reader, 2048)
	for _, key := range []crypto.Signer{nil, weak} {
		if _, err := ca.New(ca.Config{User: key, Gateway: newKey(t), Host: newKey(t), Note: b.note}); err == nil {
			t.Errorf("CA key %T passed", key)
		}
	}
}

func TestSerialsAreLines(t *testing.T) {
	a, b := newAuthority(t)
	var wg sync.WaitGroup
	certs := make([]*ssh.Certificate, 50)
	for i := range certs {
		req := alice(t)
		wg.Go(func() {
			cert, err := a.People(context.Background(), req)
			if err != nil {
				t.Error(err)
				return
			}
			certs[i] = cert
		})
	}
	wg.Wait()
	seen := map[uint64]bool{}
	for _, cert := range certs {
		if cert == nil || seen[cert.Serial] {
			t.Fatal("a serial was given twice")
		}
		seen[cert.Serial] = true
		if err := audit.CheckCertificate(cert, b.events[cert.Serial]); err != nil {
			t.Error(err)
		}
	}
	other := certs[0]
	if audit.CheckCertificate(other, b.events[certs[1].Serial]) == nil {
		t.Error("another certificate's line matches")
	}
}

func TestKeys(t *testing.T) {
	a, _ := newAuthority(t)
	public := func(key crypto.Signer) ssh.PublicKey {
		p, err := ssh.NewPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ec := func(c elliptic.Curve) ssh.PublicKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return public(key)
	}
	rsaKey := func(bits int) ssh.PublicKey {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return public(key)
	}
	cert, err := a.People(t.Context(), alice(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		key  ssh.PublicKey
		ok   bool
	}{
		{"ed25519", newPublic(t), true},
		{"p256", ec(elliptic.P256()), true},
		{"p384", ec(elliptic.P384()), true},
		{"p521", ec(elliptic.P521()), true},
		{"rsa 3072", rsaKey(3072), true},
		{"sk-ed25519", security(t), true},
		{"rsa 2048", rsaKey(2048), false},
		{"certificate", cert, false},
		{"user CA", a.UserCA(), false},
		{"host CA", a.HostCA(), false},
		{"none", nil, false},
		{"liar", liar{newPublic(t)}, false},
	} {
		req := alice(t)
		req.Key = c.key
		got, err := a.People(t.Context(), req)
		var refusal *sekisho.Refusal
		switch {
		case c.ok && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case !c.ok && (got != nil || !errors.As(err, &refusal)):
			t.Errorf("%s: got %v, want a refusal", c.name, err)
		}
	}
}

// security is the public half of a security key.
func security(t *testing.T) ssh.PublicKey {
	public := newKey(t).Public().(ed25519.PublicKey)
	key, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Type   string
		Public []byte
		App    string
	}{ssh.KeyAlgoSKED25519, public, "ssh:"}))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// liar says it is one key and marshals as something else.
type liar struct{ ssh.PublicKey }

func (liar) Marshal() []byte { return []byte("nonsense") }

// OpenSSH's own reader must see what we meant.
func TestKeygenReads(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Fatal("no ssh-keygen here: run dev/prepare.sh")
	}
	a, _ := newAuthority(t)
	req := alice(t)
	req.SignIn.Identity.Subject = "alice o'neil\n/x@example.com"
	anywhere, err := sekisho.ParseDestination("*:*")
	if err != nil {
		t.Fatal(err)
	}
	req.Limits.Agent, req.Limits.X11 = true, true
	req.Limits.Forward, req.Limits.Listen = []sekisho.Destination{anywhere}, []sekisho.Destination{anywhere}
	cert, err := a.People(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key-cert.pub")
	if err := os.WriteFile(path, []byte(ca.Line(cert)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh-keygen", "-L", "-f", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{
		"ssh-ed25519-cert-v01@openssh.com user certificate",
		"Signing CA: ED25519 " + ssh.FingerprintSHA256(a.UserCA()),
		`Key ID: "alice%20o%27neil%0A%2Fx@example.com/people/sin_a/tok_a/1"`,
		"Serial: 1\n",
		"deploy:web1\n",
		"Critical Options: (none)",
		"Extensions: \n                permit-X11-forwarding\n                permit-agent-forwarding\n" +
			"                permit-port-forwarding\n                permit-pty\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("ssh-keygen does not say %q:\n%s", want, out)
		}
	}
}

func BenchmarkPeople(b *testing.B) {
	a, err := ca.New(ca.Config{
		User: newKey(b), Gateway: newKey(b), Host: newKey(b), Now: func() time.Time { return noon },
		Note: func(_ context.Context, events ...*sekisho.Event) error {
			for _, ev := range events {
				ev.Seq = 1
			}
			return nil
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	req := alice(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := a.People(context.Background(), req); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
