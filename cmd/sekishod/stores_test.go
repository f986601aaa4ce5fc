package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
)

// What callers say of a key store must not make sekishod load a library, dial a socket or read a file of their choice.
func TestKeyStoresOfCallers(t *testing.T) {
	h := &house{cfg: &Config{CA: CAConfig{Stores: map[string]string{
		"hsm": "pkcs11:token=ssh;object={key}?module-path=/usr/lib/x.so", "card": "agent:/run/a.sock?fingerprint=SHA256:x",
	}}}}
	h.ca = &ca.Authority{}
	for _, store := range []string{
		"pkcs11:token=x?module-path=/tmp/evil.so", "agent:/tmp/sock?fingerprint=SHA256:x", "tpm:/tmp/sock", "awskms:x/alias/y?endpoint=http://127.0.0.1",
		"azurekms:https://example.com/k", "file:/etc/cron.d/x", "file:../x.pem", "file:a/../../x", "file:%2e%2e/x.pem", "file:%2fetc%2fx", "file:x.pem?passphrase-file=/etc/shadow",
		"file:", "hsm ", "HSM", "{key}", "hsm;object=user-ca",
	} {
		uri, _, err := h.place("git", store)
		if err == nil {
			t.Errorf("%s: %s", store, uri)
		}
		if said := sekisho.Say(err); !strings.Contains(said, "file:NAME.pem") {
			t.Errorf("%s: %s", store, said)
		}
	}
	for store, want := range map[string]string{
		"hsm": "pkcs11:token=ssh;object=git-ca-", "card": "agent:/run/a.sock?fingerprint=SHA256:x", "file:mine.pem": "file:mine.pem", "file:sub/mine.pem": "file:sub/mine.pem",
	} {
		uri, there, err := h.place("git", store)
		if err != nil || !strings.HasPrefix(uri, want) || strings.Contains(uri, "{") || there != (store == "card") {
			t.Errorf("%s: %s %v %v", store, uri, there, err)
		}
	}
}

func TestKeyStoresConfigured(t *testing.T) {
	for text, refused := range map[string]string{
		`ca: {stores: {hsm: "file:{key}.pem?passphrase-env=X"}}`: "",
		`ca: {stores: {HSM: "file:{key}.pem"}}`:                  `ca.stores: the name "HSM"`,
		`ca: {stores: {hsm: "magic:{key}"}}`:                     "ca.stores.hsm: key store: the URI begins with none of the schemes",
	} {
		path := filepath.Join(t.TempDir(), "sekishod.yaml")
		if err := os.WriteFile(path, []byte(leastConfig+text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadConfig(path)
		if refused == "" && err != nil || refused != "" && (err == nil || !strings.Contains(err.Error(), refused)) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A named store without {key} names one key, which is made once and then taken as it is.
func TestStoreOfOneKey(t *testing.T) {
	data := t.TempDir()
	h := &house{cfg: &Config{Data: data, CA: CAConfig{Stores: map[string]string{"one": "file:one.pem"}}}, ca: &ca.Authority{}}
	if err := os.Mkdir(filepath.Join(data, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	var first string
	for range 2 {
		uri, key, err := h.createCAKey(t.Context(), "git", "one", "")
		if err != nil || uri != "file:one.pem" {
			t.Fatalf("%s: %v", uri, err)
		}
		if got := string(key.PublicKey().Marshal()); first == "" {
			first = got
		} else if got != first {
			t.Error("another key took its place")
		}
	}
}
