package transfer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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
}

func init() {
	if text := os.Getenv(middleEnv); text != "" {
		var work middleWork
		if err := json.Unmarshal([]byte(text), &work); err != nil {
			panic(err)
		}
		if err := middle(work); err != nil {
			fmt.Fprintln(os.Stderr, "middle:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
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
	var both sync.WaitGroup
	var up, down error
	both.Go(func() {
		up = pieces(os.Stdin, w.FromUser)
		in.Close()
	})
	both.Go(func() {
		down = pieces(out, w.FromTarget)
		os.Stdin.Close()
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
	told := filepath.Join(t.TempDir(), "told")
	work, _ := json.Marshal(middleWork{Limits: limits, Told: told, Start: start, Server: []string{sftpServer}})
	var run sftpRun
	cmd := exec.Command("sftp", "-q", "-b", "-", "-D", os.Args[0])
	cmd.Env = append(os.Environ(), middleEnv+"="+string(work))
	cmd.Dir = t.TempDir()
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	err := cmd.Run()
	timer.Stop()
	run.said = said.String()
	if err != nil {
		t.Errorf("sftp: %v\n%s", err, run.said)
	}
	lines, _ := os.ReadFile(told)
	for d := json.NewDecoder(bytes.NewReader(lines)); d.More(); {
		var op transfer.Operation
		if err := d.Decode(&op); err != nil {
			t.Fatal(err)
		}
		run.told = append(run.told, op)
	}
	return run
}
