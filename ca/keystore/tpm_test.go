package keystore_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sekisho/sekisho/ca/keystore"
)

// softTPM is swtpm, a TPM 2.0 in software, at a socket.
type softTPM struct {
	dir, socket string
	process     *exec.Cmd
}

func newTPM(t testing.TB) *softTPM {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	s := &softTPM{dir: dir, socket: filepath.Join(dir, "s")}
	t.Cleanup(func() {
		s.stop()
		os.RemoveAll(dir)
	})
	s.start(t)
	return s
}

func (s *softTPM) start(t testing.TB) {
	t.Helper()
	s.process = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+s.dir, "--server", "type=unixio,path="+s.socket, "--flags", "not-need-init,startup-clear")
	if err := s.process.Start(); err != nil {
		t.Fatalf("%v: run dev/prepare.sh test", err)
	}
	awaitSocket(t, s.socket)
}

func (s *softTPM) stop() {
	s.process.Process.Kill()
	s.process.Wait()
	os.Remove(s.socket)
}

func TestTPM(t *testing.T) {
	s := newTPM(t)
	_, o := folder(t)
	for _, query := range []string{"?handle=0x81010001", "?handle=0x81010002&passphrase-env=PASS", "?handle=2164326403&passphrase-file=pass"} {
		create(t, "tpm:"+s.socket+query, keystore.Best, o)
		conform(t, "tpm:"+s.socket+query, o)
	}
	a, b := open(t, "tpm:"+s.socket+"?handle=0x81010001", o), open(t, "tpm:"+s.socket+"?handle=0x81010002&passphrase-env=PASS", o)
	if same(a, b) {
		t.Error("two keys are one")
	}
}

// The TPM goes away and comes back; so does one whose key is another.
func TestTPMComesBack(t *testing.T) {
	s := newTPM(t)
	uri := "tpm:" + s.socket + "?handle=0x81010001"
	create(t, uri, keystore.P256, keystore.Options{})
	key := open(t, uri, keystore.Options{})
	for range 2 {
		signs(t, key)
		s.stop()
		if err := sign(key, []byte("x")); err == nil || !strings.Contains(err.Error(), uri[:len("tpm:")+len(s.socket)]) || !strings.Contains(err.Error(), "goes on by itself") {
			t.Errorf("while the TPM is gone: %v", err)
		}
		s.start(t)
		signs(t, key)
	}
	s.stop()
	other := newTPM(t)
	create(t, "tpm:"+other.socket+"?handle=0x81010001", keystore.P256, keystore.Options{})
	if err := os.Rename(other.socket, s.socket); err != nil {
		t.Fatal(err)
	}
	if err := sign(key, []byte("x")); err == nil || !strings.Contains(err.Error(), "another public key") {
		t.Errorf("with another TPM: %v", err)
	}
}

// Wrong passphrases are told as such, and the same one is not tried twice, so that the TPM does not lock.
func TestTPMPassphrase(t *testing.T) {
	s := newTPM(t)
	dir, o := folder(t)
	uri := "tpm:" + s.socket + "?handle=0x81010001&passphrase-file=pass"
	create(t, uri, keystore.P256, o)
	key := open(t, uri, o)
	if err := os.WriteFile(filepath.Join(dir, "pass"), []byte("wrong 4711"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		err := sign(key, []byte("x"))
		if !errors.Is(err, keystore.ErrSecret) || i > 0 && !strings.Contains(err.Error(), "refused before") {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "pass"), []byte(passphrase), 0o600); err != nil {
		t.Fatal(err)
	}
	signs(t, key)
	// The third wrong one locks it, of whoever that was.
	for i, query := range []string{"&passphrase-env=OTHER", "", "&passphrase-env=PASS"} {
		_, err := keystore.Open(t.Context(), "tpm:"+s.socket+"?handle=0x81010001"+query, o)
		if err == nil || errors.Is(err, keystore.ErrSecret) != (i < 2) || i == 2 && !strings.Contains(err.Error(), "tpm2_dictionarylockout") || strings.Contains(err.Error(), "4711") {
			t.Errorf("%q: %v", query, err)
		}
	}
}

func TestTPMRefuses(t *testing.T) {
	s := newTPM(t)
	_, o := folder(t)
	uri := "tpm:" + s.socket + "?handle=0x81010001"
	if _, err := keystore.Open(t.Context(), uri, o); !errors.Is(err, keystore.ErrNotFound) {
		t.Error(err)
	}
	if _, err := keystore.Create(t.Context(), uri, keystore.Ed25519, o); err == nil || !strings.Contains(err.Error(), "want one of [ecdsa-p256]") {
		t.Error(err)
	}
	for _, where := range []string{"/nowhere/tpm", "/etc/passwd"} {
		if _, err := keystore.Open(t.Context(), "tpm:"+where+"?handle=0x81010001", o); err == nil || !strings.Contains(err.Error(), "is the TPM there") {
			t.Error(err)
		}
	}
	for _, uri := range []string{"tpm:", "tpm:?handle=1", "tpm:?handle=0x81800000", "tpm:?handle=x", "tpm:?handle=0x81010001&pin=4711", "tpm:?handle=0x81010001&passphrase-env=A&passphrase-file=B"} {
		if err := keystore.Check(uri); err == nil || strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func BenchmarkTPM(b *testing.B) {
	s := newTPM(b)
	uri := "tpm:" + s.socket + "?handle=0x81010001"
	key, err := keystore.Create(b.Context(), uri, keystore.P256, keystore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	key.Close()
	benchmark(b, uri, keystore.Options{})
}
