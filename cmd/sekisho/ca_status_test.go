package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestShowCAs(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	issuing := caKeyInfo{Fingerprint: "SHA256:old", State: "issuing", Since: at, Store: "file", Hosts: 3}
	lag := []lagInfo{{Target: "db1", Why: "does not trust it yet: sshd \x1b[2Jrefuses", Reported: at, Managed: true}}
	with := func(k caKeyInfo) caInfo {
		k.Fingerprint, k.Since, k.Store = "SHA256:new", at, "pkcs11"
		return caInfo{Name: "user", Type: "user", Issuers: []string{"people"}, Keys: []caKeyInfo{issuing, k}}
	}
	for name, test := range map[string]struct {
		ca       caInfo
		want     []string
		troubles int
		due      bool
	}{
		"at rest": {caInfo{Name: "user", Type: "user", Issuers: []string{"people"}, Keys: []caKeyInfo{issuing}},
			[]string{"user signs user certificates, for people\n", "  issuing   SHA256:old since 2026-03-01 12:00:00, in file\n", "    3 of 3 hosts trust it\n"}, 0, true},
		"one lags": {with(caKeyInfo{State: "announced", Hosts: 3, Lagging: lag}),
			[]string{"    2 of 3 hosts trust it\n", "    db1 does not trust it yet: sshd ?[2Jrefuses (heard 2026-03-01 12:00:00)\n", "  Next: the announced key becomes trusted by itself, once 1 more host trusts it.\n"}, 1, false},
		"trusted":      {with(caKeyInfo{State: "trusted", Hosts: 3}), []string{"ready to sign: sekisho ca rotate user\n"}, 0, true},
		"not any more": {with(caKeyInfo{State: "trusted", Hosts: 3, Lagging: lag}), []string{"can sign once 1 host trusts it again"}, 1, false},
		"retiring":     {with(caKeyInfo{State: "retiring", LastExpiry: at}), []string{"when its last certificate expires, 2026-03-01 12:00:00, by itself"}, 0, false},
		"shown":        {with(caKeyInfo{State: "retiring", Hosts: 3, Lagging: lag}), []string{"once 1 host shows no certificate of it any more"}, 1, false},
		"trouble":      {with(caKeyInfo{State: "trusted", Trouble: "the token is gone"}), []string{"    cannot sign: the token is gone\n"}, 1, true},
		"our own": {caInfo{Name: "git", Type: "user", Keys: []caKeyInfo{issuing, {State: "announced"}}},
			[]string{"git signs user certificates\n", "sekisho ca rotate git --installed"}, 0, false},
	} {
		for _, colour := range []bool{false, true} {
			var out bytes.Buffer
			a := &app{out: &out, colour: colour}
			if err := a.showCAs([]caInfo{test.ca}); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(out.String(), "\x1b[2J") || strings.Contains(out.String(), "\x1b") != colour {
				t.Errorf("%s: escapes in %q", name, out.String())
			}
			for _, want := range test.want {
				if !colour && !strings.Contains(out.String(), want) {
					t.Errorf("%s: no %q in\n%s", name, want, out.String())
				}
			}
		}
		if got := test.ca.troubles(); len(got) != test.troubles {
			t.Errorf("%s: troubles %q", name, got)
		}
		if got := (&caRotateCmd{}).due(&test.ca); got != test.due {
			t.Errorf("%s: due is %v", name, got)
		}
		if !(&caRotateCmd{Force: true}).due(&test.ca) {
			t.Errorf("%s: a forced step waits", name)
		}
	}
}
