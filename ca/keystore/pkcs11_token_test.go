//go:build pkcs11 && cgo

package keystore_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sekisho/sekisho/ca/keystore"
)

// softHSM is a folder of SoftHSM 2 with one token, "ca", whose PIN is 4711.
type softHSM struct {
	dir, tokens, module string
}

func newSoftHSM(t testing.TB) *softHSM {
	t.Helper()
	dir := t.TempDir()
	h := &softHSM{dir: dir, tokens: filepath.Join(dir, "tokens")}
	for _, path := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(path); err == nil {
			h.module = path
		}
	}
	if h.module == "" {
		t.Fatal("no SoftHSM 2 here: run dev/prepare.sh test")
	}
	conf := filepath.Join(dir, "softhsm2.conf")
	err := errors.Join(os.Mkdir(h.tokens, 0o700), os.WriteFile(filepath.Join(dir, "pin"), []byte("4711\n"), 0o600),
		os.WriteFile(conf, fmt.Appendf(nil, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", h.tokens), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	h.add(t, "ca")
	return h
}

func (h *softHSM) add(t testing.TB, label string) {
	t.Helper()
	if out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", "4711", "--so-pin", "47114711").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func (h *softHSM) uri(attributes string) string {
	return "pkcs11:" + attributes + "?module-path=" + h.module + "&pin-source=file:pin"
}

func (h *softHSM) options() keystore.Options { return keystore.Options{Folder: h.dir} }

// unplug takes the tokens away, and leaves the library; plug puts them back.
func (h *softHSM) unplug(t *testing.T) { h.move(t, h.tokens, h.tokens+".away") }
func (h *softHSM) plug(t *testing.T)   { h.move(t, h.tokens+".away", h.tokens) }

func (h *softHSM) move(t *testing.T, from, to string) {
	t.Helper()
	err := os.MkdirAll(to, 0o700)
	entries, readErr := os.ReadDir(from)
	for _, e := range entries {
		err = errors.Join(err, os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())))
	}
	if err = errors.Join(err, readErr); err != nil {
		t.Fatal(err)
	}
}

func TestToken(t *testing.T) {
	h := newSoftHSM(t)
	for _, kind := range []keystore.Kind{keystore.Best, keystore.P384} {
		t.Run(string(kind), func(t *testing.T) {
			uri := h.uri("token=ca;object=key" + string(kind))
			create(t, uri, kind, h.options())
			conform(t, uri, h.options())
		})
	}
}

// The private key cannot be had by whoever knows the PIN.
func TestTokenKeepsItsKey(t *testing.T) {
	h := newSoftHSM(t)
	create(t, h.uri("token=ca;object=key;id=%01"), keystore.Best, h.options())
	out, err := exec.Command("pkcs11-tool", "--module", h.module, "--login", "--pin", "4711", "--list-objects", "--type", "privkey", "--id", "01").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Access:     sensitive, always sensitive, never extractable, local") {
		t.Errorf("%v %s", err, out)
	}
}

// The token is unplugged in the middle, while others sign: signing fails, naming store and fix, and goes on when it is back.
func TestTokenUnplugged(t *testing.T) {
	h := newSoftHSM(t)
	create(t, h.uri("token=ca;object=a"), keystore.Best, h.options())
	create(t, h.uri("token=ca;object=b"), keystore.P384, h.options())
	keys := []keystore.Key{open(t, h.uri("token=ca;object=a"), h.options()), open(t, h.uri("token=ca;object=b"), h.options())}
	for range 3 {
		for _, key := range keys {
			together(t, key)
		}
		h.unplug(t)
		for _, key := range keys {
			for _, err := range []error{sign(key, []byte("x")), sign(key, []byte("x")), key.Check(t.Context())} {
				if err == nil || !strings.Contains(err.Error(), "pkcs11:token=ca;object=") || !strings.Contains(err.Error(), "token ca is not plugged in: plug it in; signing goes on by itself") {
					t.Errorf("unplugged: %v", err)
				}
			}
		}
		h.plug(t)
		for _, key := range keys {
			eventually(t, key)
			if err := key.Check(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

// The library itself stops working, because what it needs is gone, and works again.
func TestTokenLibraryGone(t *testing.T) {
	h := newSoftHSM(t)
	create(t, h.uri("token=ca;object=a"), keystore.Best, h.options())
	key := open(t, h.uri("token=ca;object=a"), h.options())
	if err := os.Rename(h.tokens, h.tokens+".gone"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := sign(key, []byte("x")); err == nil || !strings.Contains(err.Error(), "cannot use the PKCS#11 library "+h.module) && !strings.Contains(err.Error(), "libsofthsm2.so") || !strings.Contains(err.Error(), "goes on by itself") {
			t.Errorf("without its folder: %v", err)
		}
	}
	if err := os.Rename(h.tokens+".gone", h.tokens); err != nil {
		t.Fatal(err)
	}
	eventually(t, key)
}

// Many sign while the token comes and goes: nothing but errors of the key store comes out, and no wrong signature.
func TestTokenUnpluggedUnderLoad(t *testing.T) {
	h := newSoftHSM(t)
	create(t, h.uri("token=ca;object=a"), keystore.Best, h.options())
	key := open(t, h.uri("token=ca;object=a"), h.options())
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var of *keystore.Error
				if err := sign(key, []byte("x")); err != nil && (!errors.As(err, &of) || !strings.Contains(err.Error(), "token ca")) {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		h.unplug(t)
		time.Sleep(300 * time.Millisecond)
		h.plug(t)
	}
	eventually(t, key)
	close(stop)
	all.Wait()
	signs(t, key)
}

// Another token with the same names and another key is refused.
func TestTokenSwapped(t *testing.T) {
	h := newSoftHSM(t)
	create(t, h.uri("token=ca;object=a"), keystore.Best, h.options())
	key := open(t, h.uri("token=ca;object=a"), h.options())
	signs(t, key)
	h.unplug(t)
	h.add(t, "ca")
	make := exec.Command("pkcs11-tool", "--module", h.module, "--token-label", "ca", "--login", "--pin", "4711", "--keypairgen", "--key-type", "EC:prime256v1", "--label", "a", "--id", "01")
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	var err error
	for range 30 { // the library may take a second to see it
		if err = sign(key, []byte("x")); err == nil || strings.Contains(err.Error(), "another public key") {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err == nil || !strings.Contains(err.Error(), "another public key") || !strings.Contains(err.Error(), "do not trust") {
		t.Errorf("with another key: %v", err)
	}
}

func TestTokenRefuses(t *testing.T) {
	h := newSoftHSM(t)
	o := h.options()
	create(t, h.uri("token=ca;object=a"), keystore.Best, o)
	if err := errors.Join(os.WriteFile(filepath.Join(h.dir, "wrong"), []byte("9999"), 0o600), os.WriteFile(filepath.Join(h.dir, "loose"), []byte("4711"), 0o644)); err != nil {
		t.Fatal(err)
	}
	library, err := os.ReadFile(h.module)
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(h.dir, "loose.so"), library, 0o600), os.Chmod(filepath.Join(h.dir, "loose.so"), 0o666))
	}
	if err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]string{
		"pkcs11:token=ca;object=a?module-path=" + h.dir + "/loose.so":                 "lets others write it",
		h.uri("token=ca;object=none"):                                                 "key not found",
		h.uri("token=none;object=a"):                                                  "token none is not plugged in: plug it in",
		h.uri("serial=123;object=a"):                                                  "the token with serial 123 is not plugged in",
		"pkcs11:token=ca;object=a?module-path=/nowhere.so":                            "cannot use the PKCS#11 library",
		"pkcs11:token=ca;object=a?module-path=/etc/passwd":                            "cannot use the PKCS#11 library",
		"pkcs11:token=ca;object=a?module-path=" + h.module:                            "PIN of token ca",
		"pkcs11:token=ca;object=a?module-path=" + h.module + "&pin-source=file:wrong": "wrong passphrase or PIN",
		"pkcs11:token=ca;object=a?module-path=" + h.module + "&pin-source=file:loose": "lets others read it",
	} {
		if _, err := keystore.Open(t.Context(), uri, o); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "9999") {
			t.Errorf("%s: %v, want %q", uri, err, want)
		}
	}
	if _, err := keystore.Create(t.Context(), h.uri("token=ca;object=x"), keystore.Ed25519, o); err == nil || !strings.Contains(err.Error(), "want one of") {
		t.Error(err)
	}
	if _, err := keystore.Create(t.Context(), h.uri("token=ca;id=%02"), keystore.Best, o); err == nil || !strings.Contains(err.Error(), "object=LABEL") {
		t.Error(err)
	}
	h.add(t, "ca")
	if _, err := keystore.Open(t.Context(), h.uri("token=ca;object=a"), o); err == nil || !strings.Contains(err.Error(), "more than one token: add serial=") {
		t.Error(err)
	}
}

// The PIN was changed while the key was in use: a wrong one is tried once, so that the token does not lock.
func TestTokenWrongPIN(t *testing.T) {
	h := newSoftHSM(t)
	create(t, h.uri("token=ca;object=a"), keystore.Best, h.options())
	key := open(t, h.uri("token=ca;object=a"), h.options())
	pin := filepath.Join(h.dir, "pin")
	if err := os.WriteFile(pin, []byte("9999"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.unplug(t)
	if err := sign(key, []byte("x")); err == nil {
		t.Fatal("it is not unplugged")
	}
	h.plug(t)
	var err error
	for range 100 {
		if err = sign(key, []byte("x")); strings.Contains(fmt.Sprint(err), "refused before") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !errors.Is(err, keystore.ErrSecret) || !strings.Contains(err.Error(), "pin-source=") {
		t.Errorf("with a wrong PIN: %v", err)
	}
	if err := os.WriteFile(pin, []byte("4711"), 0o600); err != nil {
		t.Fatal(err)
	}
	signs(t, key)
}

func BenchmarkToken(b *testing.B) {
	h := newSoftHSM(b)
	key, err := keystore.Create(b.Context(), h.uri("token=ca;object=a"), keystore.P256, h.options())
	if err != nil {
		b.Fatal(err)
	}
	key.Close()
	benchmark(b, h.uri("token=ca;object=a"), h.options())
}
