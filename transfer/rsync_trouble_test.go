package transfer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sekisho/sekisho/transfer"
)

const nobody = 65534

// openUp lets everybody into a test's folders.
func openUp(t *testing.T, dir string) string {
	t.Helper()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		os.Chmod(d, 0o777)
	}
	return dir
}

// What the target could not do is told with its words, whether they come in frames or as standard error.
func TestRsyncRefused(t *testing.T) {
	realPrograms(t)
	if os.Getuid() != 0 {
		t.Log("whoever runs this has the rights of one user only, as the target has")
	}
	for _, wire := range [][]string{{}, {"--stderr=client"}, {"--no-i-r"}, {"--protocol=29"}, {"--protocol=30"}, {"--stderr=client", "--protocol=30"}} {
		t.Run(strings.Join(wire, " "), func(t *testing.T) {
			start := openUp(t, t.TempDir())
			layFile(t, filepath.Join(start, "from", "good"), []byte("good"))
			layFile(t, filepath.Join(start, "from", "secret"), []byte("secret"))
			layFile(t, filepath.Join(start, "from", "sub", "deep"), []byte("deep"))
			layFile(t, filepath.Join(start, "to", "sub", "x"), nil)
			os.Chmod(filepath.Join(start, "to"), 0o777)
			os.Chmod(filepath.Join(start, "to", "sub"), 0o555)
			os.Chmod(filepath.Join(start, "from", "secret"), 0o000)
			if os.Getuid() != 0 {
				os.Chmod(filepath.Join(start, "from", "secret"), 0o444)
			}
			args := append(wire, "-r")
			run := stock(t, shellWork{Start: start, User: nobody}, "rsync", append(args, filepath.Join(start, "from")+"/", "host:to")...).ended(t, false)
			if op := run.find(t, "upload", "to/sub/deep"); !strings.Contains(op.Result, "Permission denied") || !strings.Contains(op.Result, "deep") {
				t.Errorf("%v\n%s", run.told(), run.output)
			}
			if op := run.find(t, "upload", "to/good"); op.Result != "ok" {
				t.Errorf("%v\n%s", run.told(), run.output)
			}
			if os.Getuid() != 0 {
				return
			}
			run = stock(t, shellWork{Start: start, User: nobody}, "rsync", append(args, "host:from/", start+"/back/")...).ended(t, false)
			if op := run.find(t, "download", "from/good"); op.Result != "ok" {
				t.Errorf("%v\n%s", run.told(), run.output)
			}
			if !slices.ContainsFunc(run.ops, func(op transfer.Operation) bool {
				return op.Name == "download" && strings.HasPrefix(op.Path, "from/") && strings.Contains(op.Result, "Permission denied")
			}) {
				t.Errorf("%v\n%s", run.told(), run.output)
			}
		})
	}
}

func TestRsyncMissing(t *testing.T) {
	realPrograms(t)
	start := t.TempDir()
	for _, wire := range [][]string{{}, {"--stderr=client"}, {"--protocol=29"}} {
		run := stock(t, shellWork{Start: start}, "rsync", append(wire, "-r", "host:not/there", start+"/x")...).ended(t, false)
		if len(run.ops) == 0 || run.ops[0].Name != "download" || run.ops[0].Path != "not/there" || !strings.Contains(run.ops[0].Result, "No such file") {
			t.Errorf("%v\n%s", run.told(), run.output)
		}
	}
	layFile(t, filepath.Join(start, "file"), nil)
	run := stock(t, shellWork{Start: start}, "rsync", start+"/file", "host:file/x/").ended(t, false)
	if len(run.ops) == 0 || run.ops[0].Name != "upload" || !strings.Contains(run.ops[0].Result, "Not a directory") {
		t.Errorf("%v\n%s", run.told(), run.output)
	}
}

func TestRsyncInterrupted(t *testing.T) {
	realPrograms(t)
	start := t.TempDir()
	layFile(t, filepath.Join(start, "from", "big"), scpBytes(8, 4<<20))
	for _, c := range []struct {
		name string
		args []string
	}{{"download from/big", []string{"-r", "host:from/", start + "/x/"}}, {"upload to/big", []string{"-r", start + "/from/", "host:to/"}}} {
		run := stock(t, shellWork{Start: start, Cut: 2 << 20}, "rsync", c.args...).ended(t, false)
		last := run.ops[len(run.ops)-1]
		if last.Name+" "+last.Path != c.name || last.Result != "unfinished" || last.Bytes < 1<<20 || last.Bytes > 4<<20 || last.SHA256 != "" {
			t.Errorf("%+v", run.ops)
		}
	}
}

// Thousands of files in folders inside one another, with lists for each folder and with one list.
func TestRsyncMany(t *testing.T) {
	realPrograms(t)
	start := t.TempDir()
	count := 0
	for a := range 12 {
		for b := range 10 {
			for c := range 42 {
				layFile(t, filepath.Join(start, "from", fmt.Sprintf("d%d", a), strings.Repeat("x", b%5)+fmt.Sprintf("-%d", b), fmt.Sprintf("%d.txt", c)), scpBytes(uint64(c), c))
				count++
			}
		}
	}
	for _, wire := range [][]string{{}, {"--no-i-r", "-H"}, {"--protocol=29", "-z"}} {
		t.Run(strings.Join(wire, " "), func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "to")
			args := append([]string{"-ai"}, wire...)
			run := stock(t, shellWork{Start: start}, "rsync", append(args, "host:from/", to)...).ok(t)
			if n := len(run.ops); n != count+1 {
				t.Fatalf("%d operations for %d files", n, count)
			}
			want := slices.DeleteFunc(itemized(run.output), func(line string) bool { return !strings.HasPrefix(line, "download") })
			if diff := cmp.Diff(append(want, "list ."), run.asItems("from")); diff != "" {
				t.Error(diff)
			}
			if n := run.hashes(t, to, "from"); n != count && !slices.Contains(wire, "-z") {
				t.Errorf("%d hashes", n)
			}
			back := filepath.Join(t.TempDir(), "back")
			run = stock(t, shellWork{Start: start}, "rsync", append(args, to+"/", "host:"+back)...).ok(t)
			if diff := cmp.Diff(itemized(run.output), run.asItems(back)); diff != "" {
				t.Error(diff)
			}
			sameFiles(t, to, back)
		})
	}
}

func TestRsyncRemovesSources(t *testing.T) {
	realPrograms(t)
	start := t.TempDir()
	layFile(t, filepath.Join(start, "from", "f"), []byte("x"))
	run := stock(t, shellWork{Start: start}, "rsync", "-r", "--remove-source-files", "host:from/", start+"/x/").ok(t)
	if diff := cmp.Diff([]string{"list from/ 0 ok", "download from/f 1 ok", "remove from/f 0 asked"}, run.told()); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join(start, "from", "f")); err == nil {
		t.Error("it is there")
	}
	run = stock(t, shellWork{Start: start}, "rsync", "-r", "--remove-source-files", start+"/x/", "host:from/").ok(t)
	if diff := cmp.Diff([]string{"upload from/f 1 ok"}, run.told()); diff != "" {
		t.Error(diff)
	}
}

func TestRsyncLarge(t *testing.T) {
	realPrograms(t)
	start := t.TempDir()
	data := scpBytes(9, 100<<20)
	layFile(t, filepath.Join(start, "big"), data)
	if op := stock(t, shellWork{Start: start}, "rsync", "host:big", start+"/copy").ok(t).find(t, "download", "big"); op.SHA256 != sha(data) {
		t.Errorf("%+v", op)
	}
	sameFiles(t, start+"/big", start+"/copy")
	if op := stock(t, shellWork{Start: start}, "rsync", start+"/big", "host:up").ok(t).find(t, "upload", "up"); op.SHA256 != sha(data) {
		t.Errorf("%+v", op)
	}
	sameFiles(t, start+"/big", start+"/up")
}
