package client_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sekisho/sekisho/client"
)

func TestLooseModesAreRefused(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		name string
		mode fs.FileMode
		want string
	}{
		{"", 0o755, "chmod 700"},
		{"run", 0o710, "chmod 700"},
		{"config.json", 0o644, "chmod 600"},
		{"device.key", 0o640, "chmod 600"},
		{"signin.json", 0o604, "chmod 600"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPerson(t, h)
			p.login()
			path := filepath.Join(p.home, c.name)
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := client.Open(p.home)
			if got := said(t, err); !strings.Contains(got, c.want+" '"+path+"'") {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestDamagedFiles(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"config.json", "device.key", "signin.json"} {
		for _, text := range []string{"", "{", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
			p := newPerson(t, h)
			p.login()
			if err := os.WriteFile(filepath.Join(p.home, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := client.Open(p.home)
			if got := said(t, err); !strings.Contains(got, name+" is damaged") {
				t.Errorf("%s %q: %q", name, text, got)
			}
		}
	}
}

func TestNothingYet(t *testing.T) {
	_, err := client.Open(filepath.Join(t.TempDir(), "home"))
	if got := said(t, err); !strings.Contains(got, "sekisho login URL") {
		t.Error(got)
	}
}
