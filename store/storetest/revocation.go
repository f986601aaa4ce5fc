package storetest

import (
	"testing"
	"time"

	"github.com/sekisho/sekisho"
)

func newRevocation(id string, seq int64) *sekisho.Revocation {
	return &sekisho.Revocation{
		ID: id, Kind: sekisho.RevokedPerson, Value: "mallory@example.com", By: "alice@example.com", Reason: "laptop stolen", At: now, Seq: seq,
	}
}

func revocation(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	_, err := s.Revocation(ctx, "rev_a")
	notFound(t, err)
	r := newRevocation("rev_a", 7)
	r.Until = now.Add(time.Hour)
	ok(t, s.SaveRevocation(ctx, r))
	got, err := s.Revocation(ctx, "rev_a")
	ok(t, err)
	same(t, "revocation", got, r)

	lifted := *r
	lifted.Lifted, lifted.LiftedBy, lifted.LiftedSeq = now.Add(time.Minute), "bob@example.com", 9
	ok(t, s.SaveRevocation(ctx, &lifted))
	ok(t, s.SaveRevocation(ctx, r)) // it stays lifted
	got, err = s.Revocation(ctx, "rev_a")
	ok(t, err)
	same(t, "lifted", got, &lifted)
}

func revocations(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	for seq, change := range map[int64]func(*sekisho.Revocation){
		5: func(r *sekisho.Revocation) { r.Lifted = now },
		6: func(r *sekisho.Revocation) { r.Until = now },
		7: func(r *sekisho.Revocation) { r.Until = now.Add(time.Nanosecond) },
		8: func(*sekisho.Revocation) {},
		9: func(r *sekisho.Revocation) { r.Lifted, r.Until = now, now.Add(time.Hour) },
	} {
		r := newRevocation("rev_"+string(rune('a'+seq)), seq)
		change(r)
		ok(t, s.SaveRevocation(ctx, r))
	}
	seqs := func(all []*sekisho.Revocation, err error) (out []int64) {
		t.Helper()
		ok(t, err)
		for _, r := range all {
			out = append(out, r.Seq)
		}
		return out
	}
	same(t, "unlifted", seqs(s.UnliftedRevocations(ctx)), []int64{6, 7, 8})
	for _, test := range []struct {
		name string
		q    sekisho.RevocationQuery
		want []int64
	}{
		{"all", sekisho.RevocationQuery{}, []int64{9, 8, 7, 6, 5}},
		{"in force", sekisho.RevocationQuery{InForce: now}, []int64{8, 7}},
		{"limit", sekisho.RevocationQuery{Limit: 2}, []int64{9, 8}},
		{"before", sekisho.RevocationQuery{Before: "rev_i", InForce: now}, []int64{7}},
		{"before unknown", sekisho.RevocationQuery{Before: "rev_x"}, nil},
		{"injection", sekisho.RevocationQuery{Before: "' OR 1=1 --"}, nil},
	} {
		same(t, test.name, seqs(s.Revocations(ctx, test.q)), test.want)
	}
}
