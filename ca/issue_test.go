package ca_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/ca"
)

// git is the issuer that docs/certificates.md shows.
var git = ca.IssuerConfig{
	CA: "git", Proof: ca.ProofSignIn, Principals: []string{"{account}"}, Match: "[a-z][a-z0-9-]*", TTL: "8h", MaxTTL: "24h",
	Extensions: []string{"login@github.com={account}"},
}

// forge is an authority with configured issuers, a CA git, and a clock.
type forge struct {
	*ca.Authority
	*book
	clock atomic.Int64 // seconds after noon
	git   ssh.Signer   // key of the CA git
}

func (f *forge) now() time.Time { return noon.Add(time.Duration(f.clock.Load()) * time.Second) }

func newForge(t testing.TB, issuers map[string]ca.IssuerConfig) *forge {
	t.Helper()
	f := &forge{book: &book{events: []*sekisho.Event{{Kind: sekisho.EventStarted}}}}
	signer, err := ssh.NewSignerFromSigner(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	f.git = signer
	f.Authority, err = ca.New(ca.Config{
		User: newKey(t), Gateway: newKey(t), Host: newKey(t), Issuers: issuers, Note: f.note, Now: f.now,
		CAs:  []*sekisho.CA{ca.First("git", ca.TypeUser, "test:git", signer.PublicKey(), noon)},
		Open: func(context.Context, string) (ca.Opened, error) { return ca.Opened{Signer: signer}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const secret = "sin_a.secret"

func hashOf(token string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(token))) }

// prove signs as a client does.
func prove(t testing.TB, signer ssh.Signer, issuer string, at time.Time) ca.Possession {
	t.Helper()
	p := ca.Possession{Token: hashOf(secret), Time: at.Unix()}
	algorithm := signer.PublicKey().Type()
	if algorithm == ssh.KeyAlgoRSA {
		algorithm = ssh.KeyAlgoRSASHA512
	}
	sig, err := signer.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, ca.SignText(p.Token, issuer, p.Time), algorithm)
	if err != nil {
		t.Fatal(err)
	}
	p.Signature = ssh.Marshal(sig)
	return p
}

// wish asks the issuer git, as ken, with a new key that is proven.
func (f *forge) wish(t testing.TB, subject string) ca.IssueRequest {
	t.Helper()
	return f.wishWith(t, subject, newKey(t))
}

func (f *forge) wishWith(t testing.TB, subject string, key crypto.Signer) ca.IssueRequest {
	t.Helper()
	signer, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return ca.IssueRequest{
		Issuer: "git", Key: signer.PublicKey(), Proven: prove(t, signer, "git", f.now()), ClientAddress: netip.MustParseAddr("192.0.2.1"),
		SignIn: &sekisho.SignIn{ID: "sin_a", Identity: sekisho.Identity{Subject: subject}, Created: noon.Add(-time.Hour), Expires: noon.Add(12 * time.Hour)},
	}
}

func (f *forge) last() *sekisho.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.events[len(f.events)-1]
}

func TestIssue(t *testing.T) {
	f := newForge(t, map[string]ca.IssuerConfig{"git": git})
	r := f.wish(t, "Ken@example.com")
	r.Before = []*sekisho.Event{{Kind: sekisho.EventDecision}}
	cert, err := f.Issue(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if cert.KeyId != "Ken@example.com/git/sin_a/-/2" || !cmp.Equal(cert.ValidPrincipals, []string{"ken"}) ||
		!cmp.Equal(cert.Extensions, map[string]string{"login@github.com": "ken"}) || len(cert.CriticalOptions) != 0 {
		t.Errorf("key ID %s, principals %v, extensions %v, options %v", cert.KeyId, cert.ValidPrincipals, cert.Extensions, cert.CriticalOptions)
	}
	if cert.ValidBefore != uint64(noon.Add(8*time.Hour).Unix()) {
		t.Error("the TTL is not the issuer's")
	}
	if err := audit.CheckCertificate(cert, f.last()); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*ssh.Certificate){
		"another value":       func(c *ssh.Certificate) { c.Extensions = map[string]string{"login@github.com": "root"} },
		"a value less":        func(c *ssh.Certificate) { c.Extensions = map[string]string{"login@github.com": ""} },
		"a name with a value": func(c *ssh.Certificate) { c.Extensions = map[string]string{"login@github.com=ken": ""} },
		"an extension more": func(c *ssh.Certificate) {
			c.Extensions = map[string]string{"login@github.com": "ken", "permit-pty": ""}
		},
		"an option more": func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"force-command": "id"} },
	} {
		other := *cert
		change(&other)
		if err := other.SignCert(rand.Reader, f.git); err != nil { // as who has stolen the key
			t.Fatal(err)
		}
		if err := audit.CheckCertificate(&other, f.last()); err == nil || !strings.Contains(err.Error(), "not what line") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Mallory signs in with an address that would make two principals of one, another's, or an option of a command.
func TestTemplateInjection(t *testing.T) {
	f := newForge(t, map[string]ca.IssuerConfig{
		"git":  {CA: "git", Principals: []string{"{account}"}, TTL: "1h"},
		"mail": {CA: "git", Principals: []string{"mail:{email}"}, TTL: "1h"},
	})
	good := map[string]string{"ken@example.com": "ken", "ken.sato+ci@example.com": "ken.sato+ci", "KEN@example.com": "ken"}
	for subject, want := range good {
		if cert, err := f.Issue(t.Context(), f.wish(t, subject)); err != nil || !cmp.Equal(cert.ValidPrincipals, []string{want}) {
			t.Errorf("%s: %v, %v", subject, cert, err)
		}
	}
	for name, account := range map[string]string{
		"comma": "mallory,root", "newline": "mallory\nroot", "return": "mallory\rroot", "zero": "mallory\x00root", "space": "mallory root", "tab": "a\tb",
		"wildcard": "*", "question mark": "r??t", "colon": "deploy:web1", "look-alike": "r\u043e\u043et", "Kelvin sign": "\u212aen", "full width": "\uff52oot",
		"combining": "ro\u0301ot", "right to left": "\u202etoor", "dash": "-oProxyCommand", "per cent": "%u", "tilde": "~root", "braces": "{email}", "empty": "",
		"quoted": `"root"`, "quoted comma": `"root,deploy"`, "dollar": "$HOME", "backquote": "`id`", "slash": "../root", "negation": "!root", "not UTF-8": "\xff\xfe",
		"long": strings.Repeat("a", 300),
	} {
		for _, issuer := range []string{"git", "mail"} {
			r := f.wish(t, account+"@example.com")
			if issuer == "mail" && (name == "dash" || name == "empty") {
				r = f.wish(t, "-"+account+"@example.com")
			}
			signer, _ := ssh.NewSignerFromSigner(newKey(t))
			r.Issuer, r.Key, r.Proven = issuer, signer.PublicKey(), prove(t, signer, issuer, f.now())
			cert, err := f.Issue(t.Context(), r)
			var refused *ca.Refused
			if cert != nil || !errors.As(err, &refused) || refused.Rule != "principals" || refused.Issuer != issuer {
				t.Errorf("%s by %s: got %v", name, issuer, err)
			}
		}
	}
	if n := f.count(sekisho.EventCertificate); n != len(good) {
		t.Errorf("%d certificates were noted, want %d", n, len(good))
	}
}

// Each rule refuses, by its name, and says so in the audit log.
func TestRulesRefuse(t *testing.T) {
	narrow := git
	narrow.From, narrow.Keys, narrow.Principals = []string{"192.0.2.0/24"}, []string{"ed25519", "rsa:4096"}, []string{"{account}", "{account}-ci", "Other"}
	narrow.Match = "[a-zO][a-z0-9-]*"
	narrow.SourceAddress, narrow.ForceCommand = "192.0.2.0/24,2001:db8::/32", "git-shell {account}"
	f := newForge(t, map[string]ca.IssuerConfig{"git": narrow})
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	small, _ := rsa.GenerateKey(rand.Reader, 3072)
	weak, _ := rsa.GenerateKey(rand.Reader, 2048)
	for name, tt := range map[string]struct {
		rule   string
		change func(*ca.IssueRequest)
	}{
		"another network":      {"from", func(r *ca.IssueRequest) { r.ClientAddress = netip.MustParseAddr("198.51.100.1") }},
		"no address":           {"from", func(r *ca.IssueRequest) { r.ClientAddress = netip.Addr{} }},
		"P-256":                {"key", func(r *ca.IssueRequest) { *r = f.wishWith(t, "ken@example.com", p256) }},
		"RSA 3072":             {"key", func(r *ca.IssueRequest) { *r = f.wishWith(t, "ken@example.com", small) }},
		"RSA 2048":             {"key", func(r *ca.IssueRequest) { *r = f.wishWith(t, "ken@example.com", weak) }},
		"too long":             {"ttl", func(r *ca.IssueRequest) { r.TTL = 24*time.Hour + time.Second }},
		"negative":             {"ttl", func(r *ca.IssueRequest) { r.TTL = -time.Hour }},
		"another's principal":  {"principals", func(r *ca.IssueRequest) { r.Principals = []string{"mei"} }},
		"two in one":           {"principals", func(r *ca.IssueRequest) { r.Principals = []string{"ken,root"} }},
		"an empty one":         {"principals", func(r *ca.IssueRequest) { r.Principals = []string{""} }},
		"one twice":            {"principals", func(r *ca.IssueRequest) { r.Principals = []string{"ken", "ken"} }},
		"very many":            {"principals", func(r *ca.IssueRequest) { r.Principals = make([]string, 17) }},
		"does not match":       {"match", func(r *ca.IssueRequest) { r.SignIn.Identity.Subject = "k.sato@example.com" }},
		"another command":      {"options", func(r *ca.IssueRequest) { r.Command = "sh" }},
		"from everywhere":      {"options", func(r *ca.IssueRequest) { r.SourceAddress = "0.0.0.0/0" }},
		"from a wider network": {"options", func(r *ca.IssueRequest) { r.SourceAddress = "192.0.0.0/16" }},
		"from one of two":      {"options", func(r *ca.IssueRequest) { r.SourceAddress = "192.0.2.7/32,10.0.0.0/8" }},
		"a malformed network":  {"options", func(r *ca.IssueRequest) { r.SourceAddress = "192.0.2.7/24" }},
		"a negated network":    {"options", func(r *ca.IssueRequest) { r.SourceAddress = "!192.0.2.7" }},
		"mapped network":       {"options", func(r *ca.IssueRequest) { r.SourceAddress = "::ffff:0:0/96" }},
		"SHA-1": {"proof", func(r *ca.IssueRequest) {
			*r = f.wishWith(t, "ken@example.com", small)
			signer, _ := ssh.NewSignerFromSigner(small)
			sig, err := signer.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, ca.SignText(r.Proven.Token, "git", r.Proven.Time), ssh.KeyAlgoRSA)
			if err != nil {
				t.Fatal(err)
			}
			r.Proven.Signature = ssh.Marshal(sig)
		}},
		"no proof":        {"proof", func(r *ca.IssueRequest) { r.Proven = ca.Possession{} }},
		"another's key":   {"proof", func(r *ca.IssueRequest) { r.Key = newPublic(t) }},
		"another's proof": {"proof", func(r *ca.IssueRequest) { r.Proven.Token = hashOf("sin_b.other") }},
		"a CA's own key":  {"proof", func(r *ca.IssueRequest) { r.Key = f.UserCA() }},
		"no key":          {"key", func(r *ca.IssueRequest) { r.Key = nil }},
	} {
		f.clock.Add(60) // the rate is not what this is about
		r := f.wish(t, "ken@example.com")
		tt.change(&r)
		cert, err := f.Issue(t.Context(), r)
		var refused *ca.Refused
		var said *sekisho.Refusal
		if cert != nil || !errors.As(err, &refused) || refused.Rule != tt.rule {
			t.Errorf("%s: got %v, want a refusal by rule %s", name, err, tt.rule)
			continue
		}
		if !errors.As(err, &said) || !strings.HasPrefix(said.Sentence, "The issuer git refuses this (rule "+tt.rule+"): ") || said.Next == "" {
			t.Errorf("%s: says %q", name, sekisho.Say(err))
		}
		if ev := f.last(); ev.Kind != sekisho.EventCertificateRefused || ev.Detail["rule"] != tt.rule || ev.Detail["issuer"] != "git" || ev.Error == "" {
			t.Errorf("%s: noted %+v", name, ev)
		}
	}
	if n := f.count(sekisho.EventCertificate); n != 0 {
		t.Errorf("%d certificates were noted", n)
	}
	r := f.wish(t, "ken@example.com")
	r.TTL, r.Principals, r.SourceAddress, r.Command = time.Hour, []string{"ken-ci"}, "192.0.2.0/25", "git-shell ken"
	cert, err := f.Issue(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"force-command": "git-shell ken", "source-address": "192.0.2.0/25"}
	if diff := cmp.Diff(want, cert.CriticalOptions); diff != "" || !cmp.Equal(cert.ValidPrincipals, []string{"ken-ci"}) {
		t.Errorf("%s, principals %v", diff, cert.ValidPrincipals)
	}
	if err := audit.CheckCertificate(cert, f.last()); err != nil {
		t.Error(err)
	}
}

// A CA's key is known to be one even to who holds it; so is that of a foreign CA when it comes as a certificate.
func TestWrongKeys(t *testing.T) {
	f := newForge(t, map[string]ca.IssuerConfig{"git": git})
	for name, key := range map[string]func() ssh.PublicKey{
		"a host certificate": func() ssh.PublicKey {
			cert, err := f.Hosts(t.Context(), ca.HostRequest{Names: []string{"web1"}, Key: newPublic(t), TTL: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			return cert
		},
		"a certificate of a foreign CA": func() ssh.PublicKey {
			signer, _ := ssh.NewSignerFromSigner(newKey(t))
			cert := &ssh.Certificate{Key: newPublic(t), CertType: ssh.UserCert, ValidPrincipals: []string{"root"}, ValidBefore: ssh.CertTimeInfinity}
			if err := cert.SignCert(rand.Reader, signer); err != nil {
				t.Fatal(err)
			}
			return cert
		},
		"DSA":  func() ssh.PublicKey { return odd{newPublic(t), dsaWire()} },
		"P224": func() ssh.PublicKey { return odd{newPublic(t), p224Wire(t)} },
		"P-256 that says P-384": func() ssh.PublicKey {
			return odd{newPublic(t), ssh.Marshal(struct {
				Type, Curve string
				Point       []byte
			}{"ecdsa-sha2-nistp384", "nistp256", make([]byte, 65)})}
		},
		"a point off the curve": func() ssh.PublicKey {
			point := make([]byte, 65)
			point[0], point[64] = 4, 1
			return odd{newPublic(t), ssh.Marshal(struct {
				Type, Curve string
				Point       []byte
			}{"ecdsa-sha2-nistp256", "nistp256", point})}
		},
		"rest": func() ssh.PublicKey { return odd{newPublic(t), append(newPublic(t).Marshal(), 0)} },
	} {
		r := f.wish(t, "ken@example.com")
		r.Key = key()
		if cert, err := f.Issue(t.Context(), r); cert != nil || !errors.As(err, new(*ca.Refused)) {
			t.Errorf("%s: got %v", name, err)
		}
		people := alice(t)
		people.Key = key()
		if cert, err := f.People(t.Context(), people); cert != nil || !errors.As(err, new(*ca.Refused)) {
			t.Errorf("%s, by people: got %v", name, err)
		}
	}
}

// odd is a key in other bytes.
type odd struct {
	ssh.PublicKey
	wire []byte
}

func (o odd) Marshal() []byte { return o.wire }

func dsaWire() []byte {
	n := append([]byte{1}, make([]byte, 127)...)
	return ssh.Marshal(struct {
		Type       string
		P, Q, G, Y []byte
	}{"ssh-dss", n, n[:20], n, n})
}

func p224Wire(t *testing.T) []byte {
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return ssh.Marshal(struct {
		Type, Curve string
		Point       []byte
	}{"ecdsa-sha2-nistp224", "nistp224", point})
}

// A proof is taken once, and whatever is done to the clock between.
func TestReplay(t *testing.T) {
	f := newForge(t, map[string]ca.IssuerConfig{"git": git})
	f.clock.Store(3600)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	r := f.wishWith(t, "ken@example.com", p256)
	if _, err := f.Issue(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, r ca.IssueRequest) {
		t.Helper()
		cert, err := f.Issue(t.Context(), r)
		var refused *ca.Refused
		if cert != nil || !errors.As(err, &refused) || refused.Rule != "proof" {
			t.Errorf("%s: got %v", what, err)
		}
	}
	refused("the same again", r)
	signer, _ := ssh.NewSignerFromSigner(p256)
	again := r
	again.Proven = prove(t, signer, "git", f.now()) // ECDSA signs one text in many ways
	refused("another signature over the same text", again)
	f.clock.Add(200)
	refused("later", r)
	for range 3 { // others come meanwhile, and what is old is forgotten
		f.clock.Add(100)
		if _, err := f.Issue(t.Context(), f.wish(t, "mei@example.com")); err != nil {
			t.Fatal(err)
		}
	}
	f.clock.Store(3600)
	refused("with the clock set back", r)
	early := f.wish(t, "ken@example.com")
	f.clock.Store(3500)
	refused("made in the future", early)
	f.clock.Store(3661)
	refused("made a minute ago and a second", early)
	if n := f.count(sekisho.EventCertificate); n != 4 {
		t.Errorf("%d certificates were noted, want 4", n)
	}
}

// Where the clock is set back to before the sign-in, its certificate would be valid at a time at which nobody was signed in.
func TestClockSetBack(t *testing.T) {
	f := newForge(t, map[string]ca.IssuerConfig{"git": git})
	f.clock.Store(-2 * 3600)
	if cert, err := f.Issue(t.Context(), f.wish(t, "ken@example.com")); err == nil || cert != nil {
		t.Error("a sign-in of later opened the issuer")
	}
	req := alice(t)
	if cert, err := f.People(t.Context(), req); err == nil || cert != nil {
		t.Error("a sign-in of later got a certificate")
	}
}

func TestRaces(t *testing.T) {
	f := newForge(t, map[string]ca.IssuerConfig{"git": git})
	r := f.wish(t, "ken@example.com")
	var got atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := f.Issue(context.Background(), r); err == nil {
				got.Add(1)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 {
		t.Errorf("one proof got %d certificates", got.Load())
	}
}

func TestRate(t *testing.T) {
	limited := git
	limited.Rate = ca.Rate{PerMinute: 2, Burst: 3}
	f := newForge(t, map[string]ca.IssuerConfig{"git": limited})
	ask := func(who string) error {
		_, err := f.Issue(t.Context(), f.wish(t, who))
		return err
	}
	for range 3 {
		if err := ask("ken@example.com"); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		var refused *ca.Refused
		if err := ask("ken@example.com"); !errors.As(err, &refused) || refused.Rule != "rate" {
			t.Fatalf("got %v", err)
		}
	}
	if n := f.count(sekisho.EventCertificateRefused); n != 1 {
		t.Errorf("%d lines were noted, want one a minute", n)
	}
	if err := ask("mei@example.com"); err != nil {
		t.Errorf("another person waits, too: %v", err)
	}
	f.clock.Add(30)
	if err := ask("ken@example.com"); err != nil {
		t.Errorf("after half a minute: %v", err)
	}
}

// So many people are counted at once; where there are more, newcomers wait until others have their whole burst again.
func TestLimiterIsBounded(t *testing.T) {
	f := newForge(t, map[string]ca.IssuerConfig{"git": git})
	ask := func(n int) error {
		r := f.wish(t, fmt.Sprintf("p%d@example.com", n))
		r.Proven = ca.Possession{} // the rate comes before the proof
		_, err := f.Issue(t.Context(), r)
		return err
	}
	for n := range 10_001 {
		var refused *ca.Refused
		if err := ask(n); !errors.As(err, &refused) || (refused.Rule == "rate") != (n == 10_000) {
			t.Fatalf("person %d: %v", n, err)
		}
	}
	f.clock.Add(3)
	var refused *ca.Refused
	if err := ask(10_001); !errors.As(err, &refused) || refused.Rule != "proof" {
		t.Errorf("three seconds later: %v", err)
	}
}

func TestTokens(t *testing.T) {
	f := newForge(t, map[string]ca.IssuerConfig{
		"git":     git,
		"deploys": {CA: "git", Proof: ca.ProofToken, Match: "deploy-[a-z]+", TTL: "15m"},
	})
	ask := func(issuer string, change func(*ca.IssueRequest)) (*ssh.Certificate, error) {
		signer, _ := ssh.NewSignerFromSigner(newKey(t))
		r := ca.IssueRequest{
			Issuer: issuer, Key: signer.PublicKey(), Proven: prove(t, signer, issuer, f.now()), Principals: []string{"deploy-web"},
			Token: &sekisho.Token{ID: "api_a", Name: "ci", Created: noon.Add(-time.Hour), Expires: noon.Add(10 * time.Minute)},
		}
		change(&r)
		return f.Issue(t.Context(), r)
	}
	cert, err := ask("deploys", func(*ca.IssueRequest) {})
	if err != nil {
		t.Fatal(err)
	}
	if cert.KeyId != "token:ci/deploys/-/api_a/1" || cert.ValidBefore != uint64(noon.Add(10*time.Minute).Unix()) {
		t.Errorf("key ID %s, until %d: outlives its token?", cert.KeyId, cert.ValidBefore)
	}
	person := f.wish(t, "ken@example.com").SignIn
	for name, change := range map[string]func(*ca.IssueRequest){
		"no principal":        func(r *ca.IssueRequest) { r.Principals = nil },
		"another one":         func(r *ca.IssueRequest) { r.Principals = []string{"root"} },
		"one that only ends":  func(r *ca.IssueRequest) { r.Principals = []string{"root\ndeploy-web"} },
		"one that begins":     func(r *ca.IssueRequest) { r.Principals = []string{"deploy-web\nroot"} },
		"one more":            func(r *ca.IssueRequest) { r.Principals = []string{"deploy-web", "root"} },
		"a person":            func(r *ca.IssueRequest) { r.Token, r.SignIn = nil, person },
		"both":                func(r *ca.IssueRequest) { r.SignIn = person },
		"neither":             func(r *ca.IssueRequest) { r.Token = nil },
		"ended":               func(r *ca.IssueRequest) { r.Token.Ended = noon },
		"expired":             func(r *ca.IssueRequest) { r.Token.Expires = noon },
		"made after now":      func(r *ca.IssueRequest) { r.Token.Created = noon.Add(time.Hour) },
		"at people's":         func(r *ca.IssueRequest) { r.Issuer = "people" },
		"at none":             func(r *ca.IssueRequest) { r.Issuer = "nope" },
		"at the people's git": func(r *ca.IssueRequest) { r.Issuer = "git" },
	} {
		if cert, err := ask("deploys", change); cert != nil || err == nil || !errors.As(err, new(*sekisho.Refusal)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// stick is a security key in software: its flags are the test's.
type stick struct {
	ssh.PublicKey
	private ed25519.PrivateKey
	flags   byte
}

func newStick(t *testing.T, flags byte) *stick {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Type   string
		Public []byte
		App    string
	}{ssh.KeyAlgoSKED25519, public, "ssh:"}))
	if err != nil {
		t.Fatal(err)
	}
	return &stick{key, private, flags}
}

func (s *stick) prove(issuer string, at time.Time) ca.Possession {
	p := ca.Possession{Token: hashOf(secret), Time: at.Unix()}
	p.Signature = ssh.Marshal(s.sign(ca.SignText(p.Token, issuer, p.Time)))
	return p
}

// sign does so as PROTOCOL.u2f says.
func (s *stick) sign(text []byte) *ssh.Signature {
	app, sum := sha256.Sum256([]byte("ssh:")), sha256.Sum256(text)
	data := append(append(append(app[:], s.flags), 0, 0, 0, 9), sum[:]...)
	return &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(s.private, data), Rest: []byte{s.flags, 0, 0, 0, 9}}
}

func TestSecurityKeys(t *testing.T) {
	sure := ca.IssuerConfig{CA: "git", Principals: []string{"{account}"}, TTL: "1h", VerifyRequired: true}
	lax := ca.IssuerConfig{CA: "git", Principals: []string{"{account}"}, TTL: "1h", NoTouchRequired: true}
	f := newForge(t, map[string]ca.IssuerConfig{"sure": sure, "lax": lax})
	ask := func(issuer string, flags byte) (*ssh.Certificate, error) {
		s := newStick(t, flags)
		r := f.wish(t, "ken@example.com")
		r.Issuer, r.Key, r.Proven = issuer, s.PublicKey, s.prove(issuer, f.now())
		return f.Issue(t.Context(), r)
	}
	cert, err := ask("sure", 0x05)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"verify-required": ""}, cert.CriticalOptions); diff != "" {
		t.Error(diff)
	}
	for name, flags := range map[string]byte{"touched only": 0x01, "verified only": 0x04, "neither": 0} {
		var refused *ca.Refused
		if cert, err := ask("sure", flags); cert != nil || !errors.As(err, &refused) || refused.Rule != "proof" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	plain := f.wish(t, "ken@example.com")
	signer, _ := ssh.NewSignerFromSigner(newKey(t))
	plain.Issuer, plain.Key, plain.Proven = "sure", signer.PublicKey(), prove(t, signer, "sure", f.now())
	if cert, err := f.Issue(t.Context(), plain); cert != nil || err == nil {
		t.Error("a key in a file got a certificate that asks for verification: sshd would not")
	}
	if cert, err = ask("lax", 0x01); err != nil || !cmp.Equal(cert.Extensions, map[string]string{"no-touch-required": ""}) {
		t.Errorf("got %v, %v", cert, err)
	}
	plain.Issuer, plain.Proven = "lax", prove(t, signer, "lax", f.now())
	if cert, err = f.Issue(t.Context(), plain); err != nil || len(cert.Extensions) != 0 {
		t.Errorf("a key that nobody touches has an extension for it: %v, %v", cert, err)
	}
}

// What ssh-keygen -Y sign writes is a proof; over another text, namespace or by another key it is none.
func TestKeygenSigns(t *testing.T) {
	f := newForge(t, map[string]ca.IssuerConfig{"git": git})
	dir := t.TempDir()
	for n, kind := range [][]string{{"-t", "ed25519"}, {"-t", "ecdsa", "-b", "384"}, {"-t", "rsa", "-b", "3072"}} {
		f.clock.Add(60)
		path := filepath.Join(dir, fmt.Sprint("key", n))
		if out, err := exec.Command("ssh-keygen", append(kind, "-q", "-N", "", "-f", path)...).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v %s", err, out)
		}
		line, err := os.ReadFile(path + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(line)
		if err != nil {
			t.Fatal(err)
		}
		sign := func(namespace, text string) []byte {
			cmd := exec.Command("ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", path)
			cmd.Stdin = strings.NewReader(text)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		text := string(ca.SignText(hashOf(secret), "git", f.now().Unix()))
		r := f.wish(t, "ken@example.com")
		good := sign(ca.SignNamespace, text)
		for name, proof := range map[string][]byte{
			"another namespace": sign("file", text), "another text": sign(ca.SignNamespace, text+"\n"), "cut": good[:len(good)/2],
			"twice": append(append([]byte{}, good...), good...), "nothing": nil,
		} {
			r.Key, r.Proven = key, ca.Possession{Token: hashOf(secret), Time: f.now().Unix(), Signature: proof}
			if cert, err := f.Issue(t.Context(), r); cert != nil || err == nil {
				t.Errorf("%v, %s: taken", kind, name)
			}
		}
		other := r
		other.Key = newPublic(t)
		other.Proven.Signature = good
		if cert, err := f.Issue(t.Context(), other); cert != nil || err == nil {
			t.Errorf("%v: a proof by another key is taken", kind)
		}
		r.Proven.Signature = good
		if _, err := f.Issue(t.Context(), r); err != nil {
			t.Errorf("%v: %v", kind, err)
		}
	}
}

// The errors of a configuration name issuer and key, and say what to write instead.
func TestConfiguration(t *testing.T) {
	for name, tt := range map[string]struct {
		issuer string
		change func(*ca.IssuerConfig)
		want   string
	}{
		"unknown variable":     {"git", func(c *ca.IssuerConfig) { c.Principals = []string{"{acount}"} }, `issuer git: principals: "{acount}": there is no variable {acount} here: write {email}, {account}, {domain}, {subject}, {sign_in}`},
		"a target's variable":  {"git", func(c *ca.IssuerConfig) { c.Principals = []string{"{login}"} }, "there is no variable {login} here"},
		"open brace":           {"git", func(c *ca.IssuerConfig) { c.Principals = []string{"{account"} }, "write a variable such as {email}"},
		"closed brace":         {"git", func(c *ca.IssuerConfig) { c.Principals = []string{"account}"} }, "write a variable such as {email}"},
		"comma in template":    {"git", func(c *ca.IssuerConfig) { c.Principals = []string{"{account},root"} }, "issuer git: principals: "},
		"dash in front":        {"git", func(c *ca.IssuerConfig) { c.Principals = []string{"-{account}"} }, "issuer git: principals: "},
		"no principals":        {"git", func(c *ca.IssuerConfig) { c.Principals = nil }, `write principals: ["{account}"]`},
		"match of nothing":     {"git", func(c *ca.IssuerConfig) { c.Principals = []string{"Root"} }, `issuer git: match: principal "Root" does not match`},
		"unanchored match":     {"git", func(c *ca.IssuerConfig) { c.Match = "[a-z]+)|(?:.*" }, "issuer git: match: "},
		"broken match":         {"git", func(c *ca.IssuerConfig) { c.Match = "(" }, "issuer git: match: "},
		"token without match":  {"git", func(c *ca.IssuerConfig) { c.Proof, c.Principals, c.Match = ca.ProofToken, nil, "" }, "issuer git: match: it is missing"},
		"token with account":   {"git", func(c *ca.IssuerConfig) { c.Proof = ca.ProofToken }, "there is no variable {account} here"},
		"no CA":                {"git", func(c *ca.IssuerConfig) { c.CA = "" }, "issuer git: ca: it is missing: write the name of a CA, such as ca: git"},
		"the people's CA":      {"git", func(c *ca.IssuerConfig) { c.CA = "user" }, "sekisho ca create git"},
		"the gateways' CA":     {"git", func(c *ca.IssuerConfig) { c.CA = "gateway" }, "issuer git: ca: "},
		"the hosts' CA":        {"git", func(c *ca.IssuerConfig) { c.CA = "host" }, "issuer git: ca: "},
		"unknown proof":        {"git", func(c *ca.IssuerConfig) { c.Proof = "none" }, "write sign-in or token"},
		"no ttl":               {"git", func(c *ca.IssuerConfig) { c.TTL = "" }, "such as ttl: 8h"},
		"endless ttl":          {"git", func(c *ca.IssuerConfig) { c.TTL = "9000h" }, "write a duration from 10s to 24h"},
		"max below ttl":        {"git", func(c *ca.IssuerConfig) { c.MaxTTL = "1h" }, "write 8h or more"},
		"unknown extension":    {"git", func(c *ca.IssuerConfig) { c.Extensions = []string{"permit-all"} }, "write one of permit-X11-forwarding"},
		"value of a permit":    {"git", func(c *ca.IssuerConfig) { c.Extensions = []string{"permit-pty=yes"} }, "write permit-pty"},
		"touch as extension":   {"git", func(c *ca.IssuerConfig) { c.Extensions = []string{"no-touch-required"} }, "write no_touch_required: true"},
		"an extension twice":   {"git", func(c *ca.IssuerConfig) { c.Extensions = []string{"permit-pty", "permit-pty"} }, "write it once"},
		"newline in value":     {"git", func(c *ca.IssuerConfig) { c.Extensions = []string{"a@b=x\ny"} }, "printable ASCII"},
		"newline in command":   {"git", func(c *ca.IssuerConfig) { c.ForceCommand = "a\nb" }, "issuer git: force_command: "},
		"unknown key kind":     {"git", func(c *ca.IssuerConfig) { c.Keys = []string{"dsa"} }, "issuer git: keys: "},
		"small RSA":            {"git", func(c *ca.IssuerConfig) { c.Keys = []string{"rsa:2048"} }, "write rsa:3072"},
		"RSA without bits":     {"git", func(c *ca.IssuerConfig) { c.Keys = []string{"rsa"} }, "write rsa:3072"},
		"verify without sk":    {"git", func(c *ca.IssuerConfig) { c.VerifyRequired, c.Keys = true, []string{"ed25519"} }, "write some of sk-ed25519, sk-ecdsa"},
		"bits beyond":          {"git", func(c *ca.IssuerConfig) { c.From = []string{"10.1.2.3/8"} }, "write 10.0.0.0/8"},
		"no network":           {"git", func(c *ca.IssuerConfig) { c.From = []string{"office"} }, "write one such as 10.0.0.0/8"},
		"source address":       {"git", func(c *ca.IssuerConfig) { c.SourceAddress = "me" }, "or write client"},
		"rate":                 {"git", func(c *ca.IssuerConfig) { c.Rate.PerMinute = -1 }, "issuer git: rate: "},
		"name":                 {"Git!", func(*ca.IssuerConfig) {}, "want a name of a-z"},
		"people with their CA": {"people", func(c *ca.IssuerConfig) { *c = ca.IssuerConfig{CA: "git"} }, "issuer people: ca: it cannot be set for this issuer"},
		"people for longer":    {"people", func(c *ca.IssuerConfig) { *c = ca.IssuerConfig{MaxTTL: "48h"} }, "issuer people: max_ttl: "},
		"hosts from somewhere": {"hosts", func(c *ca.IssuerConfig) { *c = ca.IssuerConfig{From: []string{"10.0.0.0/8"}} }, "issuer hosts: from: "},
	} {
		c := git
		tt.change(&c)
		err := ca.CheckIssuers(map[string]ca.IssuerConfig{tt.issuer: c})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, tt.want)
		}
	}
	if err := ca.CheckIssuers(map[string]ca.IssuerConfig{"git": git}); err != nil {
		t.Error(err)
	}
}

// The configuration narrows the built-in issuers.
func TestBuiltInNarrowed(t *testing.T) {
	f := newForge(t, map[string]ca.IssuerConfig{"people": {
		From: []string{"192.0.2.0/24"}, Keys: []string{"ed25519"}, MaxTTL: "1m", SourceAddress: "client", Rate: ca.Rate{PerMinute: 60, Burst: 4},
	}})
	pass, err := f.People(t.Context(), alice(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(pass.CriticalOptions) != 0 || pass.ValidBefore != uint64(noon.Add(time.Minute).Unix()) {
		t.Errorf("pass door: options %v, until %d", pass.CriticalOptions, pass.ValidBefore)
	}
	door := alice(t)
	door.Gateway = true
	cert, err := f.People(t.Context(), door)
	if err != nil || !cmp.Equal(cert.CriticalOptions, map[string]string{"source-address": "192.0.2.1/32"}) {
		t.Errorf("audit door: %v, %v", cert, err)
	}
	far := alice(t)
	far.ClientAddress = "198.51.100.1"
	var refused *ca.Refused
	if _, err := f.People(t.Context(), far); !errors.As(err, &refused) || refused.Rule != "from" {
		t.Errorf("from elsewhere: %v", err)
	}
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	other := alice(t)
	other.Key, _ = ssh.NewPublicKey(&p256.PublicKey)
	if _, err := f.People(t.Context(), other); !errors.As(err, &refused) || refused.Rule != "key" {
		t.Errorf("P-256: %v", err)
	}
	if _, err := f.People(t.Context(), alice(t)); !errors.As(err, &refused) || refused.Rule != "rate" {
		t.Errorf("a fifth: %v", err)
	}
}

// A host whose key is refused asks again every minute; the log is told once an hour.
func TestHostRefusalsAreNotedHourly(t *testing.T) {
	f := newForge(t, map[string]ca.IssuerConfig{"hosts": {Keys: []string{"ecdsa-p256"}}})
	for range 120 {
		_, err := f.Hosts(t.Context(), ca.HostRequest{Names: []string{"web1"}, Key: newPublic(t), TTL: time.Hour, Actor: "connector:rack"})
		var refused *ca.Refused
		if !errors.As(err, &refused) || refused.Issuer != "hosts" || refused.Rule != "key" {
			t.Fatalf("got %v", err)
		}
		f.clock.Add(60)
	}
	if n := f.count(sekisho.EventCertificateRefused); n != 2 {
		t.Errorf("%d lines in two hours", n)
	}
}

// An issuer whose CA is not there, or signs something else, says what is to be done.
func TestIssuerWithoutCA(t *testing.T) {
	orphan := git
	orphan.CA = "none"
	f := newForge(t, map[string]ca.IssuerConfig{"git": orphan})
	cert, err := f.Issue(t.Context(), f.wish(t, "ken@example.com"))
	if said := sekisho.Say(err); cert != nil || said != "The issuer git cannot sign: there is no CA none for user certificates. An administrator creates it: sekisho ca create none --type user" {
		t.Errorf("got %v, says %q", cert, said)
	}
}

// Principals follow the target's mapping, in people's certificates and in gateways'.
func TestMappings(t *testing.T) {
	for mapping, want := range map[sekisho.Mapping]string{
		"": "deploy:web1", sekisho.MapTarget: "deploy:web1", sekisho.MapClass: "deploy:ci", sekisho.MapLogin: "deploy",
		sekisho.MapEmail: "alice@example.com", sekisho.MapAnyone: "people",
	} {
		a, _ := newAuthority(t)
		req := alice(t)
		req.Target.Mapping, req.Target.Class = mapping, "ci"
		cert, err := a.People(t.Context(), req)
		if err != nil || !cmp.Equal(cert.ValidPrincipals, []string{want}) {
			t.Errorf("%s: %v, %v", mapping, cert, err)
			continue
		}
		session := &sekisho.Session{ID: "ses_1", SignIn: "sin_a", Identity: req.SignIn.Identity, Target: "web1", Login: "deploy"}
		cert, err = a.Gateways(t.Context(), ca.GatewayRequest{Session: session, Target: req.Target, Limits: req.Limits, Key: newPublic(t)})
		if err != nil || !cmp.Equal(cert.ValidPrincipals, []string{want}) {
			t.Errorf("%s, gateway's: %v, %v", mapping, cert, err)
		}
		if listed := req.Target.Principals("deploy"); mapping != sekisho.MapEmail && !cmp.Equal(listed, []string{want}) || mapping == sekisho.MapEmail && listed != nil {
			t.Errorf("%s: the host lists %v", mapping, listed)
		}
		req.Gateway = true
		if cert, err = a.People(t.Context(), req); err != nil || !cmp.Equal(cert.ValidPrincipals, []string{"gateway:deploy:web1"}) {
			t.Errorf("%s, audit door: %v, %v", mapping, cert, err)
		}
	}
	for name, target := range map[string]*sekisho.Target{
		"no class":             {Mapping: sekisho.MapClass},
		"a class with a colon": {Mapping: sekisho.MapClass, Class: "ci:web1"},
		"people as a login":    {Mapping: sekisho.MapLogin, Logins: []string{"people"}},
		"gateway as a login":   {Mapping: sekisho.MapLogin, Logins: []string{"gateway"}},
		"unknown":              {Mapping: "all"},
	} {
		a, _ := newAuthority(t)
		req := alice(t)
		req.Target.Mapping, req.Target.Class = target.Mapping, target.Class
		if target.Logins != nil {
			req.Target.Logins, req.Login = target.Logins, target.Logins[0]
		}
		if cert, err := a.People(t.Context(), req); err == nil || cert != nil {
			t.Errorf("%s: got a certificate", name)
		}
	}
}

func FuzzPossession(f *testing.F) {
	forge := newForge(f, map[string]ca.IssuerConfig{"git": git})
	f.Add([]byte("-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"))
	f.Add(forge.wish(f, "ken@example.com").Proven.Signature)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, proof []byte) {
		r := forge.wish(t, "ken@example.com")
		good := string(r.Proven.Signature)
		if r.Proven.Signature = proof; string(proof) == good {
			return
		}
		forge.clock.Add(1)
		if cert, err := forge.Issue(t.Context(), r); err == nil || cert != nil {
			t.Fatal("a proof that is none was taken")
		}
	})
}

func FuzzTemplate(f *testing.F) {
	f.Add("{account}", "ken@example.com")
	f.Add("x-{email}:{domain}", "a@b")
	f.Add("{", "a@b")
	f.Fuzz(func(t *testing.T, template, subject string) {
		c := ca.IssuerConfig{CA: "git", Principals: []string{template}, TTL: "1h"}
		if ca.CheckIssuers(map[string]ca.IssuerConfig{"git": c}) != nil {
			return
		}
		forge := newForge(t, map[string]ca.IssuerConfig{"git": c})
		cert, err := forge.Issue(t.Context(), forge.wish(t, subject))
		if err != nil {
			return
		}
		if len(cert.ValidPrincipals) != 1 || strings.ContainsAny(cert.ValidPrincipals[0], ", \n*?%!\"'") || cert.ValidPrincipals[0][0] == '-' {
			t.Fatalf("template %q for %q gives %q", template, subject, cert.ValidPrincipals)
		}
	})
}
