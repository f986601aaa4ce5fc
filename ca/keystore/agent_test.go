package keystore_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho/ca/keystore"
)

// sshAgent is a real ssh-agent.
type sshAgent struct {
	dir, socket string
	process     *exec.Cmd
}

func newAgent(t testing.TB) *sshAgent {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	a := &sshAgent{dir: dir, socket: filepath.Join(dir, "s")}
	t.Cleanup(func() {
		a.stop()
		os.RemoveAll(dir)
	})
	a.start(t)
	return a
}

func (a *sshAgent) start(t testing.TB) {
	t.Helper()
	a.process = exec.Command("ssh-agent", "-D", "-a", a.socket)
	if err := a.process.Start(); err != nil {
		t.Fatal(err)
	}
	awaitSocket(t, a.socket)
}

func (a *sshAgent) stop() {
	a.process.Process.Kill()
	a.process.Wait()
	os.Remove(a.socket)
}

// add makes a key and adds it; the fingerprint comes back.
func (a *sshAgent) add(t testing.TB, name string, args ...string) string {
	t.Helper()
	file := filepath.Join(a.dir, name)
	if _, err := os.Stat(file); err != nil {
		if out, err := exec.Command("ssh-keygen", append([]string{"-q", "-N", "", "-f", file}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	a.run(t, "ssh-add", "-q", file)
	text, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return ssh.FingerprintSHA256(public)
}

func (a *sshAgent) run(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+a.socket)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
}

func (a *sshAgent) uri(fingerprint string) string {
	return "agent:" + a.socket + "?fingerprint=" + fingerprint
}

func TestAgent(t *testing.T) {
	a := newAgent(t)
	for name, args := range map[string][]string{"ed25519": {"-t", "ed25519"}, "p256": {"-t", "ecdsa", "-b", "256"}, "p384": {"-t", "ecdsa", "-b", "384"}} {
		t.Run(name, func(t *testing.T) {
			fingerprint := a.add(t, name, args...)
			conform(t, a.uri(fingerprint), keystore.Options{})
			conform(t, "agent:?fingerprint="+fingerprint, keystore.Options{Getenv: func(string) string { return a.socket }})
		})
	}
}

// The agent is ended and started anew, the key is taken out and put back; signing goes on by itself.
func TestAgentComesBack(t *testing.T) {
	a := newAgent(t)
	uri := a.uri(a.add(t, "ca", "-t", "ed25519"))
	key := open(t, uri, keystore.Options{})
	signs(t, key)
	a.stop()
	err := sign(key, []byte("x"))
	if err == nil || !strings.Contains(err.Error(), a.socket) || !strings.Contains(err.Error(), "ssh-add") {
		t.Errorf("while the agent is gone: %v", err)
	}
	a.start(t)
	if err := sign(key, []byte("x")); !errors.Is(err, keystore.ErrNotFound) || !strings.Contains(err.Error(), "ssh-add") {
		t.Errorf("while the agent has no key: %v", err)
	}
	a.add(t, "ca")
	signs(t, key)
	a.run(t, "ssh-add", "-q", "-D")
	if err := sign(key, []byte("x")); !errors.Is(err, keystore.ErrNotFound) {
		t.Errorf("without the key: %v", err)
	}
	if err := key.Check(t.Context()); !errors.Is(err, keystore.ErrNotFound) {
		t.Errorf("without the key: %v", err)
	}
	a.add(t, "ca")
	together(t, key)
	a.run(t, "ssh-add", "-q", "-D")
	a.add(t, "ca")
	signs(t, key)
}

// An agent that hangs fails the signature, and signs again when it goes on.
func TestAgentHangs(t *testing.T) {
	a := newAgent(t)
	key := open(t, a.uri(a.add(t, "ca", "-t", "ed25519")), keystore.Options{Timeout: time.Second})
	if err := a.process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := sign(key, []byte("x")); err == nil || !strings.Contains(err.Error(), "it does not answer within 1s") {
		t.Errorf("while it hangs: %v", err)
	}
	if err := a.process.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, key)
}

func TestAgentRefuses(t *testing.T) {
	a := newAgent(t)
	rsa := a.add(t, "rsa", "-t", "rsa", "-b", "2048")
	none := "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
	for uri, want := range map[string]string{
		a.uri(rsa):                             "want Ed25519",
		a.uri(none):                            "not found",
		"agent:/nowhere/s?fingerprint=" + none: "no such file",
		"agent:?fingerprint=" + none:           "SSH_AUTH_SOCK is not set",
	} {
		if _, err := keystore.Open(t.Context(), uri, keystore.Options{Getenv: func(string) string { return "" }}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", uri, err, want)
		}
	}
	for _, uri := range []string{"agent:", "agent:/s", "agent:/s?fingerprint=MD5:00", "agent:/s?fingerprint=SHA256:short"} {
		if err := keystore.Check(uri); err == nil || !strings.Contains(err.Error(), "ssh-add -l") {
			t.Errorf("%s: %v", uri, err)
		}
	}
	if _, err := keystore.Create(t.Context(), a.uri(none), keystore.Best, keystore.Options{}); err == nil || !strings.Contains(err.Error(), "ssh-keygen") {
		t.Error(err)
	}
}

func BenchmarkAgent(b *testing.B) {
	a := newAgent(b)
	benchmark(b, a.uri(a.add(b, "ca", "-t", "ed25519")), keystore.Options{})
}
