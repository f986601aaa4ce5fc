package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

func TestBehindTheRevocationList(t *testing.T) {
	lag := []*apiv1.CALag{{Target: "web1", Why: "goes by list 3", Managed: true}, {Target: "old", Why: "does not report"}}
	old, fresh := timestamppb.New(time.Now().Add(-time.Hour)), timestamppb.New(time.Now())
	for name, tt := range map[string]struct {
		list *apiv1.RevocationState
		want int
	}{
		"a host is late":     {&apiv1.RevocationState{Number: 9, Generated: old, Lagging: lag}, 1},
		"it will ask soon":   {&apiv1.RevocationState{Number: 9, Generated: fresh, Lagging: lag}, 0},
		"nobody keeps it":    {&apiv1.RevocationState{Number: 9, Generated: old, Lagging: lag[1:]}, 0},
		"nothing is revoked": {&apiv1.RevocationState{}, 0},
		"an earlier server":  {nil, 0},
	} {
		if got := behind(tt.list); len(got) != tt.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	var out bytes.Buffer
	a := &app{out: &out}
	if err := a.showRevoked(&apiv1.RevocationState{Number: 9, Generated: old, Entries: 1, Lagging: lag}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "revocation list for sshd: number 9 of ") || !strings.Contains(got, ", 1 entry\n  web1 goes by list 3\n") {
		t.Error(got)
	}
}

func TestExplainPublished(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out}
	at := timestamppb.New(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	m := &apiv1.ExplainResponse{Published: []*apiv1.PublishedKey{{
		Id: "pub_1", Fingerprint: "SHA256:x", Targets: []string{"web1"}, Served: []string{"web1"}, Login: "backup", By: "mei@example.com", Reason: "nightly", Published: at, Expires: at,
	}}}
	if err := a.explained(m, at.AsTime().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Published   pub_1, key SHA256:x, in force\n", "By          mei@example.com\n", "For         backup on web1\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "none that was issued") {
		t.Error(out.String())
	}
}
