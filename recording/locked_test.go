package recording_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sekisho/sekisho/recording"
)

func TestLockedKeys(t *testing.T) {
	passphrase := []byte("関所 open sesame")
	for _, kem := range recording.KEMs() {
		for _, label := range []string{"", "auditors-2026"} {
			k, err := recording.GenerateKey(kem, label)
			if err != nil {
				t.Fatal(err)
			}
			text, err := recording.EncryptQuickly(k, passphrase)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := recording.ParsePrivateKey(text); !errors.Is(err, recording.ErrLocked) {
				t.Errorf("read without a passphrase: %v", err)
			}
			l, err := recording.ParseLockedKey(text)
			if err != nil {
				t.Fatal(err)
			}
			if l.ID() != k.ID() || l.KEM() != kem || l.Label() != label || !bytes.Equal(l.Encode(), text) {
				t.Errorf("%s: a locked key does not come back as it was", kem)
			}
			back, err := l.Unlock(passphrase)
			if err != nil {
				t.Fatal(err)
			}
			if back.ID() != k.ID() || back.Recipient().Label() != label {
				t.Errorf("unlocked %s, label %q", back.ID(), back.Recipient().Label())
			}
			for _, wrong := range []string{"", "open sesame", strings.Repeat("x", recording.MaxPassphrase+1)} {
				if _, err := l.Unlock([]byte(wrong)); err == nil {
					t.Errorf("unlocked with %.20q", wrong)
				}
			}
			if _, err := l.Unlock([]byte("no")); !errors.Is(err, recording.ErrPassphrase) || !strings.Contains(err.Error(), k.ID()) {
				t.Errorf("a wrong passphrase: %v", err)
			}
		}
	}
}

func TestEncryptTakesItsTime(t *testing.T) {
	k := newKey(t)
	text, err := k.Encrypt([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if f := strings.Fields(string(text)); f[3] != "600000" {
		t.Errorf("%s iterations", f[3])
	}
	if _, err := k.Encrypt(nil); err == nil {
		t.Error("no passphrase: accepted")
	}
}

// Every field of the line is bound to the key: what was changed does not open.
func TestLockedKeyIsBound(t *testing.T) {
	k, other := newKey(t), newKey(t)
	passphrase := []byte("x")
	text, err := recording.EncryptQuickly(k, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(text))
	for name, change := range map[string]func(f []string){
		"kind":       func(f []string) { f[1] = "mlkem768-p256" },
		"id":         func(f []string) { f[2] = other.ID() },
		"iterations": func(f []string) { f[3] = "1001" },
		"label":      func(f []string) { f[6] = "mallory" },
	} {
		changed := append([]string{}, f...)
		change(changed)
		l, err := recording.ParseLockedKey([]byte(strings.Join(changed, " ")))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := l.Unlock(passphrase); !errors.Is(err, recording.ErrPassphrase) {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
	for name, change := range map[string]func(f []string){
		"no iterations":   func(f []string) { f[3] = "0" },
		"many iterations": func(f []string) { f[3] = "10000001" },
		"few iterations":  func(f []string) { f[3] = "999" },
		"odd iterations":  func(f []string) { f[3] = "+1000" },
		"old iterations":  func(f []string) { f[3] = "01000" },
		"salt":            func(f []string) { f[4] = f[4][:8] },
		"sealed":          func(f []string) { f[5] = f[5][:8] },
		"id in capitals":  func(f []string) { f[2] = strings.ToUpper(f[2]) },
		"short id":        func(f []string) { f[2] = f[2][:10] },
		"kind":            func(f []string) { f[1] = "x25519" },
	} {
		changed := append([]string{}, f...)
		change(changed)
		if _, err := recording.ParseLockedKey([]byte(strings.Join(changed, " "))); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// token is a key that is asked and never shown.
type token struct {
	key   *ecdh.PrivateKey
	fails error
	asked int
}

func (t *token) PublicKey() *ecdh.PublicKey { return t.key.PublicKey() }
func (t *token) Curve() ecdh.Curve          { return t.key.Curve() }

func (t *token) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	if t.asked++; t.fails != nil {
		return nil, t.fails
	}
	return t.key.ECDH(peer)
}

func newToken(t *testing.T, curve ecdh.Curve) *token {
	t.Helper()
	key, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &token{key: key}
}

func TestKeyOnAToken(t *testing.T) {
	tok := newToken(t, ecdh.P256())
	k, err := recording.NewPrivateKey(tok, "piv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Encode(); err == nil {
		t.Error("a key on a token is encoded")
	}
	if _, err := k.Encrypt([]byte("x")); err == nil {
		t.Error("a key on a token is encrypted")
	}
	to, err := recording.ParseRecipient(k.Recipient().String())
	if err != nil || to.ID() != k.ID() || to.KEM() != recording.P256 {
		t.Fatalf("recipient %s, %v", to, err)
	}
	if _, err := recording.NewPrivateKey(newToken(t, ecdh.X25519()), ""); err == nil {
		t.Error("a token with another curve: accepted")
	}
	if _, err := recording.NewPrivateKey(nil, ""); err == nil {
		t.Error("no token: accepted")
	}
	data, _ := write(t, k, out("ls"))
	if got, err := read(data, k); !errors.Is(err, io.EOF) || len(got) != 1 || tok.asked != 1 {
		t.Errorf("%d entries, %v, asked %d times", len(got), err, tok.asked)
	}
	tok.fails = errors.New("the token was pulled out")
	if _, err := read(data, k); !errors.Is(err, tok.fails) || errors.Is(err, recording.ErrInvalid) {
		t.Errorf("a token that fails: %v", err)
	}
}
