package transfer_test

import (
	"encoding/binary"
	"os"
	pathpkg "path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// grove lays a tree of files in folders, of sizes from nothing on, with links of both kinds.
func grove(t *testing.T, dir string) {
	t.Helper()
	for i, name := range []string{"a", "b/c", "b/d/e", "b-x", "b.y/z", "zz/größe 見本", "zz/two words", "zz/it's", "empty", "sub/sub/sub/deep", "B/c"} {
		layFile(t, filepath.Join(dir, name), scpBytes(uint64(i), i*i*1500))
	}
	os.MkdirAll(filepath.Join(dir, "nothing", "inside"), 0o750)
	os.Symlink("../b/c", filepath.Join(dir, "zz", "link"))
	os.Link(filepath.Join(dir, "b", "c"), filepath.Join(dir, "b", "hard"))
	os.Link(filepath.Join(dir, "b", "c"), filepath.Join(dir, "sub", "harder"))
	attributes(t, dir)
	for name, kind := range map[string]uint32{"zero": syscall.S_IFCHR, "ram": syscall.S_IFBLK, "b/null": syscall.S_IFCHR} {
		if err := syscall.Mknod(filepath.Join(dir, name), kind|0o600, 1<<8|len(name)); err != nil {
			t.Log(err) // for root only
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// attributes gives files extended attributes and access control lists, where the file system takes any.
func attributes(t *testing.T, dir string) {
	t.Helper()
	var list []byte
	for _, e := range [][3]uint32{{1, 6, 1<<32 - 1}, {2, 7, 0}, {2, 5, 1234}, {4, 4, 1<<32 - 1}, {8, 5, 0}, {16, 7, 1<<32 - 1}, {32, 4, 1<<32 - 1}} {
		list = binary.LittleEndian.AppendUint16(list, uint16(e[0]))
		list = binary.LittleEndian.AppendUint16(list, uint16(e[1]))
		list = binary.LittleEndian.AppendUint32(list, e[2])
	}
	list = append([]byte{2, 0, 0, 0}, list...)
	for name, values := range map[string]map[string]string{
		"a":     {"user.short": "x", "user.long": strings.Repeat("long ", 100), "system.posix_acl_access": string(list)},
		"b/d/e": {"user.short": "x", "user.long": strings.Repeat("Long ", 500)},
		"b-x":   {"user.short": "x"},
		"b":     {"system.posix_acl_access": string(list), "system.posix_acl_default": string(list)},
		"zz":    {"user.folder": "x", "system.posix_acl_default": string(list)},
	} {
		for attribute, value := range values {
			if err := syscall.Setxattr(filepath.Join(dir, name), attribute, []byte(value), 0); err != nil {
				t.Log(err)
			}
		}
	}
}

// itemized gives what rsync says it did (--itemize-changes): what was told, in rsync's words.
func itemized(output string) (lines []string) {
	for _, line := range strings.Split(output, "\n") {
		if len(line) < 13 || line[11] != ' ' || strings.HasPrefix(line, "created ") {
			continue
		}
		if strings.HasPrefix(line, "*deleting ") {
			lines = append(lines, "remove "+strings.TrimSuffix(strings.TrimSpace(line[10:]), "/"))
			continue
		}
		if w := itemWord(line[:11]); w != "" {
			name, _, _ := strings.Cut(line[12:], " -> ")
			name, _, _ = strings.Cut(name, " => ")
			lines = append(lines, w+" "+strings.TrimSuffix(strings.TrimSuffix(name, "/."), "/"))
		}
	}
	return sorted(lines)
}

func itemWord(item string) string {
	switch {
	case item[0] == '<':
		return "upload"
	case item[0] == '>':
		return "download"
	case item[:2] == "cd":
		return "mkdir"
	case item[:2] == "cL":
		return "symlink"
	case item[:2] == "hf":
		return "link"
	case item[0] == 'c' && (item[1] == 'S' || item[1] == 'D'):
		return "mknod"
	case item[0] == '.' && strings.Trim(item[2:], ". ") != "":
		return "setstat"
	}
	return ""
}

// asItems gives what was told in the same form.
func (r shellRun) asItems(root string) (lines []string) {
	for _, op := range r.ops {
		name, path := op.Name, op.Path
		if op.Name == "rmdir" {
			name = "remove"
		}
		if op.Name == "symlink" || op.Name == "link" {
			path = op.To
		}
		if op.Result != "ok" {
			name += " (" + op.Result + ")"
		}
		lines = append(lines, name+" "+pathpkg.Clean(strings.Trim(strings.TrimPrefix(path, root), "/")))
	}
	return sorted(lines)
}

// hashes wants each file that was moved whole to have its hash, and says how many did.
func (r shellRun) hashes(t *testing.T, dir, root string) (n int) {
	t.Helper()
	for _, op := range r.ops {
		if op.SHA256 == "" {
			continue
		}
		n++
		data, err := os.ReadFile(filepath.Join(dir, strings.TrimPrefix(op.Path, root)))
		if err != nil || sha(data) != op.SHA256 || op.Bytes != int64(len(data)) {
			t.Errorf("%+v: %v", op, err)
		}
	}
	return n
}

// wires are ways to speak.
var wires = [][]string{{}, {"--protocol=27"}, {"--protocol=28"}, {"--protocol=29"}, {"--protocol=30"}, {"--protocol=31"}, {"--no-i-r"}, {"-z"}, {"--zc=zlib"},
	{"--zc=zlibx"}, {"--zc=lz4"}, {"-z", "--protocol=30"}, {"-s"}, {"-c"}, {"-c", "--cc=xxh3,sha1"}, {"--cc=none"}, {"-H"}, {"-H", "--protocol=29"},
	{"-H", "--no-i-r"}, {"-H", "--protocol=30"}, {"-A"}, {"-X"}, {"-AXU"}, {"-AX", "--protocol=30"}, {"--numeric-ids"}, {"--numeric-ids", "--no-i-r"},
	{"--inplace"}, {"-W"}, {"--msgs2stderr"}, {"-vvv"}, {"--progress", "--stats"}, {"--no-D"}, {"--no-D", "--devices"}, {"--iconv=utf-8,utf-8"},
	{"--timeout=30", "--bwlimit=100m"}, {"--no-o", "--no-g"}, {"-R"}, {"--delay-updates"}, {"--protocol=29", "--no-o", "-c"}, {"--block-size=900", "--zl=0", "-z"}}

func TestRsyncUpload(t *testing.T) {
	realPrograms(t)
	from := t.TempDir()
	grove(t, from)
	for _, wire := range wires {
		t.Run(strings.Join(wire, " "), func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "to")
			args := append([]string{"-ai"}, wire...)
			run := stock(t, shellWork{}, "rsync", append(args, from+"/./", "host:"+to+"/")...).ok(t)
			sameFiles(t, from, to)
			want := itemized(run.output)
			if len(want) < 13 || len(want) < 20 && !old(wire) {
				t.Fatal(run.output)
			}
			if diff := cmp.Diff(want, run.asItems(to)); diff != "" && !old(wire) {
				t.Errorf("%s\n%s", diff, run.output)
			}
			if n := run.hashes(t, to, to); n < 11 && !slices.ContainsFunc(wire, func(s string) bool { return strings.HasPrefix(s, "-z") || strings.HasPrefix(s, "--z") }) {
				t.Errorf("%d hashes: %s", n, run.told())
			}
		})
	}
}

// old says that items cross the wire for files only.
func old(wire []string) bool {
	return slices.Contains(wire, "--protocol=27") || slices.Contains(wire, "--protocol=28")
}

func TestRsyncDownload(t *testing.T) {
	realPrograms(t)
	from := t.TempDir()
	grove(t, filepath.Join(from, "src"))
	for _, wire := range wires {
		t.Run(strings.Join(wire, " "), func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "to")
			args := append([]string{"-ai"}, wire...)
			run := stock(t, shellWork{}, "rsync", append(args, "host:"+from+"/src/./", to+"/")...).ok(t)
			sameFiles(t, filepath.Join(from, "src"), to)
			want := slices.DeleteFunc(itemized(run.output), func(line string) bool { return !strings.HasPrefix(line, "download") })
			want = append(want, "list .")
			if len(want) < 11 {
				t.Fatal(run.output)
			}
			if diff := cmp.Diff(want, run.asItems(from+"/src")); diff != "" {
				t.Errorf("%s\n%s", diff, run.output)
			}
			if n := run.hashes(t, to, from+"/src/"); n < 11 && !slices.ContainsFunc(wire, func(s string) bool { return strings.HasPrefix(s, "-z") || strings.HasPrefix(s, "--z") }) {
				t.Errorf("%d hashes: %s", n, run.told())
			}
			if run.sizes.Told != 0 {
				t.Errorf("%d bytes told", run.sizes.Told)
			}
		})
	}
}

// upload runs rsync with the target folder "to" of the start directory, and compares what it says with what was told.
func upload(t *testing.T, start string, args ...string) shellRun {
	t.Helper()
	run := stock(t, shellWork{Start: start}, "rsync", append([]string{"-i"}, args...)...).ok(t)
	if diff := cmp.Diff(itemized(run.output), run.asItems("to")); diff != "" {
		t.Errorf("%s\n%s", diff, run.output)
	}
	return run
}

// change changes one byte in the middle of a file, and its time.
func change(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		t.Fatal(err)
	}
	data[len(data)/2]++
	layFile(t, path, data)
	later(t, path)
}

func later(t *testing.T, path string) {
	t.Helper()
	when := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
}

// What is there already is brought up to date: blocks that match, times and modes, deletions, hard links.
func TestRsyncUpdate(t *testing.T) {
	realPrograms(t)
	for _, wire := range wires {
		if old(wire) || slices.Contains(wire, "-c") || slices.Contains(wire, "-R") {
			continue
		}
		t.Run(strings.Join(wire, " "), func(t *testing.T) {
			start := t.TempDir()
			from, to := filepath.Join(start, "from")+"/", filepath.Join(start, "to")
			grove(t, from)
			layFile(t, from+"large", scpBytes(99, 1<<20))
			upload(t, start, append(wire, "-a", from, "host:to/")...)
			change(t, from+"large")
			change(t, from+"b/d/e")
			later(t, from+"a")
			os.Chmod(from+"b-x", 0o600)
			os.Remove(from + "b.y/z")
			os.Remove(from + "b.y")
			os.Remove(from + "zz/link")
			os.Symlink("elsewhere", from+"zz/link")
			layFile(t, filepath.Join(to, "extra", "one"), []byte("x"))
			layFile(t, filepath.Join(to, "extra 2"), []byte("x"))
			run := upload(t, start, append(wire, "-a", "--delete", from, "host:to/")...)
			sameFiles(t, from, to+"/")
			op := run.find(t, "upload", "to/large")
			if moved := op.Bytes < 10_000; moved != !slices.Contains(wire, "-W") && !slices.Contains(wire, "--cc=none") || moved && (op.SHA256 != "" || op.Bytes == 0) {
				t.Errorf("%+v", op)
			}
			for _, path := range []string{"to/extra/one", "to/extra 2", "to/b.y/z"} {
				run.find(t, "remove", path)
			}
			run.find(t, "rmdir", "to/extra")
			run.find(t, "setstat", "to/b-x")
		})
	}
}

func TestRsyncDeletesEarlyAndLate(t *testing.T) {
	realPrograms(t)
	for _, when := range []string{"--delete-before", "--delete-during", "--delete-delay", "--delete-after", "--delete-excluded"} {
		for _, protocol := range []string{"--protocol=29", "--protocol=30", "--protocol=32"} {
			t.Run(when+protocol, func(t *testing.T) {
				start := t.TempDir()
				grove(t, filepath.Join(start, "from"))
				layFile(t, filepath.Join(start, "to", "extra", "one"), []byte("x"))
				layFile(t, filepath.Join(start, "to", "some.o"), []byte("x"))
				run := upload(t, start, "-a", when, protocol, "--exclude=*.o", filepath.Join(start, "from")+"/", "host:to")
				run.find(t, "remove", "to/extra/one")
			})
		}
	}
}

// A file that grew is told with what was added; a copy that a hard link or another folder gives, as such.
func TestRsyncOtherWays(t *testing.T) {
	realPrograms(t)
	start := t.TempDir()
	from, to := filepath.Join(start, "from")+"/", filepath.Join(start, "to")
	data := scpBytes(5, 200_000)
	layFile(t, from+"log", data)
	layFile(t, filepath.Join(to, "log"), data[:150_000])
	if op := upload(t, start, "-a", "--append", from, "host:to").find(t, "upload", "to/log"); op.Bytes != 50_000 || op.SHA256 != "" {
		t.Errorf("append: %+v", op)
	}
	layFile(t, filepath.Join(to, "log"), data[:100_000])
	if op := upload(t, start, "-a", "--append-verify", from, "host:to").find(t, "upload", "to/log"); op.Bytes != 100_000 || op.SHA256 != "" {
		t.Errorf("append-verify: %+v", op)
	}
	layFile(t, filepath.Join(to, "log"), append(scpBytes(6, 100_000), data[100_000:150_000]...))
	run := stock(t, shellWork{Start: start}, "rsync", "-ai", "--append-verify", from, "host:to").ok(t)
	if op := run.find(t, "upload", "to/log"); op.Result != "sent again" || len(run.ops) < 2 || run.ops[1].Result != "ok" {
		t.Errorf("a beginning that differs: %v", run.told())
	}
	sameFiles(t, from, to+"/")

	change(t, from+"log")
	if op := upload(t, start, "-a", "--inplace", from, "host:to").find(t, "upload", "to/log"); op.Bytes > 10_000 || op.Bytes == 0 || op.SHA256 != "" {
		t.Errorf("inplace: %+v", op)
	}
	upload(t, start, "-a", "--link-dest="+to, from, "host:linked/")
	upload(t, start, "-a", "--copy-dest="+to, from, "host:copied/")
	sameFiles(t, from, filepath.Join(start, "copied")+"/")
	os.Chmod(from+"log", 0o600)
	if run := upload(t, start, "-a", "-c", from, "host:to"); run.find(t, "setstat", "to/log").Bytes != 0 || len(run.ops) != 1 {
		t.Errorf("checksum: %v", run.told())
	}
	os.Remove(from + "log")
	os.Symlink("nowhere", from+"log")
	upload(t, start, "-a", from, "host:to").find(t, "symlink", "nowhere")
}

func TestRsyncPaths(t *testing.T) {
	realPrograms(t)
	start := t.TempDir()
	t.Chdir(start)
	for i, name := range awkward {
		layFile(t, filepath.Join(start, "dir", name), scpBytes(uint64(i), 2000+i))
	}
	layFile(t, filepath.Join(start, "dir", "a\nb"), scpBytes(77, 1000))
	layFile(t, filepath.Join(start, "one"), []byte("one"))
	layFile(t, filepath.Join(start, "other", "one"), []byte("one"))
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"host:one", "x1"}, []string{"download one 3 ok"}},
		{[]string{"host:./one", "x2"}, []string{"download one 3 ok"}},
		{[]string{"host:" + start + "/one", "x3"}, []string{"download " + start + "/one 3 ok"}},
		{[]string{"host:dir/two words", "x4"}, []string{"download dir/two words 2001 ok"}},
		{[]string{"host:dir/it's \"quoted\"", "x5"}, []string{"download dir/it's \"quoted\" 2003 ok"}},
		{[]string{`host:dir/back\slash`, "x6"}, []string{`download dir/back\\slash 2004 ok`}},
		{[]string{"-s", "host:dir/a\nb", "x7"}, []string{`download dir/a\x0ab 1000 ok`}},
		{[]string{"host:dir/-dash", "x8"}, []string{"download dir/-dash 2006 ok"}},
		{[]string{"-r", "host:other", "x9/"}, []string{"list other 0 ok", "download other/one 3 ok"}},
		{[]string{"-r", "host:other/", "x10/"}, []string{"list other/ 0 ok", "download other/one 3 ok"}},
		{[]string{"-r", "host:other/.", "x11/"}, []string{"list other/. 0 ok", "download other/one 3 ok"}},
		{[]string{"-rR", "host:other/one", "x12/"}, []string{"list other/one 0 ok", "download other/one 3 ok"}},
		{[]string{"-rR", "host:" + start + "/./other/one", "x13/"}, []string{"list " + start + "/./other/one 0 ok", "download " + start + "/other/one 3 ok"}},
		{[]string{"-rR", "host:" + start + "/other/one", "x14/"}, []string{"list " + start + "/other/one 0 ok", "download " + start + "/other/one 3 ok"}},
		{[]string{"-r", "host:one", ":other", "x15/"}, []string{"list one other 0 ok", "download one 3 ok", "download other/one 3 ok"}},
		{[]string{"host:on[e]", "x16"}, []string{"download one 3 ok"}},
		{[]string{"one", "host:new"}, []string{"upload new > new/one 3 ok"}},
		{[]string{"one", "host:"}, []string{"upload one 0 ok"}},
		{[]string{"one", "host:y1/"}, []string{"upload y1/one 3 ok"}},
		{[]string{"-r", "other", "host:y2"}, []string{"mkdir y2/other 0 ok", "upload y2/other/one 3 ok"}},
		{[]string{"-rR", "./other/one", "host:y3"}, []string{"mkdir y3 0 ok", "mkdir y3/other 0 ok", "upload y3/other/one 3 ok"}},
		{[]string{"-s", "one", "host:new 2"}, []string{"upload new 2 > new 2/one 3 ok"}},
		{[]string{"--files-from=names", "host:.", "x17/"}, []string{"list . 0 ok", "download one 3 ok", "download other/one 3 ok"}},
		{[]string{"--files-from=names", ".", "host:y4/"}, []string{"mkdir y4/other 0 ok", "upload y4/one 3 ok", "upload y4/other/one 3 ok"}},
		{[]string{"--files-from=:names", ".", "host:y5/"}, []string{"mkdir y5/other 0 ok", "upload y5/one 3 ok", "upload y5/other/one 3 ok"}},
		{[]string{"-n", "one", "host:y6/"}, nil},
		{[]string{"-n", "host:one", "x18"}, []string{"list one 0 ok"}},
		{[]string{"host:dir/"}, []string{"list dir/ 0 ok"}},
		{[]string{"--delete", "-rn", "other/", "host:dir"}, nil},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			layFile(t, filepath.Join(start, "names"), []byte("one\nother/one\n"))
			run := stock(t, shellWork{Start: start}, "rsync", append([]string{"-I"}, c.args...)...).ok(t)
			if diff := cmp.Diff(sorted(c.want), sorted(run.told())); diff != "" {
				t.Errorf("%s\n%v\n%s", diff, run.commands, run.output)
			}
		})
	}
	run := stock(t, shellWork{Start: start}, "rsync", "-r", "host:dir/", "all/").ok(t)
	sameFiles(t, filepath.Join(start, "dir"), filepath.Join(start, "all"))
	for i, name := range awkward {
		if op := run.find(t, "download", "dir/"+toldName(name)); op.SHA256 != sha(scpBytes(uint64(i), 2000+i)) {
			t.Errorf("%+v", op)
		}
	}
}
