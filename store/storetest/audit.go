package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/audit"
)

func leaf(n int64, hashes ...tlog.Hash) audit.Leaf {
	return audit.Leaf{Seq: n, Time: now.Add(time.Duration(n)), Kind: "k", Line: fmt.Appendf(nil, `{"seq":%d}`, n), Hashes: hashes}
}

// commitEvents: what one commit wrote the next one reads, another process too, and Place leads to every hash.
func commitEvents(t *testing.T, open Opener) {
	ctx, place := t.Context(), t.TempDir()
	s := open(t, place)
	head, err := s.EventHead(ctx)
	ok(t, err)
	same(t, "first head", head, "")
	_, err = s.EventHashes(ctx, []int64{0})
	notFound(t, err)

	a, b, ab := tlog.Hash{1}, tlog.Hash{2}, tlog.Hash{3}
	ok(t, s.CommitEvents(ctx, func(head string, hashes tlog.HashReader) (*audit.Batch, error) {
		same(t, "head in first commit", head, "")
		return &audit.Batch{Leaves: []audit.Leaf{leaf(0, a)}, Checkpoint: "one"}, nil
	}))
	other := open(t, place)
	ok(t, other.CommitEvents(ctx, func(head string, hashes tlog.HashReader) (*audit.Batch, error) {
		same(t, "head in second commit", head, "one")
		got, err := hashes.ReadHashes([]int64{0})
		same(t, "hash in second commit", got, []tlog.Hash{a})
		return &audit.Batch{Leaves: []audit.Leaf{leaf(1, b, ab)}, Checkpoint: "two"}, err
	}))
	ok(t, s.CommitEvents(ctx, func(head string, hashes tlog.HashReader) (*audit.Batch, error) { return nil, nil }))

	head, err = s.EventHead(ctx)
	ok(t, err)
	same(t, "head", head, "two")
	indexes := []int64{tlog.StoredHashIndex(1, 0), tlog.StoredHashIndex(0, 1), tlog.StoredHashIndex(0, 0)}
	got, err := s.EventHashes(ctx, indexes)
	ok(t, err)
	same(t, "hashes", got, []tlog.Hash{ab, b, a})
	_, err = s.EventHashes(ctx, []int64{tlog.StoredHashIndex(2, 0)})
	notFound(t, err)

	leaves, err := s.EventLeaves(ctx, 1, 99)
	ok(t, err)
	want := leaf(1, b, ab)
	same(t, "leaves", leaves, []audit.Leaf{{Seq: 1, Line: want.Line, Hashes: want.Hashes}})
}

// commitEventsFails: a commit that fails leaves nothing behind, whatever part of it failed.
func commitEventsFails(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	ok(t, s.CommitEvents(ctx, func(string, tlog.HashReader) (*audit.Batch, error) {
		return &audit.Batch{Leaves: []audit.Leaf{leaf(0)}, Checkpoint: "one"}, nil
	}))
	mine := errors.New("mine")
	err := s.CommitEvents(ctx, func(string, tlog.HashReader) (*audit.Batch, error) {
		return &audit.Batch{Leaves: []audit.Leaf{leaf(1)}, Checkpoint: "two"}, mine
	})
	if !errors.Is(err, mine) {
		t.Fatalf("error is %v, want build's own", err)
	}
	err = s.CommitEvents(ctx, func(string, tlog.HashReader) (*audit.Batch, error) {
		return &audit.Batch{Leaves: []audit.Leaf{leaf(1), leaf(0)}, Checkpoint: "two"}, nil
	})
	if err == nil {
		t.Fatal("line 0 was written twice")
	}
	head, err := s.EventHead(ctx)
	ok(t, err)
	same(t, "head", head, "one")
	leaves, err := s.EventLeaves(ctx, 0, 9)
	ok(t, err)
	same(t, "leaves", len(leaves), 1)
}

// commitEventsApart: transactions of several processes never overlap, so none counts a number twice.
func commitEventsApart(t *testing.T, open Opener) {
	ctx, place := t.Context(), t.TempDir()
	stores := []Store{open(t, place), open(t, place)}
	const each = 20
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range each {
				err := stores[i%2].CommitEvents(ctx, func(head string, _ tlog.HashReader) (*audit.Batch, error) {
					n, _ := strconv.ParseInt(head, 10, 64)
					return &audit.Batch{Leaves: []audit.Leaf{leaf(n)}, Checkpoint: strconv.FormatInt(n+1, 10)}, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	head, err := stores[0].EventHead(ctx)
	ok(t, err)
	same(t, "head", head, strconv.Itoa(4*each))
}

// queryMany: the answers do not depend on how much there is, nor on a clock that went back.
func queryMany(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	const n = 12000
	ok(t, s.CommitEvents(ctx, func(string, tlog.HashReader) (*audit.Batch, error) {
		batch := &audit.Batch{Checkpoint: "c"}
		for i := range int64(n) {
			l := leaf(i)
			l.Kind = []string{"session.started", "sign-in"}[i%2]
			if i == 3 {
				l.Time = now.Add(n)
			}
			batch.Leaves = append(batch.Leaves, l)
		}
		return batch, nil
	}))
	for _, test := range []struct {
		name string
		q    sekisho.EventQuery
		want []int64
	}{
		{"kinds", sekisho.EventQuery{Kind: "session.", Limit: 2}, []int64{n - 2, n - 4}},
		{"kinds before", sekisho.EventQuery{Kind: "session.", Before: 3}, []int64{2, 0}},
		{"since few", sekisho.EventQuery{Since: now.Add(n - 2)}, []int64{n - 1, n - 2, 3}},
		{"since many", sekisho.EventQuery{Since: now.Add(10), Before: 12}, []int64{11, 10, 3}},
	} {
		lines, err := s.QueryEvents(ctx, test.q)
		ok(t, err)
		var got []int64
		for _, line := range lines {
			seq, err := strconv.ParseInt(strings.Trim(string(line), `{"seq:}`), 10, 64)
			ok(t, err)
			got = append(got, seq)
		}
		same(t, test.name, got, test.want)
	}
}

func queryEvents(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	kinds := []string{"session.started", "session.ended", "sessionx", "sign-in", "session/", "session"}
	ok(t, s.CommitEvents(ctx, func(string, tlog.HashReader) (*audit.Batch, error) {
		batch := &audit.Batch{Checkpoint: "c"}
		for n, kind := range kinds {
			l := leaf(int64(n))
			l.Kind = kind
			if n%2 == 0 {
				l.Actor, l.Target, l.Session = "alice", "web1", "ses_a"
			} else {
				l.Actor = "bob"
			}
			batch.Leaves = append(batch.Leaves, l)
		}
		return batch, nil
	}))
	for _, test := range []struct {
		name string
		q    sekisho.EventQuery
		want string
	}{
		{"all", sekisho.EventQuery{}, "543210"},
		{"limit", sekisho.EventQuery{Limit: 2}, "54"},
		{"kind", sekisho.EventQuery{Kind: "session"}, "5"},
		{"kinds", sekisho.EventQuery{Kind: "session."}, "10"},
		{"actor", sekisho.EventQuery{Actor: "bob"}, "531"},
		{"target", sekisho.EventQuery{Target: "web1"}, "420"},
		{"session", sekisho.EventQuery{Session: "ses_a", Limit: 1}, "4"},
		{"since", sekisho.EventQuery{Since: now.Add(3)}, "543"},
		{"since, kinds", sekisho.EventQuery{Since: now.Add(1), Kind: "session."}, "1"},
		{"since later", sekisho.EventQuery{Since: now.Add(time.Hour)}, ""},
		{"before", sekisho.EventQuery{Before: 2}, "10"},
		{"several", sekisho.EventQuery{Kind: "session.", Actor: "alice", Since: now, Before: 5}, "0"},
		{"none", sekisho.EventQuery{Actor: "mallory"}, ""},
		{"injection", sekisho.EventQuery{Target: "' OR 1=1 --"}, ""},
	} {
		lines, err := s.QueryEvents(ctx, test.q)
		ok(t, err)
		got := ""
		for _, line := range lines {
			got += string(line[len(`{"seq":`)])
		}
		same(t, test.name, got, test.want)
	}
}
