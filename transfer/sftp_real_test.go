package transfer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/transfer"
)

// The stock client starts this test binary in place of a server; it starts the stock server, with a watcher between.
const (
	middleEnv  = "TEST_SFTP_MIDDLE" // JSON of middleWork
	sftpServer = "/usr/lib/openssh/sftp-server"
)

type middleWork struct {
	Limits []sekisho.FileLimit
	Told   string // file for the operations, a JSON line each
	Start  string // the start directory
	Server []string
	Talk   string // file for the conversation, if not empty
}

func init() {
	if text := os.Getenv(middleEnv); text != "" {
		var work middleWork
		if err := json.Unmarshal([]byte(text), &work); err != nil {
			panic(err)
		}
		if err := middle(work); err != nil {
			os.Exit(errorln(err))
		}
		os.Exit(0)
	}
}

func errorln(err error) int {
	fmt.Fprintln(os.Stderr, "middle:", err)
	return 1
}

// middle stands between stdin and stdout and a server.
func middle(work middleWork) error {
	told, err := os.OpenFile(work.Told, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	server := exec.Command(work.Server[0], work.Server[1:]...)
	server.Dir, server.Stderr = work.Start, os.Stderr
	in, _ := server.StdinPipe()
	out, _ := server.StdoutPipe()
	if err := server.Start(); err != nil {
		return err
	}
	start := time.Now()
	w := transfer.NewSFTP(work.Limits, transfer.Outlet{
		Target: func(p []byte) error { _, err := in.Write(p); return err },
		User:   func(p []byte, _ bool) error { _, err := os.Stdout.Write(p); return err },
		Tell:   func(op transfer.Operation) error { return json.NewEncoder(told).Encode(op) },
		Clock:  func() time.Duration { return time.Since(start) },
	})
	fromUser, fromTarget := w.FromUser, w.FromTarget
	if work.Talk != "" {
		out, err := os.Create(work.Talk)
		if err != nil {
			return err
		}
		talk := &stockTalk{out: out}
		fromUser = func(p []byte) error { talk.line(">", p); return w.FromUser(p) }
		fromTarget = func(p []byte) error { talk.line("<", p); return w.FromTarget(p) }
	}
	var both sync.WaitGroup
	var up, down error
	both.Go(func() {
		up = pieces(os.Stdin, fromUser)
		in.Close()
	})
	both.Go(func() {
		if down = pieces(out, fromTarget); down != nil {
			server.Process.Kill()
			os.Exit(errorln(errors.Join(down, w.Close()))) // nothing else ends a read of stdin
		}
	})
	both.Wait()
	err = w.Close()
	for _, e := range []error{up, down} {
		if e != nil && err == nil {
			err = e
		}
	}
	server.Wait()
	return err
}

// pieces hands what r gives to take, in pieces of changing size.
func pieces(r io.Reader, take func([]byte) error) error {
	p := make([]byte, 64<<10)
	for {
		n, err := r.Read(p[:1+rand.IntN(len(p))])
		if n > 0 {
			if err := take(p[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

type sftpRun struct {
	said string
	told []transfer.Operation
}

// find gives the first operation of that name and path.
func (r sftpRun) find(t *testing.T, name, path string) transfer.Operation {
	t.Helper()
	for _, op := range r.told {
		if op.Name == name && op.Path == path {
			return op
		}
	}
	t.Fatalf("no %s of %s among %v\nthe client said:\n%s", name, path, r.told, r.said)
	return transfer.Operation{}
}

// stockSFTP runs the stock client's commands against the stock server.
func stockSFTP(t *testing.T, start string, limits []sekisho.FileLimit, commands ...string) sftpRun {
	t.Helper()
	cmd := exec.Command("sftp", "-q", "-b", "-", "-D", os.Args[0])
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	run, err := through(t, cmd, start, limits)
	if err != nil {
		t.Errorf("sftp: %v\n%s", err, run.said)
	}
	return run
}

// through runs a stock client that starts a watcher and the stock server.
func through(t *testing.T, cmd *exec.Cmd, start string, limits []sekisho.FileLimit) (run sftpRun, err error) {
	t.Helper()
	told := filepath.Join(t.TempDir(), "told")
	work, _ := json.Marshal(middleWork{Limits: limits, Told: told, Start: start, Server: []string{sftpServer}})
	cmd.Env = append(os.Environ(), middleEnv+"="+string(work))
	cmd.Dir = t.TempDir()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	err = cmd.Run()
	timer.Stop()
	run.said = said.String()
	lines, _ := os.ReadFile(told)
	for d := json.NewDecoder(bytes.NewReader(lines)); d.More(); {
		var op transfer.Operation
		if err := d.Decode(&op); err != nil {
			t.Fatal(err)
		}
		run.told = append(run.told, op)
	}
	return run, err
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, a, b string) {
	t.Helper()
	x, err1 := os.ReadFile(a)
	y, err2 := os.ReadFile(b)
	if err1 != nil || err2 != nil || !bytes.Equal(x, y) {
		t.Errorf("%s and %s differ (%v, %v)", a, b, err1, err2)
	}
}

// noise are n bytes that nobody expects.
func noise(n int) []byte {
	b := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{7})
	rnd.Read(b)
	return b
}

// What the stock client does to the stock server it does through a watcher, and every bit of it is told.
func TestStockSFTP(t *testing.T) {
	realPrograms(t)
	for name, limits := range map[string]func(far string) []sekisho.FileLimit{
		"free":   func(string) []sekisho.FileLimit { return everything },
		"prefix": func(far string) []sekisho.FileLimit { return limited(sekisho.FileLimit{Paths: []string{far}}) },
	} {
		t.Run(name, func(t *testing.T) {
			near, far := t.TempDir(), t.TempDir()
			data := noise(300_000)
			write(t, near+"/file", data)
			write(t, near+"/empty", nil)
			r := stockSFTP(t, far, limits(far), "put "+near+"/file", "get file "+near+"/back", "put "+near+"/empty", "get empty "+near+"/empty2", "ls -l",
				"rename file a", "chmod 600 a", "ln a hard", "ln -s a soft", "mkdir d", "put "+near+"/file d/deep", "rm hard", "-rmdir d", "rm d/deep",
				"rmdir d", "-get nothing", "put -p "+near+"/file timed", "df", "version", "pwd", "-cp a copied", "ls -la")
			same(t, near+"/file", near+"/back")
			same(t, near+"/file", far+"/a")
			sum := hash(string(data))
			for _, want := range []transfer.Operation{
				op("upload", "file", "", "ok", 300_000, sum), op("download", "file", "", "ok", 300_000, sum),
				op("upload", "empty", "", "ok", 0, hash()), op("download", "empty", "", "ok", 0, hash()),
				op("list", "", "", "ok", 0, ""), op("rename", "file", "a", "ok", 0, ""), op("setstat", "a", "", "ok", 0, ""),
				op("link", "a", "hard", "ok", 0, ""), op("mkdir", "d", "", "ok", 0, ""), op("upload", "d/deep", "", "ok", 300_000, sum),
				op("remove", "hard", "", "ok", 0, ""), op("rmdir", "d", "", "failure", 0, ""), op("remove", "d/deep", "", "ok", 0, ""),
				op("setstat", "timed", "", "ok", 0, ""), op("upload", "timed", "", "ok", 300_000, sum),
			} {
				want.Path = strings.TrimSuffix(far+"/"+want.Path, "/")
				if want.To != "" {
					want.To = far + "/" + want.To
				}
				if diff := cmp.Diff(want, r.find(t, want.Name, want.Path), timeless); diff != "" {
					t.Error(diff)
				}
			}
			if soft := r.find(t, "symlink", "a"); soft.To != far+"/soft" || soft.Result != "ok" {
				t.Errorf("told %v", soft)
			}
			for _, op := range r.told {
				if op.Result == "unfinished" || op.Result == "refused" {
					t.Errorf("told %v", op)
				}
			}
		})
	}
}

// 100 MB each way, and a transfer taken up again in the middle.
func TestStockSFTPBig(t *testing.T) {
	realPrograms(t)
	near, far := t.TempDir(), t.TempDir()
	data := noise(100_000_000)
	sum := hash(string(data))
	write(t, near+"/file", data)
	write(t, near+"/half", data[:50_000_000])
	write(t, far+"/half", data[:50_000_000])
	r := stockSFTP(t, far, everything, "put "+near+"/file", "get file "+near+"/back", "reget file "+near+"/half", "reput "+near+"/file half")
	for _, path := range []string{near + "/back", near + "/half", far + "/file", far + "/half"} {
		same(t, near+"/file", path)
	}
	for _, want := range []transfer.Operation{
		op("upload", far+"/file", "", "ok", 100_000_000, sum), op("download", far+"/file", "", "ok", 100_000_000, sum),
		op("read", far+"/file", "", "ok", 50_000_000, ""), op("write", far+"/half", "", "ok", 50_000_000, ""),
	} {
		if diff := cmp.Diff(want, r.find(t, want.Name, want.Path), timeless); diff != "" {
			t.Error(diff)
		}
	}
}

// What limits refuse, the stock client says in words, and goes on.
func TestStockSFTPRefused(t *testing.T) {
	realPrograms(t)
	near := t.TempDir()
	write(t, near+"/file", []byte("near"))
	for name, c := range map[string]struct {
		limits func(root string) []sekisho.FileLimit
		refuse []string // commands that must fail
		let    []string // commands that must not
		left   map[string]string
	}{
		"read-only": {
			func(string) []sekisho.FileLimit { return limited(sekisho.FileLimit{ReadOnly: true}) },
			[]string{"put NEAR/file data/f", "put NEAR/file new", "rm data/f", "rename data/f g", "mkdir d", "rmdir data/sub", "ln data/f g", "ln -s data/f g", "chmod 600 data/f", "reput NEAR/file data/f"},
			[]string{"get data/f NEAR/got", "ls -l data", "ls /", "get secret/key NEAR/key", "df"},
			nil,
		},
		"no-remove": {
			func(string) []sekisho.FileLimit { return limited(sekisho.FileLimit{NoRemove: true}) },
			[]string{"put NEAR/file data/f", "rm data/f", "rename data/f g", "rename -l data/f g", "rmdir data/sub"},
			[]string{"put NEAR/file new", "get new NEAR/new", "mkdir d", "ln data/f g", "chmod 644 data/f"},
			map[string]string{"new": "near", "data/f": "f"},
		},
		"a prefix": {
			func(root string) []sekisho.FileLimit {
				return limited(sekisho.FileLimit{Paths: []string{root + "/data"}})
			},
			[]string{"get secret/key NEAR/key", "get data/../secret/key NEAR/key", "get data/out/key NEAR/key", "get data/outf NEAR/key", "get data/back/key NEAR/key",
				"get data2/f NEAR/key", "get /etc/passwd NEAR/key", "put NEAR/file secret/new", "put NEAR/file data/dangling", "put NEAR/file data/out/new",
				"ls secret", "cd data/out", "cd secret", "cd ..", "rename data/f secret/f", "rename secret/key data/key", "ln secret/key data/key",
				"ln -s ../secret/key data/key", "ln -s /etc/passwd data/key", "rm data/out/key", "chmod 600 data/outf"},
			[]string{"get data/f NEAR/got", "get data/sub/../f NEAR/got", "get data/in/g NEAR/got", "put NEAR/file data/new", "put NEAR/file alias/new2", "ls data",
				"cd data", "get f NEAR/got", "ls", "ln -s f key", "get key NEAR/got", "rm out"},
			map[string]string{"data/new": "near", "data/new2": "near", "secret/key": "key"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := house(t)
			secret := picture(t, root+"/secret")
			for _, command := range c.refuse {
				r := stockSFTP(t, root, c.limits(root), "-"+strings.ReplaceAll(command, "NEAR", near))
				if !slices.ContainsFunc(r.told, func(op transfer.Operation) bool { return op.Result == "refused" }) {
					t.Errorf("%s is not refused: %v\n%s", command, r.told, r.said)
				}
			}
			for i, command := range c.let {
				c.let[i] = strings.ReplaceAll(command, "NEAR", near)
			}
			stockSFTP(t, root, c.limits(root), c.let...)
			if diff := cmp.Diff(secret, picture(t, root+"/secret")); diff != "" {
				t.Errorf("the secret was touched:\n%s", diff)
			}
			if name == "a prefix" {
				if _, err := os.Stat(near + "/key"); err == nil {
					t.Error("the secret came out")
				}
			}
			os.Remove(near + "/key")
			for path, want := range c.left {
				if got, err := os.ReadFile(filepath.Join(root, path)); err != nil || string(got) != want {
					t.Errorf("%s: %q %v", path, got, err)
				}
			}
		})
	}
}

// Where nothing may be removed, scp uploads what is new or grows, and cuts nothing short. It sets the size at the end.
func TestStockSCPNoRemove(t *testing.T) {
	realPrograms(t)
	near, far := t.TempDir(), t.TempDir()
	data := noise(300_000)
	write(t, near+"/file", data)
	write(t, near+"/empty", nil)
	write(t, far+"/short", []byte("short"))
	write(t, far+"/long", noise(300_001))
	for _, c := range []struct {
		from, to string
		good     bool
		want     transfer.Operation
	}{
		{"file", "new", true, op("upload", far+"/new", "", "ok", 300_000, hash(string(data)))},
		{"empty", "new2", true, op("upload", far+"/new2", "", "ok", 0, hash())},
		{"file", "short", true, op("upload", far+"/short", "", "ok", 300_000, hash(string(data)))},
		{"file", "long", false, op("setstat", far+"/long", "", "refused", 0, "")},
		{"empty", "long", false, op("setstat", far+"/long", "", "refused", 0, "")},
	} {
		cmd := exec.Command("scp", "-q", "-D", os.Args[0], near+"/"+c.from, "host:"+far+"/"+c.to)
		run, err := through(t, cmd, far, limited(sekisho.FileLimit{NoRemove: true}))
		// The stock client says what it could not set, and ends with 0 all the same.
		if err != nil || (run.said == "") != c.good {
			t.Errorf("%s to %s: %v\n%s", c.from, c.to, err, run.said)
		}
		if !c.good {
			c.want.Why = "by policy, nothing is removed, renamed or cut short here"
		}
		if diff := cmp.Diff(c.want, run.find(t, c.want.Name, c.want.Path), timeless); diff != "" {
			t.Errorf("%s to %s: %s", c.from, c.to, diff)
		}
	}
	same(t, near+"/file", far+"/new")
	same(t, near+"/file", far+"/short")
	if info, err := os.Stat(far + "/long"); err != nil || info.Size() != 300_001 {
		t.Errorf("long: %v %v", info, err)
	}
}

// A server that is none gets nothing through to the client.
func TestStockSFTPNoServer(t *testing.T) {
	realPrograms(t)
	told := filepath.Join(t.TempDir(), "told")
	work, _ := json.Marshal(middleWork{Limits: everything, Told: told, Start: t.TempDir(), Server: []string{"sh", "-c", "echo 'Last login: never'; cat"}})
	cmd := exec.Command("sftp", "-q", "-b", "/dev/null", "-D", os.Args[0])
	cmd.Env = append(os.Environ(), middleEnv+"="+string(work))
	said, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(said), "not the protocol") || strings.Contains(string(said), "too long") {
		t.Errorf("%v: %s", err, said)
	}
}
