package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
)

func newToken(id string, created time.Time) *sekisho.Token {
	return &sekisho.Token{
		ID: id, Name: "n-" + id, Scopes: []string{"ca.read", "certificates.sign/git"}, From: []string{"10.0.0.0/8"}, By: "mei@example.com",
		Created: created, Expires: now.Add(time.Hour), Hash: []byte{0, 1, 255},
	}
}

func token(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	_, err := s.Token(ctx, "api_a")
	notFound(t, err)
	want := newToken("api_a", now)
	ok(t, s.SaveToken(ctx, want))
	got, err := s.Token(ctx, "api_a")
	ok(t, err)
	same(t, "token", got, want)

	other := newToken("api_a", now)
	other.Hash = []byte("another")
	if err := s.SaveToken(ctx, other); !errors.Is(err, sekisho.ErrTaken) {
		t.Fatalf("saved over another: %v", err)
	}
	for i, first := range []bool{true, false} {
		ended, err := s.EndToken(ctx, "api_a", now.Add(time.Duration(i)))
		ok(t, err)
		same(t, "ended", ended, first)
	}
	got, err = s.Token(ctx, "api_a")
	ok(t, err)
	want.Ended = now
	same(t, "ended token", got, want)
	ended, err := s.EndToken(ctx, "api_none", now)
	ok(t, err)
	same(t, "ended one that is not there", ended, false)
}

func tokens(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	old, new := newToken("api_b", now.Add(-time.Hour)), newToken("api_a", now)
	gone, ended := newToken("api_c", now), newToken("api_d", now)
	gone.Expires = now
	for _, one := range []*sekisho.Token{old, new, gone, ended} {
		ok(t, s.SaveToken(ctx, one))
	}
	_, err := s.EndToken(ctx, "api_d", now)
	ok(t, err)
	got, err := s.Tokens(ctx, now)
	ok(t, err)
	same(t, "live tokens", got, []*sekisho.Token{new, old})
}

// When a token was used is kept to the minute, and never goes back; it does not bring an ended one to life.
func tokenUsed(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	ok(t, s.SaveToken(ctx, newToken("api_a", now)))
	_, err := s.EndToken(ctx, "api_a", now)
	ok(t, err)
	for _, at := range []time.Time{now.Add(2 * time.Minute), now} {
		ok(t, s.UseToken(ctx, "api_a", at))
		got, err := s.Token(ctx, "api_a")
		ok(t, err)
		same(t, "used", got.Used, now.Add(2*time.Minute).Truncate(time.Minute))
		same(t, "ended", got.Ended, now)
	}
	ok(t, s.UseToken(ctx, "api_none", now))
}
