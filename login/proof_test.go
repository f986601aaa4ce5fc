package login_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sekisho/sekisho/login"
)

// compact signs any header and claims with a P-256 key, right or wrong.
func compact(t testing.TB, key *ecdsa.PrivateKey, header, claims string) string {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	input := enc([]byte(header)) + "." + enc([]byte(claims))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return input + "." + enc(sig)
}

func TestProofForm(t *testing.T) {
	clk, key := newClock(), newKey(t)
	public, err := json.Marshal(jose.JSONWebKey{Key: key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	private, err := json.Marshal(jose.JSONWebKey{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	other, err := json.Marshal(jose.JSONWebKey{Key: newKey(t).Public()})
	if err != nil {
		t.Fatal(err)
	}
	header := fmt.Sprintf(`{"typ":"dpop+jwt","alg":"ES256","jwk":%s}`, public)
	claims := func(extra string) string {
		return fmt.Sprintf(`{"jti":"j%s","htm":"POST","htu":%q,"iat":%d%s}`, rand.Text(), callURL, clk.now().Unix(), extra)
	}
	proofs := login.NewProofs(clk.now)
	if got, err := proofs.Check(compact(t, key, header, claims("")), "POST", callURL+"?q=1", ""); err != nil || got != thumbprint(t, key.Public()) {
		t.Fatalf("good proof: %q, %v", got, err)
	}
	for name, proof := range map[string]string{
		"alg none":        compact(t, key, strings.Replace(header, "ES256", "none", 1), claims("")),
		"alg ES384":       compact(t, key, strings.Replace(header, "ES256", "ES384", 1), claims("")),
		"typ jwt":         compact(t, key, strings.Replace(header, "dpop+jwt", "jwt", 1), claims("")),
		"no typ":          compact(t, key, fmt.Sprintf(`{"alg":"ES256","jwk":%s}`, public), claims("")),
		"no jwk":          compact(t, key, `{"typ":"dpop+jwt","alg":"ES256"}`, claims("")),
		"private jwk":     compact(t, key, fmt.Sprintf(`{"typ":"dpop+jwt","alg":"ES256","jwk":%s}`, private), claims("")),
		"another's jwk":   compact(t, key, fmt.Sprintf(`{"typ":"dpop+jwt","alg":"ES256","jwk":%s}`, other), claims("")),
		"crit":            compact(t, key, strings.Replace(header, "{", `{"crit":["b64"],"b64":false,`, 1), claims("")),
		"unknown header":  compact(t, key, strings.Replace(header, "{", `{"x":1,`, 1), claims("")),
		"symmetric jwk":   compact(t, key, `{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"oct","k":"AAAA"}}`, claims("")),
		"point off curve": compact(t, key, `{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"`+strings.Repeat("A", 43)+`","y":"`+strings.Repeat("A", 43)+`"}}`, claims("")),
		"two jti":         compact(t, key, header, claims(`,"jti":"again"`)),
		"long jti":        compact(t, key, header, strings.Replace(claims(""), `"j`, `"`+strings.Repeat("j", 130), 1)),
		"other case":      compact(t, key, header, strings.Replace(claims(""), `"htm"`, `"HTM"`, 1)),
		"iat a string":    compact(t, key, header, strings.Replace(claims(""), `"iat":`, `"iat":"1","x":`, 1)),
		"iat huge":        compact(t, key, header, strings.Replace(claims(""), `"iat":`, `"iat":1e300,"x":`, 1)),
		"ath of no token": compact(t, key, header, claims(`,"ath":"x"`)),
		"not JSON":        compact(t, key, header, "x"),
		"too long":        compact(t, key, header, claims(`,"x":"`+strings.Repeat("x", 2048)+`"`)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := proofs.Check(proof, "POST", callURL, "")
			wantRefusal(t, err, "proof of your key")
		})
	}
}

func TestProofURL(t *testing.T) {
	clk, mei := newClock(), newPerson(t)
	proofs := login.NewProofs(clk.now)
	for _, tt := range []struct {
		htu, url string
		want     bool
	}{
		{"https://a.example/x", "https://a.example/x", true},
		{"https://a.example/x?y", "https://a.example/x?z", true},
		{"HTTPS://A.example:443/x", "https://a.example/x", true},
		{"https://a.example", "https://a.example/", true},
		{"https://a.example/X", "https://a.example/x", false},
		{"http://a.example/x", "https://a.example/x", false},
		{"https://a.example:8443/x", "https://a.example/x", false},
		{"https://u@a.example/x", "https://a.example/x", false},
		{"https://a.example/x/", "https://a.example/x", false},
		{"https://a.example/%2e", "https://a.example/.", false},
		{"/x", "/x", true}, // what the door calls the URL is the door's matter
		{"", "", false},
		{"%", "https://a.example/x", false},
	} {
		_, err := proofs.Check(mei.proof(t, "GET", tt.htu, "", clk.now()), "GET", tt.url, "")
		if got := err == nil; got != tt.want {
			t.Errorf("htu %q for %q: %v, want %v", tt.htu, tt.url, got, tt.want)
		}
	}
}

func TestProofClock(t *testing.T) {
	clk, mei := newClock(), newPerson(t)
	_, err := login.NewProofs(clk.now).Check(mei.proof(t, "GET", callURL, "", clk.now().Add(-5*time.Minute)), "GET", callURL, "")
	wantRefusal(t, err, "proof of your key")
	if !strings.Contains(fmt.Sprint(err), "window") {
		t.Errorf("the cause does not tell: %v", err)
	}
}

// A header that is remembered vouches for nothing: the signature, the claims and the one use are looked at every time.
func TestProofOfAKnownHeader(t *testing.T) {
	clk, mei, mallory := newClock(), newPerson(t), newPerson(t)
	proofs := login.NewProofs(clk.now)
	by := mei.prover.Thumbprint()
	good := func() string { return mei.proof(t, "POST", callURL, "token", clk.now()) }
	first := good()
	for range 3 {
		if err := proofs.CheckBy(by, good(), "POST", callURL, "token"); err != nil {
			t.Fatal(err)
		}
	}
	if err := proofs.CheckBy(by, first, "POST", callURL, "token"); err != nil {
		t.Fatal(err)
	}
	header, rest, _ := strings.Cut(good(), ".")
	body, sig, _ := strings.Cut(rest, ".")
	otherSig := strings.Split(good(), ".")[2]
	foreign := strings.SplitN(mallory.proof(t, "POST", callURL, "token", clk.now()), ".", 2)[1]
	for name, proof := range map[string]string{
		"used before":               first,
		"another proof's signature": header + "." + body + "." + otherSig,
		"mallory's claims":          header + "." + foreign,
		"no signature":              header + "." + body + ".",
		"short signature":           header + "." + body + "." + sig[:80],
		"two signatures":            header + "." + body + "." + sig + "." + sig,
		"a line end in it":          header + "." + body + "." + sig[:40] + "\n" + sig[40:],
		"padded":                    header + "." + body + "." + sig + "==",
		"nothing but the header":    header,
		"header and dots":           header + "..",
		"too long":                  header + "." + body + "." + sig + strings.Repeat("A", 2048),
	} {
		t.Run(name, func(t *testing.T) {
			wantRefusal(t, proofs.CheckBy(by, proof, "POST", callURL, "token"), "proof of your key")
		})
	}
	wantRefusal(t, proofs.CheckBy(mallory.prover.Thumbprint(), good(), "POST", callURL, "token"), "proof of your key")
}

// More keys than are remembered are all known again.
func TestProofsOfManyKeys(t *testing.T) {
	clk := newClock()
	proofs := login.NewProofs(clk.now)
	people := make([]*person, 2500)
	for i := range people {
		people[i] = newPerson(t)
	}
	for range 2 {
		for i, p := range people {
			if err := proofs.CheckBy(p.prover.Thumbprint(), p.proof(t, "POST", callURL, "", clk.now()), "POST", callURL, ""); err != nil {
				t.Fatalf("key %d: %v", i, err)
			}
		}
	}
}
