package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
)

func pending(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	body := []byte{0, '"', 0xff}
	_, err := s.Pending(ctx, "a", now)
	notFound(t, err)
	ok(t, s.PutPending(ctx, "a", now.Add(time.Minute), body))

	got, err := s.Pending(ctx, "a", now)
	ok(t, err)
	same(t, "body", got, body)
	_, err = s.Pending(ctx, "a", now.Add(time.Minute))
	notFound(t, err)

	ok(t, s.PutPending(ctx, "a", now.Add(time.Hour), []byte("new")))
	got, err = s.TakePending(ctx, "a", now.Add(time.Minute))
	ok(t, err)
	same(t, "body", string(got), "new")
	_, err = s.TakePending(ctx, "a", now)
	notFound(t, err)

	ok(t, s.PutPending(ctx, "b", now, nil))
	_, err = s.TakePending(ctx, "b", now)
	notFound(t, err)
}

func pendingTakenOnce(t *testing.T, open Opener) {
	ctx, place := t.Context(), t.TempDir()
	stores := []Store{open(t, place), open(t, place)}
	for range 10 {
		ok(t, stores[0].PutPending(ctx, "code", now.Add(time.Minute), []byte("x")))
		var taken atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				_, err := stores[i%2].TakePending(ctx, "code", now)
				if err == nil {
					taken.Add(1)
				} else if !errors.Is(err, sekisho.ErrNotFound) {
					t.Errorf("take: %v", err)
				}
			})
		}
		all.Wait()
		same(t, "callers that took it", taken.Load(), int32(1))
	}
}

// What has expired goes away by itself, and what lives stays.
func pendingSwept(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	ok(t, s.PutPending(ctx, "old", now.Add(time.Minute), []byte("x")))
	ok(t, s.PutPending(ctx, "live", now.Add(time.Hour), []byte("x")))
	_, err := s.Pending(ctx, "live", now.Add(10*time.Minute))
	ok(t, err)
	ok(t, s.PutPending(ctx, "new", now.Add(time.Hour), []byte("x")))
	_, err = s.Pending(ctx, "old", now) // at an earlier time it would still be there
	notFound(t, err)
	_, err = s.Pending(ctx, "live", now)
	ok(t, err)
}

func newSignIn(id, subject string) *sekisho.SignIn {
	return &sekisho.SignIn{
		ID: id,
		Identity: sekisho.Identity{
			Subject: subject, Issuer: "https://idp.example", IssuerSubject: "42", Name: `A "b" ' 山`,
			Groups: []string{"ops", "dev"}, Methods: []string{"mfa"}, AuthTime: now.Add(-time.Minute),
		},
		Thumbprint: "thumb", TokenHash: []byte{1, 0, 255}, Device: "laptop", ClientAddress: "192.0.2.1",
		Created: now, Expires: now.Add(time.Hour),
	}
}

func signIn(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	_, err := s.SignIn(ctx, "sin_a")
	notFound(t, err)
	want := newSignIn("sin_a", "alice@example.com")
	ok(t, s.SaveSignIn(ctx, want))
	got, err := s.SignIn(ctx, "sin_a")
	ok(t, err)
	same(t, "sign-in", got, want)

	want.Expires, want.TokenHash, want.Device = now.Add(2*time.Hour), []byte{7}, "desk"
	ok(t, s.SaveSignIn(ctx, want))
	got, err = s.SignIn(ctx, "sin_a")
	ok(t, err)
	same(t, "sign-in saved again", got, want)
}

func signIns(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	short, long := newSignIn("sin_short", "alice"), newSignIn("sin_long", "alice")
	long.Expires = now.Add(2 * time.Hour)
	gone, other := newSignIn("sin_gone", "alice"), newSignIn("sin_other", "bob")
	gone.Expires = now
	for _, one := range []*sekisho.SignIn{short, long, gone, other} {
		ok(t, s.SaveSignIn(ctx, one))
	}
	got, err := s.SignIns(ctx, "alice", now)
	ok(t, err)
	same(t, "alice's", got, []*sekisho.SignIn{long, short})

	ended, err := s.EndSignIn(ctx, "sin_long", now)
	ok(t, err)
	same(t, "ended", ended, true)
	got, err = s.SignIns(ctx, "alice", now)
	ok(t, err)
	same(t, "alice's, one ended", got, []*sekisho.SignIn{short})
	got, err = s.SignIns(ctx, "nobody", now)
	ok(t, err)
	same(t, "nobody's", len(got), 0)
}

func signInStaysEnded(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	one := newSignIn("sin_a", "alice")
	ok(t, s.SaveSignIn(ctx, one))
	for i, want := range []bool{true, false} {
		ended, err := s.EndSignIn(ctx, "sin_a", now.Add(time.Duration(i)))
		ok(t, err)
		same(t, "ended", ended, want)
	}
	ended, err := s.EndSignIn(ctx, "sin_none", now)
	ok(t, err)
	same(t, "ended one that is not there", ended, false)

	ok(t, s.SaveSignIn(ctx, one)) // by someone who read it before it ended
	got, err := s.SignIn(ctx, "sin_a")
	ok(t, err)
	same(t, "ended at", got.Ended, now)
}
