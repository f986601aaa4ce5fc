package transfer_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
)

// dialogue asks a real server through a watcher, one thing after the other.
type dialogue struct {
	*rig
	t       *testing.T
	answers chan []byte
	id      int
}

func newDialogue(t *testing.T, start string, limits []sekisho.FileLimit) *dialogue {
	t.Helper()
	if _, err := os.Stat(sftpServer); err != nil {
		t.Fatal(err)
	}
	d := &dialogue{rig: newRig(limits), t: t, answers: make(chan []byte, 1000)}
	server := exec.Command(sftpServer)
	server.Dir = start
	in, _ := server.StdinPipe()
	out, _ := server.StdoutPipe()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	d.onTarget = func(p []byte) {
		if _, err := in.Write(p); err != nil {
			t.Error(err)
		}
	}
	var held []byte
	d.onUser = func(p []byte) {
		held = append(held, p...)
		for len(held) >= 4 && len(held) >= 4+int(binary.BigEndian.Uint32(held)) {
			n := 4 + int(binary.BigEndian.Uint32(held))
			d.answers <- bytes.Clone(held[:n])
			held = held[n:]
		}
	}
	down := make(chan error, 1)
	go func() { down <- pieces(out, d.FromTarget) }()
	t.Cleanup(func() {
		in.Close()
		if err := <-down; err != nil {
			t.Error(err)
		}
		server.Wait()
	})
	d.send(hello)
	d.answer()
	return d
}

func (d *dialogue) send(p []byte) {
	d.t.Helper()
	if err := d.FromUser(bytes.Clone(p)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *dialogue) answer() []byte {
	d.t.Helper()
	select {
	case a := <-d.answers:
		return a
	case <-time.After(20 * time.Second):
		d.t.Fatal("no answer")
		return nil
	}
}

// ask gives the answer's type, and its code where it is a STATUS.
func (d *dialogue) ask(kind byte, fields ...any) (answered byte, code int, packet []byte) {
	d.t.Helper()
	d.id++
	d.send(pkt(kind, append([]any{d.id}, fields...)...))
	a := d.answer()
	if id := int(binary.BigEndian.Uint32(a[5:])); id != d.id {
		d.t.Fatalf("answer to %d in place of %d", id, d.id)
	}
	if a[4] == pStatus {
		code = int(binary.BigEndian.Uint32(a[9:]))
	}
	return a[4], code, a
}

// code is the answer's code, sOK where it is no STATUS.
func (d *dialogue) code(kind byte, fields ...any) int {
	d.t.Helper()
	_, code, _ := d.ask(kind, fields...)
	return code
}

// open gives a handle, which is empty where there is none.
func (d *dialogue) open(path string, flags int) (handle string, code int) {
	d.t.Helper()
	kind, code, a := d.ask(pOpen, path, flags, noAttrs)
	if kind == pHandle {
		handle = string(a[13:])
	}
	return handle, code
}

// reached counts the packets of a type that the target got.
func (d *dialogue) reached(kind byte) (n int) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	all, err := packets(d.toTarget.Bytes(), false)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, p := range all {
		if p[4] == kind {
			n++
		}
	}
	return n
}

// tree makes files (with their contents), folders (that end in "/") and links ("->") in a new folder.
func tree(t *testing.T, entries map[string]string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, what := range entries {
		at := filepath.Join(root, path)
		must(os.MkdirAll(filepath.Dir(at), 0o755))
		switch {
		case path[len(path)-1] == '/':
			must(os.MkdirAll(at, 0o755))
		case len(what) > 2 && what[:2] == "->":
			must(os.Symlink(what[2:], at))
		default:
			must(os.WriteFile(at, []byte(what), 0o644))
		}
	}
	return root
}

// picture is what a tree holds.
func picture(t *testing.T, root string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		switch {
		case info.Mode()&os.ModeSymlink != 0:
			all[rel], _ = os.Readlink(path)
		case info.IsDir():
			all[rel] = info.Mode().String()
		default:
			b, _ := os.ReadFile(path)
			all[rel] = info.Mode().String() + " " + string(b)
		}
		return nil
	})
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return all
}
