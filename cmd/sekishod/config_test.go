package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const leastConfig = `name: x
url: https://sekisho.example.com
data: data
policies: policies
oidc: {issuer: https://idp.example.com, client_id: x}
`

func TestSignInDurations(t *testing.T) {
	for _, c := range []struct {
		text            string
		lifetime, agent time.Duration
		refused         string
	}{
		{"", 8 * time.Hour, time.Hour, ""},
		{"sign_in: {lifetime: 1m, agent_certificate: 10s}", time.Minute, 10 * time.Second, ""},
		{"sign_in: {lifetime: 24h, agent_certificate: 24h}", 24 * time.Hour, 24 * time.Hour, ""},
		{"sign_in: {agent_certificate: 9s}", 0, 0, `sign_in.agent_certificate "9s": want a duration from 10s to 24h`},
		{"sign_in: {agent_certificate: 25h}", 0, 0, "from 10s to 24h"},
		{"sign_in: {lifetime: 59s}", 0, 0, `sign_in.lifetime "59s": want a duration from 1m to 24h`},
		{"sign_in: {lifetime: -1h}", 0, 0, "from 1m to 24h"},
		{"sign_in: {agent: 1h}", 0, 0, "unknown field"},
	} {
		path := filepath.Join(t.TempDir(), "sekishod.yaml")
		if err := os.WriteFile(path, []byte(leastConfig+c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := LoadConfig(path)
		switch {
		case c.refused != "":
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v, want %q", c.text, err, c.refused)
			}
		case err != nil:
			t.Errorf("%s: %v", c.text, err)
		case cfg.SignIn.lifetime != c.lifetime || cfg.SignIn.agentCertificate != c.agent:
			t.Errorf("%s: %v, %v", c.text, cfg.SignIn.lifetime, cfg.SignIn.agentCertificate)
		}
	}
}
