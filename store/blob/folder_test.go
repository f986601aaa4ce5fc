package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/store/blob"
	"github.com/sekisho/sekisho/store/storetest"
)

func TestFolder(t *testing.T) {
	storetest.Blobs(t, func(t *testing.T) blob.Store { return open(t, filepath.Join(t.TempDir(), "recordings")) })
}

func TestFolderModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "recordings")
	folder, session := open(t, dir), sekisho.NewID("ses")
	if err := folder.Put(context.Background(), blob.Segment(session, 0), strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, session): 0o700, filepath.Join(dir, blob.Segment(session, 0)): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(dir, ".incoming")); len(left) != 0 {
		t.Errorf("%d parts are left", len(left))
	}
}

// A linked file is the same file, and needs no room of its own.
func TestFolderLink(t *testing.T) {
	place := t.TempDir()
	folder, session := open(t, filepath.Join(place, "recordings")), sekisho.NewID("ses")
	spooled := filepath.Join(place, "spooled")
	if err := os.WriteFile(spooled, []byte("sealed"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again, after it was not known whether it went well
		if err := folder.Link(context.Background(), blob.Segment(session, 3), spooled); err != nil {
			t.Fatal(err)
		}
	}
	one, _ := os.Stat(spooled)
	two, err := os.Stat(filepath.Join(place, "recordings", blob.Segment(session, 3)))
	if err != nil || !os.SameFile(one, two) {
		t.Fatalf("not the same file: %v", err)
	}
	os.Remove(spooled)
	body, _, err := folder.Get(context.Background(), blob.Segment(session, 3), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); string(got) != "sealed" {
		t.Fatalf("%q, %v", got, err)
	}
	if err := folder.Link(context.Background(), blob.Segment(session, 4), spooled); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("linked what is not there: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(place, "recordings", ".incoming")); len(left) != 0 {
		t.Errorf("%d parts are left", len(left))
	}
}

// Where a link cannot be made, the caller is told to copy.
func TestFolderLinkElsewhere(t *testing.T) {
	place := t.TempDir()
	folder := open(t, filepath.Join(place, "recordings"))
	for _, path := range []string{"/proc/self/status", place, filepath.Join(place, "link")} {
		if path == filepath.Join(place, "link") {
			os.Symlink("/etc/hostname", path)
		}
		if err := folder.Link(context.Background(), blob.Segment(sekisho.NewID("ses"), 0), path); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("linking %s: %v", path, err)
		}
	}
}

// Mallory plants links and pipes where objects are expected.
func TestFolderPlanted(t *testing.T) {
	place := t.TempDir()
	dir, outside := filepath.Join(place, "recordings"), filepath.Join(place, "outside")
	folder, session := open(t, dir), sekisho.NewID("ses")
	name := blob.Segment(session, 0)
	for _, err := range []error{os.Mkdir(outside, 0o700), os.WriteFile(filepath.Join(outside, "000000.seg"), []byte("secret"), 0o600),
		os.Symlink(outside, filepath.Join(dir, session))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := folder.Get(context.Background(), name, 0); err == nil {
		t.Error("followed a folder out")
	}
	if err := folder.Put(context.Background(), name, strings.NewReader("x"), 1); err == nil {
		t.Error("wrote through a folder outside")
	}
	piped := sekisho.NewID("ses")
	os.Mkdir(filepath.Join(dir, piped), 0o700)
	if err := syscall.Mkfifo(filepath.Join(dir, blob.Segment(piped, 0)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := folder.Get(context.Background(), blob.Segment(piped, 0), 0); err == nil {
		t.Error("read a pipe")
	}
	if objects, err := folder.List(context.Background(), piped+"/"); err != nil || len(objects) != 0 {
		t.Errorf("listed a pipe: %v, %v", objects, err)
	}
}

// What a process left half written goes away, but not what another one may still write.
func TestFolderSwept(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	young, old := filepath.Join(dir, ".incoming", "young"), filepath.Join(dir, ".incoming", "old")
	for _, file := range []string{young, old} {
		if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	os.Chtimes(old, yesterday, yesterday)
	open(t, dir)
	if _, err := os.Stat(old); err == nil {
		t.Error("the old part is still there")
	}
	if _, err := os.Stat(young); err != nil {
		t.Error("the young part is gone")
	}
}

// A store that cannot be written to says so and keeps what it had.
func TestFolderReadOnly(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	folder, session := open(t, dir), sekisho.NewID("ses")
	os.Chmod(filepath.Join(dir, ".incoming"), 0o500)
	defer os.Chmod(filepath.Join(dir, ".incoming"), 0o700)
	if err := folder.Put(context.Background(), blob.Segment(session, 0), bytes.NewReader(nil), 0); !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("error %v", err)
	}
}
