package client_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program builds cmd/sekisho once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sekisho-under-test")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "sekisho")
	out, err := exec.Command("go", "build", "-o", path, "../cmd/sekisho").CombinedOutput()
	if err != nil {
		return dir, errors.New(string(out))
	}
	return path, nil
})

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // what x/crypto/ssh/agent and the test's own server refuse
	code := m.Run()
	if built {
		path, _ := program()
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// built says that program has been called.
var built bool

// sshFor writes the ssh_config that the built program prints, and gives ssh with it.
func (p *person) sshFor() func(args ...string) *exec.Cmd {
	p.t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		p.t.Fatal("no ssh here: run dev/prepare.sh")
	}
	built = true
	path, err := program()
	if err != nil {
		p.t.Fatal(err)
	}
	config, err := exec.Command(path, "ssh-config").Output()
	if err != nil {
		p.t.Fatalf("sekisho ssh-config: %v", err)
	}
	file := filepath.Join(filepath.Dir(p.home), "config")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return func(args ...string) *exec.Cmd {
		return exec.Command("ssh", append([]string{"-F", file, "-o", "BatchMode=yes"}, args...)...)
	}
}

func TestPlainSSH(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	p.login()
	ssh := p.sshFor()

	before := h.conns.Load()
	out, err := ssh("ken@web1", "whoami").CombinedOutput()
	if err != nil || string(out) != "ken\n" {
		t.Fatalf("ssh: %v\n%s", err, out)
	}
	if n := h.conns.Load() - before; n != 1 {
		t.Errorf("one ssh took %d TLS connections, want 1: call and stream share it", n)
	}
	if left := p.leftovers(); len(left) > 0 {
		t.Errorf("sockets left: %v", left)
	}

	var status *exec.ExitError
	if err := ssh("ken@web1", "other").Run(); !errors.As(err, &status) || status.ExitCode() != 7 {
		t.Errorf("exit status: %v, want 7", err)
	}
	if out, err := ssh("-p", "2222", "ken@db1.test.internal", "whoami").CombinedOutput(); err != nil || string(out) != "ken\n" {
		t.Errorf("another port: %v\n%s", err, out)
	}
	if out, err := ssh("-A", "ken@web1", "whoami").CombinedOutput(); err != nil || string(out) != "ken\n" {
		t.Errorf("with agent forwarding: %v\n%s", err, out)
	}
	if out, err := ssh("ken@x.test.internal", "whoami").CombinedOutput(); err == nil || !strings.Contains(string(out), "Host key verification failed") {
		t.Errorf("a host under another's certificate was let pass: %v\n%s", err, out)
	}
}

func TestBulk(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	p.login()
	data := make([]byte, 8<<20)
	rand.Read(data)
	cmd := p.sshFor()("ken@web1", "cat")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil || !bytes.Equal(out, data) {
		t.Fatalf("%d bytes came back of %d: %v", len(out), len(data), err)
	}
}

func TestControlMaster(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	p.login()
	ssh := p.sshFor()
	mux := filepath.Join(filepath.Dir(p.home), "mux")
	args := []string{"-o", "ControlMaster=auto", "-o", "ControlPersist=30", "-S", mux}
	for range 3 {
		cmd := ssh(append(args, "ken@web1", "whoami")...)
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Run(); err != nil || out.String() != "ken\n" {
			t.Fatalf("ssh: %v\n%s", err, out.String())
		}
	}
	if n := h.logins.Load(); n != 1 {
		t.Errorf("%d logins, want 1 shared", n)
	}
	if err := ssh("-S", mux, "-O", "exit", "ken@web1").Run(); err != nil {
		t.Errorf("end the master: %v", err)
	}
}

// Ten at once to one login and host share one socket path; the house checks that each used its own key.
func TestParallel(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	p.login()
	ssh := p.sshFor()
	run(t, 10, func() ([]byte, error) { return ssh("ken@web1", "whoami").CombinedOutput() })
	if n := h.logins.Load(); n != 10 {
		t.Errorf("%d logins, want 10", n)
	}
	if left := p.leftovers(); len(left) > 0 {
		t.Errorf("sockets left: %v", left)
	}
}

// Nobody is signed in: ten ssh wait for one browser.
func TestOneBrowser(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	p.setup()
	ssh := p.sshFor()
	run(t, 10, func() ([]byte, error) { return ssh("ken@web1", "whoami").Output() })
	if n := p.browsers(); n != 1 {
		t.Errorf("%d browsers were opened, want 1", n)
	}
	// The sign-in is ended at control while the token looks good here: again one browser.
	h.endAll()
	run(t, 4, func() ([]byte, error) { return ssh("ken@web1", "whoami").Output() })
	if n := p.browsers(); n != 2 {
		t.Errorf("%d browsers were opened, want 2", n)
	}
}

func run(t *testing.T, n int, ssh func() ([]byte, error)) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			out, err := ssh()
			if err != nil || string(out) != "ken\n" {
				var status *exec.ExitError
				if errors.As(err, &status) {
					out = append(out, status.Stderr...)
				}
				t.Errorf("ssh: %v\n%s", err, out)
			}
		})
	}
	wg.Wait()
}

func TestRefused(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	p.login()
	h.refuse.Store("No policy lets ken use web1. Ask the operators.")
	ssh := p.sshFor()
	out, err := ssh("ken@web1", "whoami").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "sekisho: No policy lets ken use web1. Ask the operators.\n") {
		t.Errorf("ssh: %v\n%s", err, out)
	}
	path, _ := program()
	var status *exec.ExitError
	if err := exec.Command(path, "connect", "--login", "ken", "web1", "22").Run(); !errors.As(err, &status) || status.ExitCode() != 1 {
		t.Errorf("sekisho connect: %v, want exit status 1", err)
	}
}

// ssh ends its ProxyCommand with SIGHUP, and can do so before the agent was asked.
func TestHangup(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	p.login()
	p.sshFor()
	path, _ := program()
	cmd := exec.Command(path, "connect", "--login", "ken", "web1", "22")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	banner := make([]byte, 4) // bytes flow, so the socket is there
	if _, err := out.Read(banner); err != nil || string(banner) != "SSH-" {
		t.Fatalf("banner %q: %v", banner, err)
	}
	if left := p.leftovers(); len(left) != 1 {
		t.Errorf("sockets: %v, want one", left)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer kill.Stop()
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGHUP: %v", err)
	}
	if left := p.leftovers(); len(left) > 0 {
		t.Errorf("sockets left: %v", left)
	}
}
