package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestIssuerRow(t *testing.T) {
	for _, tt := range []struct {
		i    issuer
		want string
	}{
		{issuer{Name: "people", CA: "user", Type: "user", Proof: "sign-in", MaxTTL: 86400, May: true, Principals: []string{"{login}:{target}"}, Extensions: []string{"permit-pty"}},
			"people|user|sign-in|yes|by policy, up to 24h|by target|by policy"},
		{issuer{Name: "hosts", CA: "host", Type: "host", Proof: "connector", MaxTTL: 90 * 86400, Principals: []string{"{target}"}},
			"hosts|host|connector|no|up to 90 days|by target|"},
		{issuer{Name: "git", CA: "git", Type: "user", Proof: "sign-in", TTL: 8 * 3600, MaxTTL: 86400, Principals: []string{"{account}"}, Extensions: []string{"login@github.com={account}"}, Options: []string{"verify-required"}},
			"git|git|sign-in|no|8h, up to 24h|{account}|login@github.com={account},verify-required"},
		{issuer{Name: "builds", CA: "builds", Type: "user", Proof: "token", TTL: 3600, MaxTTL: 3600}, "builds|builds|token|no|1h||"},
	} {
		if got := strings.Join(tt.i.row(), "|"); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestIssuerDetail(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out}
	i := issuer{Name: "git", CA: "git", Type: "user", Proof: "sign-in", TTL: 60, MaxTTL: 60, Keys: []string{"ed25519", "rsa:3072"}, Match: "[a-z]+\x1b"}
	if err := a.detail(&i); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Keys        ed25519, rsa:3072\n", "TTL         1m\n", "Match       [a-z]+?\n", "CA          git, user certificates\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "From") {
		t.Errorf("a rule that there is not:\n%s", out.String())
	}
}
