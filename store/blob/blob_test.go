package blob_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/store/blob"
)

func open(t *testing.T, dir string) *blob.Folder {
	t.Helper()
	f, err := blob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestWriteRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "recordings")
	folder, session := open(t, dir), sekisho.NewID("ses")
	w, err := folder.Create(session)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"frame one, ", "frame two"} {
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
		if err := w.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := folder.Open(session) // while it is being written
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := r.Size(); got != 20 {
		t.Errorf("size %d", got)
	}
	if _, err := r.Seek(11, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "frame two" {
		t.Errorf("read %q, %v", got, err)
	}
	for path, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, session+".rec"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
}

func TestCreateOnce(t *testing.T) {
	folder, session := open(t, t.TempDir()), sekisho.NewID("ses")
	w, err := folder.Create(session)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := folder.Create(session); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("created twice: %v", err)
	}
}

func TestSyncClosed(t *testing.T) {
	w, err := open(t, t.TempDir()).Create(sekisho.NewID("ses"))
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := w.Sync(); err == nil {
		t.Fatal("a closed file says it is durable")
	}
}

func TestOpenMissing(t *testing.T) {
	if _, err := open(t, t.TempDir()).Open(sekisho.NewID("ses")); !errors.Is(err, sekisho.ErrNotFound) {
		t.Fatalf("error %v", err)
	}
}

// Mallory names paths instead of sessions, and plants a link.
func TestNames(t *testing.T) {
	place := t.TempDir()
	outside := filepath.Join(place, "outside.rec")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := open(t, filepath.Join(place, "recordings"))
	for _, name := range []string{"", "ses_", "../outside", "ses_/../../outside", "ses_a\x00", "/etc/passwd", sekisho.NewID("sin")} {
		if _, err := folder.Create(name); err == nil {
			t.Errorf("created %q", name)
		}
		if _, err := folder.Open(name); err == nil {
			t.Errorf("opened %q", name)
		}
	}
	session := sekisho.NewID("ses")
	if err := os.Symlink(outside, filepath.Join(place, "recordings", session+".rec")); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Open(session); err == nil {
		t.Error("followed a link out of the folder")
	}
	if _, err := folder.Create(session); err == nil {
		t.Error("created through a link")
	}
}
