package keystore_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho/ca/keystore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// conform is what every store's keys must do. The URI is of a key that is there.
func conform(t *testing.T, uri string, o keystore.Options) {
	t.Helper()
	key := open(t, uri, o)
	again := open(t, uri, o)
	if !same(key, again) {
		t.Error("another public key when it is opened twice")
	}
	if err := errors.Join(key.Check(t.Context()), again.Check(t.Context())); err != nil {
		t.Error(err)
	}
	signs(t, key)
	signs(t, again)
	certifies(t, key)
	together(t, key)
	if err := errors.Join(key.Close(), key.Close()); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := sign(key, []byte("x")); !errors.Is(err, keystore.ErrClosed) {
		t.Errorf("signing with a closed key: %v", err)
	}
	if err := key.Check(t.Context()); !errors.Is(err, keystore.ErrClosed) {
		t.Errorf("checking a closed key: %v", err)
	}
	signs(t, again) // is not closed with the other
	if err := again.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func same(a, b crypto.Signer) bool {
	return a.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(b.Public())
}

func open(t *testing.T, uri string, o keystore.Options) keystore.Key {
	t.Helper()
	if err := keystore.Check(uri); err != nil {
		t.Fatal(err)
	}
	key, err := keystore.Open(t.Context(), uri, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { key.Close() })
	return key
}

func create(t *testing.T, uri string, kind keystore.Kind, o keystore.Options) {
	t.Helper()
	key, err := keystore.Create(t.Context(), uri, kind, o)
	if err != nil {
		t.Fatal(err)
	}
	signs(t, key)
	if err := key.Close(); err != nil {
		t.Error(err)
	}
	if _, err := keystore.Create(t.Context(), uri, kind, o); !errors.Is(err, keystore.ErrTaken) {
		t.Errorf("made twice: %v", err)
	}
}

// sign has a message signed and verifies the signature, by what crypto's own functions make of a key.
func sign(key keystore.Key, message []byte) error {
	var opts crypto.SignerOpts = crypto.Hash(0)
	digest := message
	if k, ok := key.Public().(*ecdsa.PublicKey); ok {
		sum := sha256.Sum256(message)
		opts, digest = crypto.SHA256, sum[:]
		if k.Curve.Params().BitSize == 384 {
			sum := sha512.Sum384(message)
			opts, digest = crypto.SHA384, sum[:]
		}
	}
	signature, err := crypto.SignMessage(key, rand.Reader, message, opts)
	if err != nil {
		return err
	}
	ok := false
	switch k := key.Public().(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest, signature)
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, message, signature)
	}
	if !ok {
		return errors.New("the signature does not fit")
	}
	return nil
}

func signs(t *testing.T, key keystore.Key) {
	t.Helper()
	if err := sign(key, []byte("a message")); err != nil {
		t.Error(err)
	}
}

func together(t *testing.T, key keystore.Key) {
	t.Helper()
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			if err := sign(key, bytes.Repeat([]byte{byte(i)}, i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// certifies signs an SSH certificate that x/crypto/ssh and OpenSSH take. Reading one, ssh-keygen verifies its signature.
func certifies(t *testing.T, key keystore.Key) {
	t.Helper()
	signer, err := keystore.NewSSHSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{
		Key: subject, CertType: ssh.UserCert, KeyId: "alice", Serial: 7, ValidPrincipals: []string{"alice"},
		ValidAfter: uint64(time.Now().Add(-time.Hour).Unix()), ValidBefore: uint64(time.Now().Add(time.Hour).Unix()),
	}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	checker := ssh.CertChecker{IsUserAuthority: func(by ssh.PublicKey) bool { return bytes.Equal(by.Marshal(), signer.PublicKey().Marshal()) }}
	if err := checker.CheckCert("alice", cert); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "cert.pub")
	if err := os.WriteFile(file, ssh.MarshalAuthorizedKey(cert), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh-keygen", "-L", "-f", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), ssh.FingerprintSHA256(signer.PublicKey())) || !strings.Contains(string(out), "Serial: 7") {
		t.Errorf("ssh-keygen -L: %v %s", err, out)
	}
	cert.Signature.Blob[len(cert.Signature.Blob)-1] ^= 1
	if err := os.WriteFile(file, ssh.MarshalAuthorizedKey(cert), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ssh-keygen", "-L", "-f", file).CombinedOutput(); err == nil && strings.Contains(string(out), "Serial: 7") {
		t.Errorf("ssh-keygen takes a wrong signature: %s", out)
	}
}

// benchmark measures signatures per second, one at a time and beside one another.
func benchmark(b *testing.B, uri string, o keystore.Options) {
	key, err := keystore.Open(b.Context(), uri, o)
	if err != nil {
		b.Fatal(err)
	}
	defer key.Close()
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if err := sign(key, []byte("x")); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("many", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := sign(key, []byte("x")); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// eventually waits until a key signs again.
func eventually(t *testing.T, key keystore.Key) {
	t.Helper()
	var err error
	for range 100 {
		if err = sign(key, []byte("x")); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("it does not sign again: %v", err)
}

// awaitSocket waits until somebody listens.
func awaitSocket(t testing.TB, path string) {
	t.Helper()
	for range 1000 {
		if conn, err := net.Dial("unix", path); err == nil {
			conn.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nobody listens at %s", path)
}
