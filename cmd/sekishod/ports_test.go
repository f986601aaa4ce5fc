package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/store/db"
)

// Whoever knocks at address after address gets certificates, and lines of the audit log, at a bounded rate only; names
// that were asked for before are served meanwhile.
func TestHostCertificatesAreBounded(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	now, made := time.Now(), 0
	s := &hostSigner{key: key, ca: key.PublicKey, revoked: func(*ssh.Certificate) error { return nil }, now: func() time.Time { return now },
		issue: func(_ context.Context, r ca.HostRequest) (*ssh.Certificate, error) {
			made++
			c := &ssh.Certificate{Key: r.Key, CertType: ssh.HostCert, ValidPrincipals: r.Names, ValidBefore: ssh.CertTimeInfinity}
			return c, c.SignCert(rand.Reader, key)
		}}
	ask := func(n int) error {
		_, err := s.signer(t.Context(), "db1", fmt.Sprintf("10.0.%d.%d", n>>8, n&255))
		return err
	}
	for n := range hostBurst {
		if err := ask(n); err != nil {
			t.Fatalf("certificate %d: %v", n, err)
		}
	}
	if err := ask(hostBurst); err == nil || made != hostBurst {
		t.Errorf("%d certificates, %v", made, err)
	}
	if err := ask(7); err != nil || made != hostBurst {
		t.Errorf("a name asked for before: %v", err)
	}
	now = now.Add(3 * hostPause)
	for n := range 4 {
		if err := ask(hostBurst + n); (err == nil) != (n < 3) {
			t.Errorf("%d after a pause: %v", n, err)
		}
	}
	now = now.Add(hostTTL / 2)
	if err := ask(7); err != nil || made != hostBurst+4 {
		t.Errorf("a certificate that grows old: %v, %d made", err, made)
	}
}

func TestFind(t *testing.T) {
	store, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	h := &house{cfg: &Config{Domain: "Example.Internal"}, store: store}
	for _, target := range []sekisho.Target{{Name: "db1", Addresses: []string{"10.0.0.0/8"}}, {Name: "10.9.9.9"},
		{Name: "far.example.internal"}, {Name: "near", Addresses: []string{"10.1.0.0/16", "fd00::1"}}} {
		target.Logins = []string{"root"}
		if err := store.SaveTarget(t.Context(), &target); err != nil {
			t.Fatal(err)
		}
	}
	for host, want := range map[string]string{
		"db1": "db1", "db1.example.internal": "db1", "far.example.internal": "far.example.internal", "10.0.0.1": "db1", "10.1.0.1": "near",
		"fd00::1": "near", "10.9.9.9": "10.9.9.9", "db2": "", "db1.example.com": "", "11.0.0.1": "", "example.internal": "", ".example.internal": "", "": "",
	} {
		got, err := h.find(t.Context(), host)
		if got != want || want == "" && !errors.Is(err, sekisho.ErrNotFound) || want != "" && err != nil {
			t.Errorf("%q is %q, %v", host, got, err)
		}
	}
}

func TestTransparentConfig(t *testing.T) {
	for text, want := range map[string]string{
		"transparent: {listen: ':2223'}":                      "",
		"transparent: {listen: '0.0.0.0:2223', mode: tproxy}": "",
		"transparent: {mode: redirect}":                       "transparent.listen is missing",
		"transparent: {listen: 'gateway:2223'}":               "want IP:PORT or :PORT",
		"transparent: {listen: ':2223', mode: dnat}":          `transparent.mode "dnat": want redirect or tproxy`,
		"transparent: {listen: ':2223', port: 22}":            "unknown field",
		"ssh_without_certificate: perhaps":                    "ssh_without_certificate",
	} {
		path := filepath.Join(t.TempDir(), "sekishod.yaml")
		if err := os.WriteFile(path, []byte(leastConfig+text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := LoadConfig(path)
		if want == "" {
			if err != nil || cfg.Transparent.Mode == "" {
				t.Errorf("%s: %v", text, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
