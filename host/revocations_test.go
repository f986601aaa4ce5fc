package host_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho/host"
	"github.com/sekisho/sekisho/krl"
)

// revoked is a list with that number that revokes serials of the site's CA.
func (s *site) revoked(t *testing.T, number uint64, serials ...uint64) []byte {
	t.Helper()
	l := &krl.List{Number: number, Authorities: []krl.Authority{{Key: s.userCA.PublicKey(), Serials: krl.Serials(serials...)}}}
	b, err := l.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *site) number(t *testing.T, want uint64) {
	t.Helper()
	if got, err := s.host.Revocations(t.Context()); err != nil || got != want {
		t.Errorf("sshd goes by list %d, %v; want %d", got, err, want)
	}
}

// A stock sshd lets nobody in whose certificate is in the list, from the moment that the list is there.
func TestRevokedAtSSHD(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "")
	s.layout.Reload, s.layout.PIDFile = nil, s.dir+"/sshd.pid"
	s.make(t)
	s.start(t)
	s.await(t, "plain")
	state := s.state(me.Username)
	state.HostCertificate, state.Revocations = line(s.certify(t, s.hostKey.PublicKey(), ssh.HostCert, "db1")), s.revoked(t, 0)
	s.number(t, 0)
	s.apply(t, state, true)
	s.await(t, "certified")
	cert := func(serial uint64) *ssh.Certificate {
		c := s.certificate(ssh.UserCert, me.Username+":db1")
		c.Serial = serial
		return c
	}
	if err := s.login(t, me.Username, cert(7), "certified"); err != nil {
		t.Fatalf("before: %v", err)
	}
	state.Revocations = s.revoked(t, 3, 7)
	s.apply(t, state, true) // and no reload: sshd reads the list at each log-in
	s.number(t, 3)
	if err := s.login(t, me.Username, cert(7), "certified"); err == nil {
		t.Error("a revoked certificate logs in")
	}
	if err := s.login(t, me.Username, cert(8), "certified"); err != nil {
		t.Errorf("another one: %v", err)
	}
	key := s.certify(t, signer(t).PublicKey(), ssh.UserCert, "x")
	key.Serial = 7
	if err := key.SignCert(bytes.NewReader(make([]byte, 64)), s.userCA); err != nil {
		t.Fatal(err)
	}
	write(t, s.dir+"/k.pub", line(key)+"\n")
	out, err := exec.Command("ssh-keygen", "-Q", "-f", s.layout.Dir+"/revoked_keys", s.dir+"/k.pub").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "REVOKED") {
		t.Errorf("ssh-keygen -Q: %v %s", err, out)
	}
	state.Revocations = nil // nothing newer
	s.apply(t, state, false)
	s.number(t, 3)
}

// What is broken or older is not taken, is told, and holds up nothing else; and the list that is there stays.
func TestBadRevocationLists(t *testing.T) {
	s := newSite(t, "")
	state := s.state("alice")
	state.Revocations = s.revoked(t, 5, 7)
	s.apply(t, state, true)
	good := read(t, s.layout.Dir+"/revoked_keys")
	whole := s.revoked(t, 6, 7, 9)
	for name, list := range map[string][]byte{
		"empty": {}, "words": []byte("revoke everybody\n"), "zeros": make([]byte, 100), "cut": whole[:len(whole)-1], "comment": []byte("#"),
		"more behind": append(bytes.Clone(whole), 1), "older": s.revoked(t, 4), "no list": s.revoked(t, 0), "too long": make([]byte, krl.MaxSize+1),
	} {
		login := "l" + strconv.Itoa(len(list)%89)
		next := s.state(login)
		next.Revocations = list
		if changed, err := s.host.Apply(t.Context(), next); !errors.Is(err, host.ErrNotRevoked) || !changed {
			t.Errorf("%s: changed %v, error %v", name, changed, err)
		}
		if read(t, s.layout.Dir+"/revoked_keys") != good {
			t.Fatalf("%s has replaced the list", name)
		}
		if _, err := os.Stat(s.layout.Dir + "/principals/" + login); err != nil {
			t.Errorf("%s holds up the rest: %v", name, err)
		}
		if _, err := s.host.Apply(t.Context(), s.state("alice")); err != nil {
			t.Fatal(err)
		}
	}
	s.number(t, 5)
}

// A list that was damaged on the host is told of, and makes room for any that is whole.
func TestDamagedRevocationList(t *testing.T) {
	s := newSite(t, "")
	state := s.state("alice")
	state.Revocations = s.revoked(t, 5, 7)
	s.apply(t, state, true)
	for name, damage := range map[string]func(path string) error{
		"cut":     func(path string) error { return os.Truncate(path, 50) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"link":    func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) },
		"garbage": func(path string) error { return os.WriteFile(path, []byte("x"), 0o644) },
	} {
		if err := damage(s.layout.Dir + "/revoked_keys"); err != nil {
			t.Fatal(err)
		}
		if n, err := s.host.Revocations(t.Context()); err == nil {
			t.Errorf("%s: sshd goes by list %d", name, n)
		}
		if _, err := s.host.Apply(t.Context(), s.state("alice")); !errors.Is(err, host.ErrNotRevoked) {
			t.Errorf("%s, and no new one: %v", name, err)
		}
		s.apply(t, state, true)
		s.number(t, 5)
	}
}

// A host whose sshd has trouble with something else goes by the newest list all the same.
func TestRevocationsComeFirst(t *testing.T) {
	s := newSite(t, "")
	state := s.state("alice")
	state.Revocations = s.revoked(t, 5, 7)
	s.apply(t, state, true)
	write(t, s.layout.SSHDConfig, "NoSuchKeyword yes\n"+read(t, s.layout.SSHDConfig))
	next := s.state("bob")
	next.Revocations = s.revoked(t, 6, 7, 8)
	if changed, err := s.host.Apply(t.Context(), next); err == nil || errors.Is(err, host.ErrNotRevoked) || !changed {
		t.Errorf("changed %v, error %v", changed, err)
	}
	if read(t, s.layout.Dir+"/revoked_keys") != string(next.Revocations) {
		t.Error("the list is not the newest")
	}
}

// Somebody removes the list after control was told that the host has it: sshd is not made to do without.
func TestRevocationListRemoved(t *testing.T) {
	s := newSite(t, "")
	state := s.state("root")
	state.Revocations = s.revoked(t, 7, 1)
	if _, err := s.host.Apply(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.layout.Dir + "/revoked_keys"); err != nil {
		t.Fatal(err)
	}
	state.Revocations = nil
	if _, err := s.host.Apply(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(read(t, s.layout.DropIn), "\nRevokedKeys ") {
		t.Error("sshd goes by no revocation list any more")
	}
	state.Revocations = s.revoked(t, 7, 1)
	if _, err := s.host.Apply(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	s.number(t, 7)
}
