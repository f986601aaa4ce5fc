package transfer_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scpBytes gives bytes that are the same for a seed.
func scpBytes(seed uint64, size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func layFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// sameFiles wants two files or folders to hold the same.
func sameFiles(t *testing.T, a, b string) {
	t.Helper()
	filepath.WalkDir(a, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		other := b + strings.TrimPrefix(path, a)
		want, _ := os.ReadFile(path)
		if got, err := os.ReadFile(other); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s and %s differ: %v", path, other, err)
		}
		return nil
	})
}

// awkward are names that a file may have.
var awkward = []string{"plain", "two words", "größe 見本", "it's \"quoted\"", `back\slash`, "tab\there", "-dash", "*", "$HOME", "%41", "a;b", "\xff\xfe"}

func TestSCPDownload(t *testing.T) {
	realPrograms(t)
	dir := t.TempDir()
	data := scpBytes(1, 300_000)
	layFile(t, filepath.Join(dir, "here", "a file"), data)
	run := stock(t, shellWork{Start: dir}, "scp", "host:here/a?file", filepath.Join(dir, "copy")).ok(t)
	sameFiles(t, filepath.Join(dir, "here", "a file"), filepath.Join(dir, "copy"))
	op := run.find(t, "download", "here/a file")
	if op.Bytes != int64(len(data)) || op.SHA256 != sha(data) || op.Result != "ok" || op.Protocol != "scp" {
		t.Errorf("%+v", op)
	}
	// The content and its end are told, the line is not.
	if want := (shellSizes{Told: int64(len(data)) + 1, Raw: int64(len("C0644 300000 a file\n")), Target: 3}); run.sizes != want {
		t.Errorf("%+v, not %+v", run.sizes, want)
	}
}

func TestSCPUpload(t *testing.T) {
	realPrograms(t)
	dir := t.TempDir()
	data := scpBytes(2, 70_000)
	layFile(t, filepath.Join(dir, "mine"), data)
	for _, c := range []struct{ target, path, to string }{
		{"new", "new", "new/mine"},
		{dir, dir, dir + "/mine"},
		{dir + "/", dir + "/mine", ""},
		{".", "mine", ""},
		{"", "mine", ""},
	} {
		t.Run(c.target, func(t *testing.T) {
			start := t.TempDir()
			run := stock(t, shellWork{Start: start}, "scp", "-p", filepath.Join(dir, "mine"), "host:"+c.target).ok(t)
			op := run.find(t, "upload", c.path)
			if op.To != c.to || op.Bytes != int64(len(data)) || op.SHA256 != sha(data) || len(run.ops) != 1 {
				t.Errorf("%+v", run.ops)
			}
		})
	}
}

// Whole folders with names of all kinds go both ways.
func TestSCPFolders(t *testing.T) {
	realPrograms(t)
	dir := t.TempDir()
	var want []string
	for i, name := range awkward {
		data := scpBytes(uint64(i), i*1000)
		layFile(t, filepath.Join(dir, "from", "sub", name), data)
	}
	layFile(t, filepath.Join(dir, "from", "empty"), nil)
	os.Mkdir(filepath.Join(dir, "to"), 0o755)
	run := stock(t, shellWork{Start: dir}, "scp", "-r", "-p", filepath.Join(dir, "from"), "host:"+dir+"/to/.").ok(t)
	sameFiles(t, filepath.Join(dir, "from"), filepath.Join(dir, "to", "from"))
	for i, name := range awkward {
		want = append(want, fmt.Sprintf("upload %s/to/from/sub/%s %d ok", dir, toldName(name), i*1000))
	}
	want = append(want, "upload "+dir+"/to/from/empty 0 ok", "mkdir "+dir+"/to/from 0 ok", "mkdir "+dir+"/to/from/sub 0 ok")
	if diff := cmp.Diff(sorted(want), sorted(run.told())); diff != "" {
		t.Error(diff)
	}

	run = stock(t, shellWork{Start: dir}, "scp", "-r", "host:from", filepath.Join(dir, "back")).ok(t)
	sameFiles(t, filepath.Join(dir, "from"), filepath.Join(dir, "back"))
	want = []string{"download from/empty 0 ok", "list from 0 ok", "list from/sub 0 ok"}
	for i, name := range awkward {
		want = append(want, fmt.Sprintf("download from/sub/%s %d ok", toldName(name), i*1000))
	}
	if diff := cmp.Diff(sorted(want), sorted(run.told())); diff != "" {
		t.Error(diff)
	}
}

// toldName is what is told of the names above.
func toldName(name string) string {
	return strings.NewReplacer(`\`, `\\`, "\t", `\x09`, "\xff", `\xff`, "\xfe", `\xfe`).Replace(name)
}

func sorted(all []string) []string { slices.Sort(all); return all }

// ended wants the run to have gone well or not.
func (r shellRun) ended(t *testing.T, well bool) shellRun {
	t.Helper()
	if (r.err == nil) != well {
		t.Fatalf("%v\n%s", r.err, r.output)
	}
	return r
}

// Where a folder goes depends on what is there already, which the wire does not say.
func TestSCPNewFolder(t *testing.T) {
	realPrograms(t)
	dir := t.TempDir()
	layFile(t, filepath.Join(dir, "from", "f"), []byte("x"))
	for range 2 { // the first time "to" is made, the second time it is there
		run := stock(t, shellWork{Start: dir}, "scp", "-r", filepath.Join(dir, "from"), "host:to/").ok(t)
		if diff := cmp.Diff([]string{"mkdir to > to/from 0 ok", "upload to/f > to/from/f 1 ok"}, run.told()); diff != "" {
			t.Error(diff)
		}
	}
	sameFiles(t, filepath.Join(dir, "from"), filepath.Join(dir, "to"))
	sameFiles(t, filepath.Join(dir, "from"), filepath.Join(dir, "to", "from"))
}

// A newline in a name ends a line; scp writes it as \^J.
func TestSCPNewline(t *testing.T) {
	realPrograms(t)
	dir := t.TempDir()
	layFile(t, filepath.Join(dir, "a\nb"), []byte("x"))
	run := stock(t, shellWork{Start: dir}, "scp", filepath.Join(dir, "a\nb"), "host:"+t.TempDir()+"/").ok(t)
	if len(run.ops) != 1 || !strings.HasSuffix(run.ops[0].Path, `/a\\^Jb`) {
		t.Errorf("%+v", run.ops)
	}
}

func TestSCPErrors(t *testing.T) {
	realPrograms(t)
	dir := t.TempDir()
	layFile(t, filepath.Join(dir, "mine"), []byte("mine"))
	layFile(t, filepath.Join(dir, "folder", "in"), []byte("in"))
	os.Mkdir(filepath.Join(dir, "taken"), 0o755)
	os.Mkdir(filepath.Join(dir, "taken", "mine"), 0o755)
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"missing", []string{"host:not/there", dir}, []string{"download not/there 0 scp: not/there: No such file or directory"}},
		{"folder without -r", []string{"host:folder", dir}, []string{"download folder 0 scp: folder: not a regular file"}},
		{"one of two", []string{"-T", "host:none mine", t.TempDir() + "/"}, []string{"download none 0 scp: none: No such file or directory", "download mine 4 ok"}},
		{"refused", []string{dir + "/mine", "host:taken/"}, []string{"upload taken/mine 0 scp: taken//mine: Is a directory"}},
		{"no folder", []string{dir + "/mine", "host:none/"}, []string{"upload none/mine 0 scp: none/: Is a directory"}},
		{"not a folder", []string{"-r", dir + "/mine", dir + "/folder", "host:mine"}, []string{"upload mine 0 scp: mine: Not a directory"}},
		{"into nowhere", []string{dir + "/mine", "host:/dev/full"}, []string{"upload /dev/full > /dev/full/mine 4 scp: /dev/full: No space left on device"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := stock(t, shellWork{Start: dir}, "scp", c.args...).ended(t, false)
			if diff := cmp.Diff(c.want, run.told()); diff != "" {
				t.Errorf("%s\n%s", diff, run.output)
			}
		})
	}
}

// What was under way when a conversation ended is told as unfinished, without a hash.
func TestSCPInterrupted(t *testing.T) {
	realPrograms(t)
	dir := t.TempDir()
	layFile(t, filepath.Join(dir, "big"), scpBytes(3, 4<<20))
	for _, args := range [][]string{{"host:big", filepath.Join(dir, "copy")}, {filepath.Join(dir, "big"), "host:copy2"}} {
		run := stock(t, shellWork{Start: dir, Cut: 1 << 20}, "scp", args...).ended(t, false)
		if len(run.ops) != 1 || run.ops[0].Result != "unfinished" || run.ops[0].Bytes < 1<<20-100 || run.ops[0].Bytes > 3<<20 || run.ops[0].SHA256 != "" {
			t.Errorf("%+v", run.ops)
		}
	}
}

func TestSCPLarge(t *testing.T) {
	realPrograms(t)
	dir := t.TempDir()
	data := scpBytes(4, 100<<20)
	layFile(t, filepath.Join(dir, "big"), data)
	run := stock(t, shellWork{Start: dir}, "scp", "host:big", filepath.Join(dir, "copy")).ok(t)
	sameFiles(t, filepath.Join(dir, "big"), filepath.Join(dir, "copy"))
	if op := run.find(t, "download", "big"); op.SHA256 != sha(data) {
		t.Errorf("%+v", op)
	}
	run = stock(t, shellWork{Start: dir}, "scp", filepath.Join(dir, "big"), "host:up").ok(t)
	sameFiles(t, filepath.Join(dir, "big"), filepath.Join(dir, "up"))
	if op := run.find(t, "upload", "up"); op.SHA256 != sha(data) {
		t.Errorf("%+v", op)
	}
}
