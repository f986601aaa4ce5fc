package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
)

func newCA(name string) *sekisho.CA {
	return &sekisho.CA{Name: name, Type: "user", Revision: 1, Keys: []sekisho.CAKey{
		{Fingerprint: "SHA256:a", Line: "ssh-ed25519 AAAA", Store: "file:a.pem", State: sekisho.CAKeyIssuing, Issuing: now},
	}}
}

func cas(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	all, err := s.CAs(ctx)
	ok(t, err)
	same(t, "CAs", len(all), 0)
	user, git := newCA("user"), newCA("git")
	ok(t, s.SaveCA(ctx, user))
	ok(t, s.SaveCA(ctx, git))
	next := *user
	next.Revision = 2
	next.Keys = append(next.Keys, sekisho.CAKey{Fingerprint: "SHA256:b", State: sekisho.CAKeyAnnounced, Announced: now.Add(time.Hour)})
	ok(t, s.SaveCA(ctx, &next))
	all, err = s.CAs(ctx)
	ok(t, err)
	same(t, "CAs", all, []*sekisho.CA{git, &next})
}

func casAtTheirRevision(t *testing.T, open Opener) {
	ctx, place := t.Context(), t.TempDir()
	s, other := open(t, place), open(t, place)
	ok(t, s.SaveCA(ctx, newCA("user")))
	for name, revision := range map[string]int64{"again": 1, "one left out": 3, "back": 0} {
		c := newCA("user")
		c.Revision = revision
		if err := other.SaveCA(ctx, c); !errors.Is(err, sekisho.ErrTaken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	absent := newCA("absent")
	absent.Revision = 2
	if err := s.SaveCA(ctx, absent); !errors.Is(err, sekisho.ErrTaken) {
		t.Errorf("one that is not there: %v", err)
	}
	// Of many who change it at once, one does.
	var saved atomic.Int64
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			c := newCA("user")
			c.Revision = 2
			switch err := []Store{s, other}[i%2].SaveCA(ctx, c); {
			case err == nil:
				saved.Add(1)
			case !errors.Is(err, sekisho.ErrTaken):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	same(t, "saved", saved.Load(), int64(1))
}

func hostReports(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	ok(t, s.SaveHostReports(ctx, nil))
	all, err := s.HostReports(ctx)
	ok(t, err)
	same(t, "reports", len(all), 0)
	web := &sekisho.HostReport{Target: "web1", At: now, Managed: true, Trusts: []string{"SHA256:a", "SHA256:b"}, Revocations: 7, CertificateCA: "SHA256:c"}
	db := &sekisho.HostReport{Target: "db1", At: now, Error: "sshd refuses"}
	ok(t, s.SaveHostReports(ctx, []*sekisho.HostReport{web, db}))
	later := &sekisho.HostReport{Target: "web1", At: now.Add(time.Minute)}
	ok(t, s.SaveHostReports(ctx, []*sekisho.HostReport{later}))
	all, err = s.HostReports(ctx)
	ok(t, err)
	same(t, "reports", all, []*sekisho.HostReport{db, later})
}
