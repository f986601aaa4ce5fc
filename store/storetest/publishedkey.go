package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
)

func newPublishedKey(n int, person, key string, targets ...string) *sekisho.PublishedKey {
	return &sekisho.PublishedKey{
		ID: fmt.Sprintf("pub_%d", n), Line: "ssh-ed25519 AAAA", Fingerprint: key, Targets: targets, Login: "deploy",
		Allow: []string{"pty"}, From: []string{"192.0.2.0/24"}, By: sekisho.Identity{Subject: person, Groups: []string{"ops"}},
		ClientAddress: "192.0.2.1", Reason: "a backup", Published: now.Add(time.Duration(n/2) * time.Nanosecond),
		Expires: now.Add(time.Duration(n+1) * time.Hour),
	}
}

func publishedKeys(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	_, err := s.PublishedKey(ctx, "pub_0")
	notFound(t, err)
	for n := range 6 {
		person, key, targets := "alice", "SHA256:a", []string{"web1"}
		if n%2 == 1 {
			person, targets = "bob", []string{"web1", "web2", "web2"}
		}
		if n%3 == 2 {
			key = "SHA256:b"
		}
		ok(t, s.AddPublishedKey(ctx, newPublishedKey(n, person, key, targets...)))
	}
	got, err := s.PublishedKey(ctx, "pub_3")
	ok(t, err)
	same(t, "published key", got, newPublishedKey(3, "bob", "SHA256:a", "web1", "web2", "web2"))
	if err := s.AddPublishedKey(ctx, newPublishedKey(3, "mallory", "SHA256:m", "db1")); !errors.Is(err, sekisho.ErrTaken) {
		t.Fatalf("an ID twice: %v", err)
	}
	_, err = s.WithdrawPublishedKey(ctx, "pub_4", "carol", now)
	ok(t, err)
	type q = sekisho.PublishedKeyQuery
	for _, test := range []struct {
		name string
		q    q
		want []int
	}{
		{"all", q{}, []int{5, 4, 3, 2, 1, 0}},
		{"limit", q{Limit: 2}, []int{5, 4}},
		{"key", q{Fingerprint: "SHA256:b"}, []int{5, 2}},
		{"person", q{Person: "bob"}, []int{5, 3, 1}},
		{"target", q{Target: "web2"}, []int{5, 3, 1}},
		{"no such target", q{Target: "db1"}, nil},
		{"in force", q{InForceAt: now}, []int{5, 3, 2, 1, 0}},
		{"in force later", q{InForceAt: now.Add(2 * time.Hour)}, []int{5, 3, 2}},
		{"all of it", q{InForceAt: now, Target: "web2", Person: "bob", Fingerprint: "SHA256:a"}, []int{3, 1}},
		{"before", q{Before: "pub_3", Limit: 2}, []int{2, 1}},
		{"before one of the same moment", q{Before: "pub_1"}, []int{0}},
		{"before unknown", q{Before: "pub_x"}, nil},
		{"injection", q{Target: "' OR 1=1 --"}, nil},
	} {
		found, err := s.FindPublishedKeys(ctx, test.q)
		ok(t, err)
		samePublished(t, test.name, found, test.want...)
	}
	found, err := s.PublishedKeys(ctx, "SHA256:b")
	ok(t, err)
	samePublished(t, "by fingerprint", found, 5, 2)
}

func samePublished(t *testing.T, what string, got []*sekisho.PublishedKey, want ...int) {
	t.Helper()
	var ids, wanted []string
	for _, k := range got {
		ids = append(ids, k.ID)
	}
	for _, n := range want {
		wanted = append(wanted, fmt.Sprintf("pub_%d", n))
	}
	same(t, what, ids, wanted)
}

func publishedKeyWithdrawnOnce(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	ok(t, s.AddPublishedKey(ctx, newPublishedKey(0, "alice", "SHA256:a", "web1")))
	var wg sync.WaitGroup
	var times atomic.Int32
	for n := range 4 {
		wg.Go(func() {
			if did, err := s.WithdrawPublishedKey(ctx, "pub_0", "bob", now.Add(time.Duration(n))); did || err != nil {
				times.Add(1)
			}
		})
	}
	wg.Wait()
	same(t, "withdrawn", times.Load(), int32(1))
	got, err := s.PublishedKey(ctx, "pub_0")
	ok(t, err)
	same(t, "in force", got.InForce(now), false)
	same(t, "withdrawn by", got.WithdrawnBy, "bob")
	did, err := s.WithdrawPublishedKey(ctx, "pub_1", "bob", now)
	ok(t, err)
	same(t, "one that is not there", did, false)
}
