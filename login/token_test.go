package login_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/login"
)

const streamURL = controlURL + "/v1/stream"

// booth is an issuer and a verifier that trusts it.
type booth struct {
	key      *ecdsa.PrivateKey
	clock    *clock
	issuer   *login.Issuer
	verifier *login.Verifier
}

func newBooth(t testing.TB) *booth {
	t.Helper()
	b := &booth{key: newKey(t), clock: newClock()}
	var err error
	if b.issuer, err = login.NewIssuer(b.key, controlURL); err != nil {
		t.Fatal(err)
	}
	b.verifier, err = login.NewVerifier(login.VerifierConfig{
		Issuer: controlURL, Keys: []crypto.PublicKey{newKey(t).Public(), b.key.Public()},
		Proofs: login.NewProofs(b.clock.now), Now: b.clock.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *booth) pass(p *person) sekisho.Pass {
	now := b.clock.now()
	return sekisho.Pass{
		ID: sekisho.NewID("pas"), SignIn: sekisho.NewID("sin"),
		Identity: sekisho.Identity{Subject: "mei@example.com", Issuer: "https://idp.example.com", IssuerSubject: "u-1",
			Groups: []string{"sre"}, AuthTime: now},
		Target: "web1", Login: "alice", Host: "web1.example.internal", Thumbprint: p.prover.Thumbprint(),
		Key: "SHA256:uNiVztksCsDhcc0u9e8BrrQXVUpKZIDTMczCvj3tD2s", Issued: now, Expires: now.Add(login.PassLifetime),
	}
}

func (b *booth) sign(t testing.TB, p sekisho.Pass) string {
	t.Helper()
	token, err := b.issuer.Sign(p)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestPass(t *testing.T) {
	b, mei := newBooth(t), newPerson(t)
	want := b.pass(mei)
	token := b.sign(t, want)
	got, err := b.verifier.Verify(token, mei.proof(t, "GET", streamURL, token, b.clock.now()), "GET", streamURL)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("pass (-want +got):\n%s", diff)
	}
}

func TestPassNeedsItsKey(t *testing.T) {
	b, mei, mallory := newBooth(t), newPerson(t), newPerson(t)
	now := b.clock.now()
	token, other := b.sign(t, b.pass(mei)), b.sign(t, b.pass(mei))
	used := mei.proof(t, "GET", streamURL, token, now)
	if _, err := b.verifier.Verify(token, used, "GET", streamURL); err != nil {
		t.Fatal(err)
	}
	for name, proof := range map[string]string{
		"stolen without key": mallory.proof(t, "GET", streamURL, token, now),
		"replayed":           used,
		"other token":        mei.proof(t, "GET", streamURL, other, now),
		"other method":       mei.proof(t, "POST", streamURL, token, now),
		"other gateway":      mei.proof(t, "GET", "https://gw2.example.com/v1/stream", token, now),
		"none":               "",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.verifier.Verify(token, proof, "GET", streamURL)
			wantRefusal(t, err, "proof of your key")
		})
	}
}

// claims are those of a good pass, as a map to be bent.
func (b *booth) claims(t testing.TB, p *person) map[string]any {
	t.Helper()
	parts := strings.Split(b.sign(t, b.pass(p)), ".")
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]any)
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPassRefused(t *testing.T) {
	const typ = "sekisho-target+jwt"
	b, mei := newBooth(t), newPerson(t)
	kid := thumbprint(t, b.key.Public())
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := b.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	now := b.clock.now()
	bent := func(k string, v any) string {
		c := b.claims(t, mei)
		if c[k] = v; v == nil {
			delete(c, k)
		}
		return signTyped(b.key, jose.ES256, kid, typ, c)
	}
	good := b.claims(t, mei)
	tests := map[string]string{
		"alg none":            unsigned(good),
		"HMAC by public key":  signTyped(public, jose.HS256, kid, typ, good),
		"ES384":               signTyped(p384, jose.ES384, kid, typ, good),
		"another's key":       signTyped(newKey(t), jose.ES256, kid, typ, good),
		"another's kid":       signTyped(b.key, jose.ES256, thumbprint(t, newKey(t).Public()), typ, good),
		"no kid":              signTyped(b.key, jose.ES256, "", typ, good),
		"typ JWT":             signTyped(b.key, jose.ES256, kid, "JWT", good),
		"typ of a proof":      signTyped(b.key, jose.ES256, kid, "dpop+jwt", good),
		"no typ":              signTyped(b.key, jose.ES256, kid, "", good),
		"other issuer":        bent("iss", "https://evil.example.com"),
		"other audience":      bent("aud", "somebody"),
		"audience as list":    bent("aud", []string{login.Audience}),
		"expired":             bent("exp", now.Unix()),
		"lives too long":      bent("exp", now.Add(121*time.Second).Unix()),
		"no exp":              bent("exp", nil),
		"no nbf":              bent("nbf", nil),
		"no iat":              bent("iat", nil),
		"iat as string":       bent("iat", "now"),
		"not bound":           bent("cnf", nil),
		"bound to nothing":    bent("cnf", map[string]string{"jkt": ""}),
		"no jti":              bent("jti", nil),
		"no sign-in":          bent("sign_in", nil),
		"no ssh key":          bent("key", nil),
		"subject not the one": bent("sub", "root@example.com"),
		"target is a path":    bent("target", "../x"),
		"login is an option":  bent("login", "-oProxyCommand"),
		"groups not a list":   bent("identity", map[string]any{"subject": "mei@example.com", "groups": "sre"}),
		"too big":             bent("host", strings.Repeat("h", 9000)),
		"empty":               "",
		"two parts":           "e30.e30",
		"JSON form":           `{"payload":"e30","signatures":[]}`,
	}
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := b.verifier.Verify(token, mei.proof(t, "GET", streamURL, token, now), "GET", streamURL)
			wantRefusal(t, err, "did not accept the pass")
		})
	}
	token := b.sign(t, b.pass(mei))
	for name, d := range map[string]time.Duration{"too early": -31 * time.Second, "too late": 151 * time.Second} {
		b.clock.pass(d)
		_, err := b.verifier.Verify(token, mei.proof(t, "GET", streamURL, token, b.clock.now()), "GET", streamURL)
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	b, mei := newBooth(t), newPerson(t)
	for name, change := range map[string]func(*sekisho.Pass){
		"long life":  func(p *sekisho.Pass) { p.Expires = p.Issued.Add(3 * time.Minute) },
		"no life":    func(p *sekisho.Pass) { p.Expires = p.Issued },
		"no subject": func(p *sekisho.Pass) { p.Identity.Subject = "" },
		"no key":     func(p *sekisho.Pass) { p.Thumbprint = "" },
		"bad target": func(p *sekisho.Pass) { p.Target = "a b" },
		"too big":    func(p *sekisho.Pass) { p.Identity.Groups = slices.Repeat([]string{strings.Repeat("g", 100)}, 100) },
	} {
		p := b.pass(mei)
		change(&p)
		if _, err := b.issuer.Sign(p); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := login.NewIssuer(p384, controlURL); err == nil {
		t.Error("P-384 issuer key taken")
	}
	if _, err := login.NewVerifier(login.VerifierConfig{Issuer: controlURL, Keys: []crypto.PublicKey{p384.Public()},
		Proofs: login.NewProofs(time.Now), Now: time.Now}); err == nil {
		t.Error("P-384 verifier key taken")
	}
}
