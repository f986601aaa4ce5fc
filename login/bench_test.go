package login_test

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/login"
)

type noIdP struct{ login.IdP }

// What a call costs: one proof and one hash; the store here is a map.
func BenchmarkAuthenticate(b *testing.B) {
	store, mei := newMemory(), newPerson(b)
	now := time.Now()
	id := sekisho.NewID("sin")
	token := id + "." + strings.Repeat("A", 43)
	hash := sha256.Sum256([]byte(token))
	store.signIns[id] = &sekisho.SignIn{ID: id, Identity: sekisho.Identity{Subject: "mei@example.com"},
		Thumbprint: mei.prover.Thumbprint(), TokenHash: hash[:], Created: now, Expires: now.Add(time.Hour)}
	desk, err := login.New(login.Config{
		Provider: noIdP{}, Store: store, URL: controlURL, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
		Note: func(context.Context, *sekisho.Event) error { return nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	proofs := make([]string, 0, b.N)
	for range cap(proofs) {
		proofs = append(proofs, mei.proof(b, "POST", callURL, token, now))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, proof := range proofs {
		if _, err := desk.Authenticate(b.Context(), token, proof, "POST", callURL, "192.0.2.7"); err != nil {
			b.Fatal(err)
		}
	}
}

// What a stream costs at the gateway: two signatures to verify.
func BenchmarkVerify(b *testing.B) {
	bo, mei := newBooth(b), newPerson(b)
	token := bo.sign(b, bo.pass(mei))
	proofs := make([]string, 0, b.N)
	for range cap(proofs) {
		proofs = append(proofs, mei.proof(b, "GET", streamURL, token, bo.clock.now()))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, proof := range proofs {
		if _, err := bo.verifier.Verify(token, proof, "GET", streamURL); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	bo, mei := newBooth(b), newPerson(b)
	p := bo.pass(mei)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bo.issuer.Sign(p); err != nil {
			b.Fatal(err)
		}
	}
}
