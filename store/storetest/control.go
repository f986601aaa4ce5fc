package storetest

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
)

func targets(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	_, err := s.Target(ctx, "web1")
	notFound(t, err)
	all, err := s.Targets(ctx)
	ok(t, err)
	same(t, "targets", len(all), 0)

	web := &sekisho.Target{Name: "web1", Labels: []string{"env:prod"}, Class: "pii", Logins: []string{"root"}, Audited: true}
	db := &sekisho.Target{Name: "db1", Logins: []string{"postgres"}, Connector: "con_a", HostKey: "ssh-ed25519 AAAA"}
	ok(t, s.SaveTarget(ctx, web))
	ok(t, s.SaveTarget(ctx, db))
	web.HostKey, web.Audited = "ssh-ed25519 BBBB", false
	ok(t, s.SaveTarget(ctx, web))

	got, err := s.Target(ctx, "web1")
	ok(t, err)
	same(t, "target", got, web)
	all, err = s.Targets(ctx)
	ok(t, err)
	same(t, "targets", all, []*sekisho.Target{db, web})
}

func targetAt(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	for name, addresses := range map[string][]string{
		"wide": {"10.0.0.0/8", "2001:db8::/32"}, "narrow": {"10.1.0.0/16", "10.2.0.0/16"}, "start": {"10.0.0.0/24"},
		"one": {"10.1.2.3", "2001:db8::1", "10.0.0.0/9"}, "none": nil,
	} {
		ok(t, s.SaveTarget(ctx, &sekisho.Target{Name: name, Logins: []string{"root"}, Addresses: addresses}))
	}
	for address, want := range map[string]string{
		"10.200.0.1": "wide", "10.0.0.0": "start", "10.0.0.255": "start", "10.0.1.0": "one", "10.1.2.3": "one", "10.1.2.4": "narrow",
		"10.2.255.255": "narrow", "10.3.0.0": "one", "10.255.255.255": "wide", "11.0.0.0": "", "9.255.255.255": "",
		"::ffff:10.1.2.3": "one", "2001:db8::1": "one", "2001:db8::2": "wide", "2001:db7::1": "", "::10.1.2.3": "", "::": "",
	} {
		got, err := s.TargetAt(ctx, netip.MustParseAddr(address))
		if want == "" {
			notFound(t, err)
			continue
		}
		ok(t, err)
		same(t, address, got.Name, want)
	}
	// A target that gives an address up is found there no longer.
	ok(t, s.SaveTarget(ctx, &sekisho.Target{Name: "one", Logins: []string{"root"}, Addresses: []string{"2001:db8::1"}}))
	got, err := s.TargetAt(ctx, netip.MustParseAddr("10.1.2.3"))
	ok(t, err)
	same(t, "after it was given up", got.Name, "narrow")
}

func addressesAreTheirs(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	db1 := &sekisho.Target{Name: "db1", Logins: []string{"root"}, Addresses: []string{"10.0.0.0/8", "192.0.2.1"}}
	ok(t, s.SaveTarget(ctx, db1))
	ok(t, s.SaveTarget(ctx, db1)) // its own addresses are no obstacle
	for _, address := range []string{"10.0.0.0/8", "192.0.2.1/32"} {
		err := s.SaveTarget(ctx, &sekisho.Target{Name: "web1", Logins: []string{"root"}, Addresses: []string{"198.51.100.1", address}})
		if !errors.Is(err, sekisho.ErrTaken) {
			t.Errorf("%s twice: %v", address, err)
		}
	}
	// Nothing of what was refused is there.
	_, err := s.Target(ctx, "web1")
	notFound(t, err)
	_, err = s.TargetAt(ctx, netip.MustParseAddr("198.51.100.1"))
	notFound(t, err)
	if err := s.SaveTarget(ctx, &sekisho.Target{Name: "web1", Logins: []string{"root"}, Addresses: []string{"everywhere"}}); err == nil {
		t.Error("an address that is none was kept")
	}
}

func connectors(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	_, err := s.Connector(ctx, "con_a")
	notFound(t, err)
	a := &sekisho.Connector{ID: "con_a", Name: "rack1", Thumbprint: "t", TokenHash: []byte{0, 9}, Joined: now}
	b := &sekisho.Connector{ID: "con_b", Name: "rack2", Thumbprint: "u", TokenHash: []byte{8}, Joined: now}
	ok(t, s.SaveConnector(ctx, b))
	ok(t, s.SaveConnector(ctx, a))
	a.TokenHash = []byte{1}
	ok(t, s.SaveConnector(ctx, a))

	got, err := s.Connector(ctx, "con_a")
	ok(t, err)
	same(t, "connector", got, a)
	ended, err := s.EndConnector(ctx, "con_b", now)
	ok(t, err)
	same(t, "ended", ended, true)
	b.Ended = now
	all, err := s.Connectors(ctx)
	ok(t, err)
	same(t, "connectors", all, []*sekisho.Connector{a, b})
}

func connectorStaysEnded(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	one := &sekisho.Connector{ID: "con_a", Name: "rack1", TokenHash: []byte{1}, Joined: now}
	ok(t, s.SaveConnector(ctx, one))
	for i, want := range []bool{true, false} {
		ended, err := s.EndConnector(ctx, "con_a", now.Add(time.Duration(i)))
		ok(t, err)
		same(t, "ended", ended, want)
	}
	ok(t, s.SaveConnector(ctx, one))
	got, err := s.Connector(ctx, "con_a")
	ok(t, err)
	same(t, "ended at", got.Ended, now)
}

func newRecording(n int, person, target, state string) *sekisho.Recording {
	return &sekisho.Recording{
		Session: sekisho.Session{
			ID: fmt.Sprintf("ses_%d", n), SignIn: "sin_a", Identity: sekisho.Identity{Subject: person}, Target: target,
			Login: "root", Audit: sekisho.AuditStrict, ClientAddress: "192.0.2.1", Gateway: "gw",
			Started: now.Add(time.Duration(n/2) * time.Nanosecond), // two at a time start together
		},
		State: state, Recipients: []string{"k1"},
	}
}

func recording(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	_, err := s.Recording(ctx, "ses_1")
	notFound(t, err)
	want := newRecording(1, "alice", "web1", sekisho.RecordingOpen)
	ok(t, s.SaveRecording(ctx, want))
	want.State, want.Ended, want.Bytes, want.Chain = sekisho.RecordingClosed, now.Add(time.Hour), 1<<40, "c0ffee"
	ok(t, s.SaveRecording(ctx, want))
	got, err := s.Recording(ctx, "ses_1")
	ok(t, err)
	same(t, "recording", got, want)
}

func recordings(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	for n := range 6 {
		person, target, state := "alice", "web1", sekisho.RecordingClosed
		if n%2 == 1 {
			person = "bob"
		}
		if n%3 == 2 {
			target, state = "db1", sekisho.RecordingOpen
		}
		ok(t, s.SaveRecording(ctx, newRecording(n, person, target, state)))
	}
	for _, test := range []struct {
		name string
		q    sekisho.RecordingQuery
		want []string
	}{
		{"all", sekisho.RecordingQuery{}, []string{"ses_5", "ses_4", "ses_3", "ses_2", "ses_1", "ses_0"}},
		{"limit", sekisho.RecordingQuery{Limit: 2}, []string{"ses_5", "ses_4"}},
		{"session", sekisho.RecordingQuery{Session: "ses_3"}, []string{"ses_3"}},
		{"person", sekisho.RecordingQuery{Person: "bob"}, []string{"ses_5", "ses_3", "ses_1"}},
		{"target", sekisho.RecordingQuery{Target: "db1"}, []string{"ses_5", "ses_2"}},
		{"state", sekisho.RecordingQuery{State: sekisho.RecordingOpen}, []string{"ses_5", "ses_2"}},
		{"both", sekisho.RecordingQuery{Person: "alice", Target: "web1"}, []string{"ses_4", "ses_0"}},
		{"before", sekisho.RecordingQuery{Before: "ses_3", Limit: 2}, []string{"ses_2", "ses_1"}},
		{"before one that started together", sekisho.RecordingQuery{Before: "ses_1"}, []string{"ses_0"}},
		{"before unknown", sekisho.RecordingQuery{Before: "ses_x"}, nil},
		{"injection", sekisho.RecordingQuery{Person: "' OR 1=1 --"}, nil},
	} {
		got, err := s.Recordings(ctx, test.q)
		ok(t, err)
		var ids []string
		for _, r := range got {
			ids = append(ids, r.Session.ID)
		}
		same(t, test.name, ids, test.want)
	}
}
