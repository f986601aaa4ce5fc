package ca_test

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sekisho/sekisho/ca"
)

func TestOpenKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "user.key")
	first, err := ca.OpenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ca.OpenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Public().(ed25519.PublicKey).Equal(again.Public()) {
		t.Error("another key the second time")
	}
	for path, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if _, err := ca.OpenECDSA(path); err == nil {
		t.Error("an Ed25519 key was opened as ECDSA")
	}
}

func TestOpenKeyRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "user.key")
	var wg sync.WaitGroup
	publics := make([]string, 8)
	for i := range publics {
		wg.Go(func() {
			key, err := ca.OpenKey(path)
			if err != nil {
				t.Error(err)
				return
			}
			publics[i] = string(key.Public().(ed25519.PublicKey))
		})
	}
	wg.Wait()
	for _, p := range publics {
		if p != publics[0] {
			t.Fatal("two processes use two keys")
		}
	}
}

func TestOpenKeyRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(path string) error
		fix   string
	}{
		"loose file":   {func(p string) error { return os.Chmod(p, 0o640) }, "chmod 600"},
		"loose folder": {func(p string) error { return os.Chmod(filepath.Dir(p), 0o755) }, "chmod 700"},
		"link": {func(p string) error {
			if err := os.Rename(p, p+".real"); err != nil {
				return err
			}
			return os.Symlink(p+".real", p)
		}, "symbolic link"},
		"folder": {func(p string) error {
			if err := os.Remove(p); err != nil {
				return err
			}
			return os.Mkdir(p, 0o700)
		}, "no regular file"},
		"empty": {func(p string) error { return os.Truncate(p, 0) }, "PEM"},
		"cut":   {func(p string) error { return os.Truncate(p, 60) }, "PEM"},
		"damaged": {func(p string) error {
			return os.WriteFile(p, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600)
		}, "backup"},
		"huge": {func(p string) error { return os.Truncate(p, 1<<20) }, "right file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys", "user.key")
			if _, err := ca.OpenKey(path); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(path); err != nil {
				t.Fatal(err)
			}
			_, err := ca.OpenKey(path)
			if err == nil {
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), c.fix) || !strings.Contains(err.Error(), filepath.Dir(path)) {
				t.Errorf("%v: want the path and %q", err, c.fix)
			}
		})
	}
}
