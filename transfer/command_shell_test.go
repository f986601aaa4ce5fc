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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sekisho/sekisho/transfer"
)

// The stock scp and rsync start this test binary in place of ssh; it runs their command here, with a watcher between.
const shellEnv = "TEST_TRANSFER_SHELL" // JSON of shellWork

type shellWork struct {
	Told  string // file for what was told, a JSON line each
	Start string // the start directory
	Cut   int64  // end the conversation after so many bytes of either side, if not 0
	Talk  string // file for the conversation, as talk reads it, if not empty
	Line  string // file for the command's line, if not empty
	User  uint32 // who runs the command, if not 0 and the tests run as root
}

// shellLine is one line of the file: the command first, then operations, and the sizes at the end.
type shellLine struct {
	Command   *transfer.Command
	Operation *transfer.Operation
	Sizes     *shellSizes
}

// shellSizes are bytes for the user, told and not, and bytes for the target.
type shellSizes struct{ Told, Raw, Target int64 }

func init() {
	text := os.Getenv(shellEnv)
	if text == "" {
		return
	}
	var work shellWork
	if err := json.Unmarshal([]byte(text), &work); err != nil {
		panic(err)
	}
	done := make(chan error)
	go func() { done <- standInShell(work, shellCommand(os.Args[1:])) }() // init itself keeps to its thread
	err := <-done
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(max(exit.ExitCode(), 1))
	case err != nil:
		fmt.Fprintln(os.Stderr, "shell:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// shellCommand finds the command in ssh's arguments: rsync gives "HOST WORDS…", scp "-options -- HOST COMMAND".
func shellCommand(args []string) string {
	for i, a := range args {
		if a == "--" {
			args = args[i+1:]
			break
		}
	}
	return strings.Join(args[1:], " ")
}

func standInShell(work shellWork, command string) error {
	file, err := os.OpenFile(work.Told, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(file)
	cmd, ok := transfer.ParseCommand(command)
	if !ok {
		return fmt.Errorf("not recognised: %q", command)
	}
	if err := lines.Encode(shellLine{Command: &cmd}); err != nil {
		return err
	}
	shell := exec.Command("sh", "-c", command)
	shell.Dir, shell.Env = work.Start, append(os.Environ(), shellEnv+"=")
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if work.User != 0 && os.Getuid() == 0 {
		shell.SysProcAttr.Credential = &syscall.Credential{Uid: work.User, Gid: work.User}
	}
	in, _ := shell.StdinPipe()
	out, _ := shell.StdoutPipe()
	var trouble io.ReadCloser
	trouble, _ = shell.StderrPipe()
	if err := shell.Start(); err != nil {
		return err
	}
	began, sizes, left := time.Now(), shellSizes{}, work.Cut
	var w transfer.Watcher = shellWatch(cmd, transfer.Outlet{
		Target: func(p []byte) error { sizes.Target += int64(len(p)); return shellWrite(in, p) },
		User: func(p []byte, told bool) error {
			if told {
				sizes.Told += int64(len(p))
			} else {
				sizes.Raw += int64(len(p))
			}
			return shellWrite(os.Stdout, p)
		},
		Tell:  func(op transfer.Operation) error { return lines.Encode(shellLine{Operation: &op}) },
		Clock: func() time.Duration { return time.Since(began) },
	})
	if work.Line != "" {
		os.WriteFile(work.Line, []byte(command), 0o600)
	}
	if work.Talk != "" {
		w = &recorder{Watcher: w, file: work.Talk}
	}
	go func() {
		shellFeed(os.Stdin, w.FromUser, work.Cut, func() { syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) })
		in.Close()
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		shellFeed(trouble, func(p []byte) error {
			if r, ok := w.(transfer.ErrorWatcher); ok {
				if err := r.FromTargetError(p); err != nil {
					return err
				}
			}
			return shellWrite(os.Stderr, p)
		}, 0, nil)
	}()
	shellFeed(out, w.FromTarget, left, func() { syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) })
	<-done
	err = shell.Wait()
	if closed := w.Close(); closed != nil {
		return closed
	}
	lines.Encode(shellLine{Sizes: &sizes})
	return err
}

// recorder keeps what is said.
type recorder struct {
	transfer.Watcher
	file string
	mu   sync.Mutex
	said []byte
}

func (r *recorder) keep(side string, p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, written([]string{side + string(p)})...)
}

func (r *recorder) FromUser(p []byte) error   { r.keep("u", p); return r.Watcher.FromUser(p) }
func (r *recorder) FromTarget(p []byte) error { r.keep("t", p); return r.Watcher.FromTarget(p) }

func (r *recorder) Close() error {
	return errors.Join(r.Watcher.Close(), os.WriteFile(r.file, r.said, 0o600))
}

func shellWrite(w io.Writer, p []byte) error { _, err := w.Write(p); return err }

func shellWatch(cmd transfer.Command, out transfer.Outlet) transfer.Watcher {
	if cmd.Protocol == transfer.SCP {
		return transfer.NewSCP(cmd, out)
	}
	return transfer.NewRsync(cmd, out)
}

// shellFeed hands what it reads over in pieces of changing size, and calls cut once there were more than most bytes.
func shellFeed(r io.Reader, take func([]byte) error, most int64, cut func()) {
	buffer, total := make([]byte, 64<<10), int64(0)
	for {
		size := len(buffer)
		if rand.IntN(4) == 0 {
			size = 1 + rand.IntN(300)
		}
		n, err := r.Read(buffer[:size])
		if n > 0 && take(buffer[:n]) != nil || err != nil {
			return
		}
		if total += int64(n); most > 0 && total > most {
			cut()
			return
		}
	}
}

// shellRun is what was told of one run.
type shellRun struct {
	output   string
	err      error
	commands []transfer.Command
	ops      []transfer.Operation
	sizes    shellSizes
}

// stock runs scp or rsync with the stand-in for ssh.
func stock(t *testing.T, work shellWork, program string, args ...string) shellRun {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	work.Told = filepath.Join(t.TempDir(), "told")
	text, _ := json.Marshal(work)
	if program == "scp" {
		args = append([]string{"-O", "-S", self}, args...)
	} else {
		args = append([]string{"-e", self}, args...)
	}
	run := exec.Command(program, args...)
	run.Env = append(os.Environ(), shellEnv+"="+string(text), "LC_ALL=C.UTF-8")
	output, err := run.CombinedOutput()
	got := shellRun{output: string(output), err: err}
	told, _ := os.ReadFile(work.Told)
	for line := range bytes.Lines(told) {
		var l shellLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		switch {
		case l.Command != nil:
			got.commands = append(got.commands, *l.Command)
		case l.Operation != nil:
			got.ops = append(got.ops, *l.Operation)
		case l.Sizes != nil:
			got.sizes = *l.Sizes
		}
	}
	return got
}

// ok wants the run to have gone well, and everything followed.
func (r shellRun) ok(t *testing.T) shellRun {
	t.Helper()
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, r.output)
	}
	for _, op := range r.ops {
		if op.Result == "not followed" {
			t.Fatalf("not followed: %+v\n%s", r.ops, r.output)
		}
	}
	return r
}

// told gives each operation as "name path [> to] bytes result", in the order it was told.
func (r shellRun) told() []string {
	var all []string
	for _, op := range r.ops {
		line := op.Name + " " + op.Path
		if op.To != "" {
			line += " > " + op.To
		}
		all = append(all, fmt.Sprintf("%s %d %s", line, op.Bytes, op.Result))
	}
	return all
}

func (r shellRun) find(t *testing.T, name, path string) transfer.Operation {
	t.Helper()
	for _, op := range r.ops {
		if op.Name == name && (op.Path == path || op.To == path) {
			return op
		}
	}
	t.Fatalf("no %s of %s among\n%s\n%s", name, path, strings.Join(r.told(), "\n"), r.output)
	return transfer.Operation{}
}
