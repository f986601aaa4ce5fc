package login_test

import (
	"strings"
	"testing"

	"github.com/sekisho/sekisho/login"
)

// What the verifier takes was signed: a byte changed anywhere outside the signature is refused, and nothing panics.
func FuzzVerifier(f *testing.F) {
	b, mei := newBooth(f), newPerson(f)
	good := b.sign(f, b.pass(mei))
	body := good[:strings.LastIndex(good, ".")]
	f.Add(good)
	f.Add(body + ".")
	f.Add("..")
	f.Add(unsigned(b.claims(f, mei)))
	f.Add(`{"payload":"","signatures":[{}]}`)
	f.Fuzz(func(t *testing.T, token string) {
		pass, err := b.verifier.Verify(token, mei.proof(t, "GET", streamURL, token, b.clock.now()), "GET", streamURL)
		if (pass == nil) == (err == nil) {
			t.Fatalf("pass %v, error %v", pass, err)
		}
		if err == nil && !strings.HasPrefix(token, body+".") {
			t.Fatalf("took what was not signed: %q", token)
		}
	})
}

func FuzzProof(f *testing.F) {
	clk, mei := newClock(), newPerson(f)
	const token = "token"
	good := mei.proof(f, "POST", callURL, token, clk.now())
	other := mei.proof(f, "POST", callURL, token, clk.now())
	body := good[:strings.LastIndex(good, ".")]
	f.Add(good, callURL)
	f.Add(good, "")
	f.Add(body+".AAAA", callURL)
	f.Add("e30.e30.", "%")
	f.Fuzz(func(t *testing.T, proof, url string) {
		proofs := login.NewProofs(clk.now)
		got, err := proofs.Check(proof, "POST", url, token)
		if (got == "") == (err == nil) {
			t.Fatalf("thumbprint %q, error %v", got, err)
		}
		if got == mei.prover.Thumbprint() && !strings.HasPrefix(proof, body+".") {
			t.Fatalf("took what mei did not sign: %q", proof)
		}
		if err == nil {
			if _, err := proofs.Check(proof, "POST", url, token); err == nil {
				t.Fatal("took it twice")
			}
		}
		if proofs.CheckBy(mei.prover.Thumbprint(), other, "POST", callURL, token) != nil {
			t.Fatal("refused mei")
		}
		if proofs.CheckBy(mei.prover.Thumbprint(), proof, "POST", url, token) == nil && !strings.HasPrefix(proof, body+".") {
			t.Fatalf("took what mei did not sign, now that her header is known: %q", proof)
		}
		if proofs.CheckBy(strings.Repeat("A", 43), proof, "POST", url, token) == nil {
			t.Fatal("took another key's proof")
		}
	})
}

func FuzzSignInToken(f *testing.F) {
	f.Add("sin_aaaaaaaaaaaaaaaaaaaaaaaaaa." + strings.Repeat("A", 43))
	f.Add("sin_.")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		id, ok := login.SignInID(token)
		if !ok {
			return
		}
		if len(token) != 74 || !strings.HasPrefix(token, id+".") || strings.ContainsAny(token, "/ \n'\"%") {
			t.Fatalf("took %q", token)
		}
	})
}
