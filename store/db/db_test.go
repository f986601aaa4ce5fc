package db_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/store/db"
	"github.com/sekisho/sekisho/store/storetest"
)

func open(t testing.TB, place string) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), filepath.Join(place, "sekisho.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, place string) storetest.Store { return open(t, place) })
}

// Nobody but the owner may read the files, whatever the umask.
func TestModes(t *testing.T) {
	place := filepath.Join(t.TempDir(), "a?b #c%41", "data")
	d := open(t, place)
	if err := d.SaveTarget(t.Context(), &sekisho.Target{Name: "web1"}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(place)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("folder has mode %o", got)
	}
	for _, name := range []string{"sekisho.db", "sekisho.db-wal", "sekisho.db-shm"} {
		info, err := os.Stat(filepath.Join(place, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has mode %o", name, got)
		}
	}
}

// The settings on which durability and speed hang are really in force on the writer's side of the file.
func TestJournal(t *testing.T) {
	place := t.TempDir()
	open(t, place)
	raw, err := sql.Open("sqlite", filepath.Join(place, "sekisho.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var mode string
	if err := raw.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Fatalf("journal mode %q, %v", mode, err)
	}
}

// Several processes may make one new database at the same time.
func TestOpenTogether(t *testing.T) {
	place := t.TempDir()
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			d, err := db.Open(t.Context(), filepath.Join(place, "sekisho.db"))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := d.Targets(t.Context()); err != nil {
				t.Error(err)
			}
			d.Close()
		})
	}
	all.Wait()
}

func TestOpenNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sekisho.db")
	if err := os.WriteFile(path, []byte("this is no database, and long enough to be taken for one by its size alone"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := db.Open(t.Context(), path); err == nil {
		d.Close()
		t.Fatal("opened a text file")
	}
}

func BenchmarkSignIn(b *testing.B) {
	d := open(b, b.TempDir())
	now := time.Now()
	s := &sekisho.SignIn{
		ID: sekisho.NewID("sin"), TokenHash: make([]byte, 32), Thumbprint: "t", Created: now, Expires: now.Add(time.Hour),
		Identity: sekisho.Identity{Subject: "alice@example.com", Issuer: "https://idp.example.com", Groups: []string{"a", "b", "c"}},
	}
	if err := d.SaveSignIn(b.Context(), s); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.SignIn(b.Context(), s.ID); err != nil {
			b.Fatal(err)
		}
	}
}
