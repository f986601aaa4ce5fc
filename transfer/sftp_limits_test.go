package transfer_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
)

func limited(limits ...sekisho.FileLimit) []sekisho.FileLimit { return limits }

// mallory's house: what is in data may be touched, nothing else.
func house(t *testing.T) string {
	return tree(t, map[string]string{
		"data/f": "f", "data/sub/g": "g", "data/deep/er/h": "h",
		"data/in": "->sub", "data/inf": "->sub/g", "data/loop": "->loop",
		"data/out": "->../secret", "data/outf": "->../secret/key", "data/back": "->sub/../../secret",
		"data/dangling": "->../secret/new", "data/dangling2": "->../secret/no/new", "data/absent": "->sub/absent",
		"data2/f": "2", "secret/key": "key", "secret/dir/": "", "alias": "->data", "tmp/": "",
	})
}

// Every path is held to the prefix where it leads to, not where it seems to; what is refused does not reach the target.
func TestSFTPPrefix(t *testing.T) {
	const ok, no, missing = sOK, sDenied, sMissing
	for _, c := range []struct {
		path string
		// read: OPEN, STAT, OPENDIR and what else follows links; look: LSTAT and READLINK; make: OPEN that creates; change: SETSTAT
		read, look, make int
	}{
		{"data/f", ok, ok, ok},
		{"data", ok, ok, sFailure},
		{"data/", ok, ok, sFailure},
		{"data/.", ok, ok, sFailure},
		{"./data/sub/../f", ok, ok, ok},
		{"data/new", missing, missing, ok},
		{"data/sub/new", missing, missing, ok},
		{"data/no/new", missing, missing, missing},
		{"data/no/no/new", missing, missing, missing},
		{"data/f/x", missing, missing, missing},
		{"data/in/g", ok, ok, ok},
		{"data/in/../f", ok, ok, ok},
		{"data/inf", ok, ok, ok},
		{"data/absent", missing, ok, ok},
		{"alias/f", ok, ok, ok},
		{"secret/../data/f", ok, ok, ok},
		{"data/loop", no, ok, no},
		{"data/out", no, ok, no},
		{"data/out/", no, ok, no},
		{"data/out/.", no, no, no},
		{"data/out/key", no, no, no},
		{"data/out/new", no, no, no},
		{"data/out/no/new", no, no, no},
		{"data/out/../data/f", ok, ok, ok},
		{"data/out/../secret/key", no, no, no},
		{"data/outf", no, ok, no},
		{"data/back/key", no, no, no},
		{"data/sub/../out/key", no, no, no},
		{"data/dangling", no, ok, no},
		{"data/dangling2", no, ok, no},
		{"data/..", no, no, no},
		{"data/../secret/key", no, no, no},
		{"data/sub/../../secret/key", no, no, no},
		{"data/no/../../secret/key", no, no, no},
		{"data2/f", no, no, no},
		{"data2", no, no, no},
		{"dat", no, no, no},
		{"secret/key", no, no, no},
		{"secret/no/key", no, no, no},
		{"alias", ok, no, sFailure},
		{"alias/../secret/key", no, no, no},
		{"", no, no, no},
		{".", no, no, no},
		{"..", no, no, no},
		{"/", no, no, no},
		{"/etc/passwd", no, no, no},
		{"//etc//passwd", no, no, no},
		{strings.Repeat("data/../", 600), no, no, no},
	} {
		for prefix, absolute := range map[string]bool{"data": false, "alias": true, "data/sub/../": false} {
			root := house(t)
			path := c.path
			if absolute && !strings.HasPrefix(path, "/") {
				path = root + "/" + path
			}
			d := newDialogue(t, root, limited(sekisho.FileLimit{Paths: []string{root + "/" + prefix}}))
			outside := picture(t, root+"/secret")
			check := func(what string, want int, kind byte, fields ...any) {
				t.Helper()
				got := d.code(kind, fields...)
				if want == sOK && got != sDenied {
					got = sOK // it reached the target, which does not do that to a file, or a folder
				}
				if got != want {
					t.Errorf("%s %q under %s: code %d, not %d", what, path, prefix, got, want)
				}
			}
			check("stat", c.read, pStat, path)
			check("open", c.read, pOpen, path, oRead, noAttrs)
			check("list", c.read, pOpendir, path)
			check("statvfs", c.read, pExtended, "statvfs@openssh.com", path)
			check("setstat", c.read, pSetstat, path, mode(0o644))
			check("lstat", c.look, pLstat, path)
			check("readlink", c.look, pReadlink, path)
			if c.make == no {
				check("write", no, pOpen, path, oWrite, noAttrs)
				check("realpath", map[bool]int{true: sOK, false: no}[path == "" || path == "."], pRealpath, path)
				check("expand", map[bool]int{true: sOK, false: no}[path == "" || path == "."], pExtended, "expand-path@openssh.com", path)
			}
			check("make", c.make, pOpen, path, oWrite|oCreate, noAttrs)
			if diff := cmp.Diff(outside, picture(t, root+"/secret")); diff != "" {
				t.Errorf("%q touched what is outside:\n%s", path, diff)
			}
		}
	}
}

// A refusal says that it is ours and which limit it is, in its STATUS and in what is told.
func TestSFTPSaysWhy(t *testing.T) {
	root := house(t)
	data, tmp := root+"/data", root+"/tmp"
	const readOnly, noRemove = "by policy, files are read-only here", "by policy, nothing is removed, renamed or cut short here"
	var many []string
	for i := range 9 {
		many = append(many, fmt.Sprintf("/m%d", i))
	}
	for _, c := range []struct {
		limits []sekisho.FileLimit
		kind   byte
		fields []any
		want   string
	}{
		{nil, pStat, []any{"data/f"}, "no policy gives you files here"},
		{limited(sekisho.FileLimit{ReadOnly: true}), pRemove, []any{"data/f"}, readOnly},
		{limited(sekisho.FileLimit{ReadOnly: true}), pOpen, []any{"data/f", oWrite, noAttrs}, readOnly},
		{limited(sekisho.FileLimit{NoRemove: true}), pRemove, []any{"data/f"}, noRemove},
		{limited(sekisho.FileLimit{NoRemove: true}), pOpen, []any{"data/f", oWrite | oTrunc, noAttrs}, noRemove},
		{limited(sekisho.FileLimit{Paths: []string{data}}), pStat, []any{"secret/key"}, "by policy, only what is in " + data + " may be touched"},
		{limited(sekisho.FileLimit{Paths: []string{tmp, data}}), pStat, []any{"data/../secret/no"}, "by policy, only what is in " + data + " and " + tmp + " may be touched"},
		{limited(sekisho.FileLimit{Paths: many}), pStat, []any{"data/f"}, "by policy, only what is in /m0, /m1, /m2 and 6 more may be touched"},
		{limited(sekisho.FileLimit{Paths: []string{data}, ReadOnly: true}), pMkdir, []any{"secret/d", noAttrs}, readOnly},
		{limited(sekisho.FileLimit{Paths: []string{data}, ReadOnly: true}, sekisho.FileLimit{Paths: []string{tmp}}), pMkdir, []any{"data/d", noAttrs}, readOnly},
		{limited(sekisho.FileLimit{Paths: []string{data}, NoRemove: true}, sekisho.FileLimit{Paths: []string{tmp}}), pRemove, []any{"data/f"}, noRemove},
		{limited(sekisho.FileLimit{Paths: []string{data}}, sekisho.FileLimit{Paths: []string{tmp}}), pRename, []any{"data/f", "tmp/f"}, "by policy, this is not done from one of these places to the other"},
	} {
		d := newDialogue(t, root, c.limits)
		_, code, packet := d.ask(c.kind, c.fields...)
		if code != sDenied || !strings.Contains(string(packet), "refused by Sekisho: "+c.want) {
			t.Errorf("%v: code %d, %q, not %q", c.fields, code, packet, c.want)
		}
		if len(d.told) != 1 || d.told[0].Why != c.want {
			t.Errorf("%v: told %+v, not %q", c.fields, d.told, c.want)
		}
	}
}

// What makes and takes away names needs both ends inside, whatever their last element is a link to.
func TestSFTPNames(t *testing.T) {
	const ok, no = sOK, sDenied
	for _, c := range []struct {
		kind   any // a type or an extension's name
		fields []any
		want   int
	}{
		{pRemove, []any{"data/f"}, ok},
		{pRemove, []any{"data/out"}, ok}, // the link, not what it points to
		{pRemove, []any{"data/outf"}, ok},
		{pRemove, []any{"data/out/key"}, no},
		{pRemove, []any{"data/../secret/key"}, no},
		{pRemove, []any{"data/in/g"}, ok},
		{pRmdir, []any{"secret/dir"}, no},
		{pRmdir, []any{"data/out/dir"}, no},
		{pRmdir, []any{"data/out/dir/"}, no},
		{pRmdir, []any{"data"}, no}, // it would take the prefix itself away
		{pRmdir, []any{"data/sub/.."}, no},
		{pMkdir, []any{"data/new", noAttrs}, ok},
		{pMkdir, []any{"data/new/", noAttrs}, ok},
		{pMkdir, []any{"data/no/new", noAttrs}, sMissing},
		{pMkdir, []any{"data/out/new", noAttrs}, no},
		{pMkdir, []any{"data/dangling/", noAttrs}, sFailure},
		{pMkdir, []any{"new", noAttrs}, no},
		{pMkdir, []any{"data3", noAttrs}, no},
		{pRename, []any{"data/f", "data/sub/f"}, ok},
		{pRename, []any{"data/f", "secret/f"}, no},
		{pRename, []any{"secret/key", "data/key"}, no},
		{pRename, []any{"data/out/key", "data/key"}, no},
		{pRename, []any{"data/f", "data/out/f"}, no},
		{pRename, []any{"data", "data/x"}, no},
		{pRename, []any{"secret", "data/x"}, no},
		{"posix-rename@openssh.com", []any{"data/f", "data/sub/g"}, ok},
		{"posix-rename@openssh.com", []any{"data/f", "data/outf"}, ok}, // takes the link's place
		{"posix-rename@openssh.com", []any{"data/f", "secret/key"}, no},
		{"posix-rename@openssh.com", []any{"secret/key", "data/f"}, no},
		{"hardlink@openssh.com", []any{"data/f", "data/ff"}, ok},
		{"hardlink@openssh.com", []any{"secret/key", "data/key"}, no},
		{"hardlink@openssh.com", []any{"data/outf", "data/key"}, no},
		{"hardlink@openssh.com", []any{"data/f", "secret/f"}, no},
		{pSymlink, []any{"f", "data/l"}, ok},
		{pSymlink, []any{"sub", "data/l"}, ok},
		{pSymlink, []any{"not/there/yet", "data/l"}, ok},
		{pSymlink, []any{"/etc/passwd", "data/l"}, no},
		{pSymlink, []any{"/", "data/l"}, no},
		{pSymlink, []any{"out/key", "data/l"}, no},
		{pSymlink, []any{"outf", "data/l"}, no},
		{pSymlink, []any{"../secret", "data/l"}, no},
		{pSymlink, []any{"sub/../../secret", "data/l"}, no},
		{pSymlink, []any{"../f", "data/sub/l"}, no}, // it leads out once it is moved up
		{pSymlink, []any{"sub/../f", "data/l"}, no},
		{pSymlink, []any{"f", "secret/l"}, no},
		{pSymlink, []any{"f", "data/out/l"}, no},
		{"lsetstat@openssh.com", []any{"data/outf", noAttrs}, ok},
		{"lsetstat@openssh.com", []any{"secret/key", noAttrs}, no},
		{"home-directory", []any{""}, sFailure}, // OpenSSH 9.2 does not know its own user by no name
		{"home-directory", []any{"root"}, no},
		{"expand-path@openssh.com", []any{"~"}, ok},
		{"expand-path@openssh.com", []any{"~/data/f"}, ok},
		{"expand-path@openssh.com", []any{"~/secret/key"}, no},
		{"expand-path@openssh.com", []any{"~root"}, no},
		{"limits@openssh.com", nil, ok},
		{"users-groups-by-id@openssh.com", []any{"\x00\x00\x00\x00", ""}, ok},
		{"frobnicate@example.com", []any{"data/f"}, sUnsupported},
		{pRealpath, []any{"."}, ok},
		{pRealpath, []any{".."}, no},
		{pRealpath, []any{"data/x"}, ok},
	} {
		root := house(t)
		d := newDialogue(t, root, limited(sekisho.FileLimit{Paths: []string{root + "/data"}}))
		before := picture(t, root)
		kind, fields := byte(pExtended), c.fields
		switch k := c.kind.(type) {
		case int:
			kind = byte(k)
		case string:
			fields = append([]any{k}, c.fields...)
		}
		asked := d.reached(kind)
		if got := d.code(kind, fields...); got != c.want && !(got == sUnsupported && c.want == ok) {
			t.Errorf("%v %q: code %d, not %d", c.kind, c.fields, got, c.want)
		}
		if c.want != ok && c.want != sFailure && c.want != sMissing && kind != pRealpath && c.kind != "expand-path@openssh.com" {
			if d.reached(kind) != asked {
				t.Errorf("%v %q reached the target", c.kind, c.fields)
			}
			if diff := cmp.Diff(before, picture(t, root)); diff != "" {
				t.Errorf("%v %q did something:\n%s", c.kind, c.fields, diff)
			}
		}
		if refused := len(d.told) > 0 && d.told[len(d.told)-1].Result == "refused"; refused != (c.want == no || c.want == sUnsupported) {
			t.Errorf("%v %q: told %v", c.kind, c.fields, d.told)
		}
	}
}

// changing is every request that changes something, on paths below /data; the second says whether it takes away.
var changing = map[string]struct {
	kind    byte
	fields  []any
	removes bool
}{
	"open to write":      {pOpen, []any{"f", oWrite, noAttrs}, false},
	"open to read+write": {pOpen, []any{"f", oRead | oWrite, noAttrs}, false},
	"open to append":     {pOpen, []any{"f", oWrite | oAppend, noAttrs}, false},
	"open to create":     {pOpen, []any{"new", oRead | oCreate, noAttrs}, false},
	"open to cut":        {pOpen, []any{"f", oRead | oTrunc, noAttrs}, true},
	"open to put":        {pOpen, []any{"f", oWrite | oCreate | oTrunc, noAttrs}, true},
	"open excl, no make": {pOpen, []any{"f", oWrite | oTrunc | oExcl, noAttrs}, true},
	"put of a new file":  {pOpen, []any{"new", oWrite | oCreate | oTrunc, noAttrs}, false},
	"put over an empty":  {pOpen, []any{"empty", oWrite | oCreate | oTrunc, noAttrs}, false},
	"setstat":            {pSetstat, []any{"f", raw{0, 0, 0, 0}}, false},
	"cut":                {pSetstat, []any{"f", sized(0)}, true},
	"mkdir":              {pMkdir, []any{"d", noAttrs}, false},
	"remove":             {pRemove, []any{"f"}, true},
	"rmdir":              {pRmdir, []any{"sub"}, true},
	"rename":             {pRename, []any{"f", "g"}, true},
	"posix-rename":       {pExtended, []any{"posix-rename@openssh.com", "f", "g"}, true},
	"hardlink":           {pExtended, []any{"hardlink@openssh.com", "f", "g"}, false},
	"lsetstat":           {pExtended, []any{"lsetstat@openssh.com", "f", noAttrs}, false},
	"symlink":            {pSymlink, []any{"f", "g"}, false},
}

// Of limits one must allow a request: read-only nothing that changes, no-remove nothing that takes away.
func TestSFTPActs(t *testing.T) {
	for name, c := range changing {
		for limit, want := range map[string]func(root string) ([]sekisho.FileLimit, bool){
			"everything": func(string) ([]sekisho.FileLimit, bool) { return everything, true },
			"nothing":    func(string) ([]sekisho.FileLimit, bool) { return nil, false },
			"read-only":  func(string) ([]sekisho.FileLimit, bool) { return limited(sekisho.FileLimit{ReadOnly: true}), false },
			"no-remove": func(string) ([]sekisho.FileLimit, bool) {
				return limited(sekisho.FileLimit{NoRemove: true}), !c.removes
			},
			"read-only and everything": func(string) ([]sekisho.FileLimit, bool) {
				return append(limited(sekisho.FileLimit{ReadOnly: true}), everything...), true
			},
			"read-only and a place": func(root string) ([]sekisho.FileLimit, bool) {
				return limited(sekisho.FileLimit{ReadOnly: true}, sekisho.FileLimit{Paths: []string{root}}), true
			},
			"no-remove in a place": func(root string) ([]sekisho.FileLimit, bool) {
				return limited(sekisho.FileLimit{NoRemove: true, Paths: []string{root}}), !c.removes
			},
			"no-remove, and all in a place": func(root string) ([]sekisho.FileLimit, bool) {
				return limited(sekisho.FileLimit{NoRemove: true}, sekisho.FileLimit{Paths: []string{root}}), true
			},
			"no-remove, and all in another place": func(root string) ([]sekisho.FileLimit, bool) {
				return limited(sekisho.FileLimit{NoRemove: true}, sekisho.FileLimit{Paths: []string{"/nowhere"}}), !c.removes
			},
			"read-only, and no-remove in another place": func(root string) ([]sekisho.FileLimit, bool) {
				return limited(sekisho.FileLimit{ReadOnly: true}, sekisho.FileLimit{NoRemove: true, Paths: []string{root + "/sub"}}), false
			},
		} {
			t.Run(name+" under "+limit, func(t *testing.T) {
				root := tree(t, map[string]string{"f": "text", "empty": "", "sub/": ""})
				limits, allowed := want(root)
				d := newDialogue(t, root, limits)
				before := picture(t, root)
				code := d.code(c.kind, c.fields...)
				if (code != sDenied) != allowed {
					t.Errorf("code %d", code)
				}
				if diff := cmp.Diff(before, picture(t, root)); !allowed && diff != "" {
					t.Errorf("something was done:\n%s", diff)
				}
				if !allowed && (len(d.told) != 1 || d.told[0].Result != "refused") {
					t.Errorf("told %v", d.told)
				}
			})
		}
	}
}

// Handles carry what they were opened for.
func TestSFTPHandles(t *testing.T) {
	root := tree(t, map[string]string{"f": "text", "data/g": "text", "sub/": ""})
	d := newDialogue(t, root, limited(sekisho.FileLimit{ReadOnly: true}, sekisho.FileLimit{NoRemove: true, Paths: []string{root + "/data"}}))
	read, _ := d.open("f", oRead)
	write, _ := d.open("data/g", oWrite)
	fresh, _ := d.open("data/new", oWrite|oCreate|oTrunc)
	if read == "" || write == "" || fresh == "" {
		t.Fatal("not opened")
	}
	for i, c := range []struct {
		want   int
		kind   byte
		fields []any
	}{
		{sDenied, pWrite, []any{read, u64(0), big}},
		{sDenied, pWrite, []any{read, u64(0), big}},
		{sOK, pWrite, []any{write, u64(0), "TE"}},
		{sOK, pWrite, []any{fresh, u64(0), big}},
		{sDenied, pFsetstat, []any{read, mode(0o600)}},
		{sDenied, pFsetstat, []any{read, noAttrs}},
		{sOK, pFsetstat, []any{write, noAttrs}},
		{sDenied, pFsetstat, []any{write, sized(9)}},
		{sDenied, pExtended, []any{"copy-data", write, u64(0), u64(0), read, u64(0)}},
		{sOK, pFstat, []any{read}},
		{sOK, pExtended, []any{"fsync@openssh.com", write}},
		{sOK, pClose, []any{read}},
		{sOK, pClose, []any{write}},
		{sOK, pClose, []any{fresh}},
	} {
		if code := d.code(c.kind, c.fields...); code != c.want {
			t.Errorf("%d: code %d, not %d", i, code, c.want)
		}
	}
	want := map[string]string{".": "x", "f": "text", "data/g": "TExt", "data/new": big}
	for path, text := range picture(t, root) {
		if _, text, _ := strings.Cut(text, " "); want[path] != "" && path != "." && text != want[path] {
			t.Errorf("%s holds %.20q", path, text)
		}
	}
	var told []string
	for _, op := range d.told {
		told = append(told, fmt.Sprint(op.Name, " ", strings.TrimPrefix(op.Path, root+"/"), " ", op.Result))
	}
	if diff := cmp.Diff([]string{"write f refused", "setstat f refused", "setstat f refused", "setstat data/g ok", "setstat data/g refused",
		"copy data/g refused", "open f ok", "write data/g ok", "upload data/new ok"}, told); diff != "" {
		t.Error(diff)
	}
}

// A file that grows between the question and the OPEN is not cut: the flag is gone.
func TestSFTPNoCutFlag(t *testing.T) {
	root := tree(t, map[string]string{"empty": ""})
	d := newDialogue(t, root, limited(sekisho.FileLimit{NoRemove: true}))
	if handle, code := d.open("empty", oWrite|oCreate|oTrunc); handle == "" {
		t.Fatalf("code %d", code)
	}
	all, _ := packets(d.toTarget.Bytes(), false)
	last := all[len(all)-1]
	if last[4] != pOpen || last[len(last)-5] != oWrite|oCreate {
		t.Errorf("the target was asked %q", last)
	}
}

// A handle's size may be given where nothing may be removed if it is the one that the file has; the target is not asked for it.
func TestSFTPSizeThatIs(t *testing.T) {
	root := tree(t, map[string]string{"long": "what was there", "short": "a"})
	d := newDialogue(t, root, limited(sekisho.FileLimit{NoRemove: true}))
	open := func(path string, flags int) string {
		handle, code := d.open(path, flags)
		if handle == "" {
			t.Fatalf("%s: code %d", path, code)
		}
		return handle
	}
	fresh, short, long := open("new", oWrite|oCreate), open("short", oWrite|oCreate), open("long", oWrite|oCreate)
	reader, appender := open("short", oRead), open("long", oWrite|oAppend)
	for i, c := range []struct {
		want   int
		kind   byte
		fields []any
	}{
		{sOK, pWrite, []any{fresh, u64(0), "fresh"}},
		{sDenied, pFsetstat, []any{fresh, sized(4)}},
		{sDenied, pFsetstat, []any{fresh, sized(6)}},
		{sDenied, pFsetstat, []any{fresh, moded(5, 0o600)}},
		{sDenied, pSetstat, []any{"new", sized(5)}},
		{sOK, pFsetstat, []any{fresh, sized(5)}},
		{sOK, pClose, []any{fresh}},
		{sOK, pWrite, []any{short, u64(0), "longer"}},
		{sOK, pFsetstat, []any{short, sized(6)}},
		{sDenied, pFsetstat, []any{reader, sized(6)}},
		{sOK, pClose, []any{short}},
		{sOK, pWrite, []any{long, u64(0), "WHAT"}},
		{sDenied, pFsetstat, []any{long, sized(4)}},
		{sDenied, pFsetstat, []any{long, sized(0)}},
		{sOK, pFsetstat, []any{long, sized(14)}},
		{sDenied, pFsetstat, []any{appender, sized(0)}},
		{sOK, pClose, []any{long}},
	} {
		if code := d.code(c.kind, c.fields...); code != c.want {
			t.Errorf("%d: code %d, not %d", i, code, c.want)
		}
	}
	var told []string
	for _, op := range d.told {
		if op.Name != "setstat" {
			told = append(told, fmt.Sprint(op.Name, " ", op.Path, " ", op.SHA256))
		}
	}
	if diff := cmp.Diff([]string{"upload new " + hash("fresh"), "upload short " + hash("longer"), "write long "}, told); diff != "" {
		t.Error(diff)
	}
	if b, _ := os.ReadFile(root + "/long"); string(b) != "WHAT was there" {
		t.Errorf("long holds %q", b)
	}
	all, _ := packets(d.toTarget.Bytes(), false)
	for _, p := range all {
		if p[4] == pFsetstat {
			t.Errorf("the target was asked %q", p)
		}
	}
}
