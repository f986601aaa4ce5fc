//go:build pkcs11 && cgo

package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"
	"go.uber.org/goleak"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/pkcs11uri"
	"github.com/sekisho/sekisho/recording"
)

// softHSM is a folder of SoftHSM 2 with one token, "audit", whose PIN is 4711.
type softHSM struct {
	home, module, pin string
}

func newSoftHSM(t *testing.T) *softHSM {
	t.Helper()
	dir := t.TempDir()
	h := &softHSM{home: filepath.Join(dir, "home"), pin: filepath.Join(dir, "pin")}
	for _, path := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(path); err == nil {
			h.module = path
		}
	}
	if h.module == "" {
		t.Fatal("no SoftHSM 2 here: run dev/prepare.sh test")
	}
	tokens, conf := filepath.Join(dir, "tokens"), filepath.Join(dir, "softhsm2.conf")
	err := errors.Join(os.Mkdir(tokens, 0o700), os.WriteFile(h.pin, []byte("4711\n"), 0o600),
		os.WriteFile(conf, fmt.Appendf(nil, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	h.add(t, "audit")
	t.Cleanup(func() {
		if n := len(modules.loaded); n != 0 {
			t.Errorf("%d libraries are still loaded", n)
		}
	})
	return h
}

// add makes another token.
func (h *softHSM) add(t *testing.T, label string) {
	t.Helper()
	cmd := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", "4711", "--so-pin", "47114711")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func (h *softHSM) uri(attributes string) string {
	return "pkcs11:" + attributes + "?module-path=" + h.module + "&pin-source=file:" + h.pin
}

func (h *softHSM) run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	return command(t, h.home, args...)
}

// inside does something with a token that no command of ours does.
func (h *softHSM) inside(t *testing.T, do func(c *token) error) {
	t.Helper()
	u, err := pkcs11uri.Parse(h.uri("token=audit"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := (&app{ctx: t.Context(), err: os.Stderr}).logIn(u, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(do(in), in.Close()); err != nil {
		t.Fatal(err)
	}
}

// A key is made on the token, a recording is sealed to it, and played, three ways.
func TestKeyOnToken(t *testing.T) {
	h := newSoftHSM(t)
	code, line, errs := h.run(t, "keys", "generate", "card", "--label", "dpo", "--token", h.uri("token=audit"))
	if code != 0 || !strings.HasPrefix(line, "sekisho-recipient-v1 p256 ") || !strings.Contains(errs, "--key card") {
		t.Fatalf("%d %q %s", code, line, errs)
	}
	folder := filepath.Join(h.home, "keys")
	if left, _ := filepath.Glob(filepath.Join(folder, "*")); len(left) != 2 {
		t.Errorf("files of a key on a token: %v", left)
	}
	d := seal(t, hello, filepath.Join(folder, "card.pub"))
	for _, key := range [][]string{nil, {"--key", "card"}, {"--key", h.uri("token=audit;object=card;type=private")}, {"--key", h.uri("object=card")}} {
		args := append([]string{"recordings", "play", d.file, "--signer", d.signer, "--speed", "1000"}, key...)
		if code, out, errs := h.run(t, args...); code != 0 || out != "hello\r\n" {
			t.Errorf("%v: %d %q %s", key, code, out, errs)
		}
	}
	if code, out, errs := h.run(t, "recordings", "verify", d.file, "--signer", d.signer, "--key", "card"); code != 0 || !strings.Contains(out, "every frame opens") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	// The token knows no label, and else says the same.
	if code, shown, errs := h.run(t, "keys", "show", h.uri("object=card")); code != 0 || shown != strings.TrimSuffix(line, " dpo\n")+"\n" {
		t.Errorf("%d %q %s", code, shown, errs)
	}
	if _, out, _ := h.run(t, "keys", "list"); !strings.Contains(out, "p256  yes   token") {
		t.Errorf("%s", out)
	}
	if code, _, errs := h.run(t, "keys", "passphrase", "card", "--no-passphrase"); code != 1 || !strings.Contains(errs, "PIN") {
		t.Errorf("passphrase: %d %s", code, errs)
	}
	// A second key of that name is refused, and the first still works.
	if code, _, errs := h.run(t, "keys", "generate", "-o", filepath.Join(h.home, "x"), "--token", h.uri("token=audit;object=card")); code != 1 || !strings.Contains(errs, "has a key card already") {
		t.Errorf("again: %d %s", code, errs)
	}
	if code, out, errs := h.run(t, "recordings", "play", d.file, "--signer", d.signer, "--speed", "1000"); code != 0 || out != "hello\r\n" {
		t.Errorf("%d %q %s", code, out, errs)
	}
}

// The private key cannot be had from the token: neither by us nor by whoever knows the PIN.
func TestTokenKeepsItsKey(t *testing.T) {
	h := newSoftHSM(t)
	if code, _, errs := h.run(t, "keys", "generate", "card", "--token", h.uri("token=audit")); code != 0 {
		t.Fatal(errs)
	}
	h.inside(t, func(c *token) error {
		if err := c.find(pkcs11uri.URI{Object: "card"}); err != nil {
			return err
		}
		if v, err := c.read(c.private, pkcs11.CKA_VALUE); err == nil {
			return fmt.Errorf("the private key can be read: %d bytes", len(v[0]))
		}
		private, err := recording.NewPrivateKey(c, "x")
		if err != nil {
			return err
		}
		if _, err := private.Encode(); err == nil {
			return errors.New("the private key has a text")
		}
		return nil
	})
}

func TestTokenRefusals(t *testing.T) {
	h := newSoftHSM(t)
	h.add(t, "other")
	if code, _, errs := h.run(t, "keys", "generate", "card", "--token", h.uri("token=audit")); code != 0 {
		t.Fatal(errs)
	}
	h.inside(t, func(c *token) error {
		return errors.Join(makePair(c, "big", []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, true), // P-384
			makePair(c, "signer", p256Params, false), makePair(c, "twin", p256Params, true), makePair(c, "twin", p256Params, true))
	})
	wrong := secretIn(t, "0815")
	for name, c := range map[string]struct {
		uri  string
		code int
		says string
	}{
		"wrong PIN":       {"pkcs11:token=audit;object=card?pin-source=file:" + wrong + "&module-path=" + h.module, 1, "That is not the PIN of token audit. Mind that"},
		"no PIN":          {"pkcs11:token=audit;object=card?module-path=" + h.module, 1, "wants its PIN, and there is no terminal"},
		"PIN in the URI":  {h.uri("token=audit;object=card") + "&pin-value=4711", 2, "pin-value would show"},
		"missing token":   {h.uri("token=none;object=card"), 1, "The token that the URI means is not there. There are: "},
		"which token":     {h.uri("object=card"), 1, "means more than one token"},
		"missing key":     {h.uri("token=audit;object=none"), 1, "not on token audit"},
		"which key":       {h.uri("token=audit;object=twin"), 1, "more than one private key"},
		"other curve":     {h.uri("token=audit;object=big"), 1, "not of curve P-256"},
		"may not derive":  {h.uri("token=audit;object=signer"), 1, "cannot agree on secrets"},
		"no library":      {"pkcs11:token=audit;object=card", 1, "module-path"},
		"relative":        {"pkcs11:token=audit?module-path=libsofthsm2.so", 1, "absolute"},
		"missing library": {"pkcs11:token=audit?module-path=/does/not/exist.so", 1, "The PKCS#11 library /does/not/exist.so cannot be used"},
		"no such library": {"pkcs11:token=audit?module-path=/bin/sh", 1, "/bin/"},
	} {
		code, out, errs := h.run(t, "keys", "show", c.uri)
		if code != c.code || out != "" || !strings.Contains(errs, c.says) || strings.Contains(errs, "4711") || strings.Contains(errs, "0815") || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: %d %q %s", name, code, out, errs)
		}
		if n := len(modules.loaded); n != 0 {
			t.Fatalf("%s: %d libraries are still loaded", name, n)
		}
	}
	// The PIN can stand in a file that the environment names, as well.
	t.Setenv(pinFileVariable, h.pin)
	t.Setenv(modulePathVariable, h.module)
	if code, _, errs := h.run(t, "keys", "show", "pkcs11:token=audit;object=card"); code != 0 {
		t.Errorf("by the environment: %s", errs)
	}
	// What a key was made with is remembered with it.
	if code, _, errs := h.run(t, "keys", "generate", "second", "--token", "pkcs11:token=audit"); code != 0 {
		t.Errorf("made by the environment: %s", errs)
	}
	t.Setenv(modulePathVariable, "")
	second := seal(t, hello, filepath.Join(h.home, "keys", "second.pub"))
	if code, out, errs := h.run(t, "recordings", "play", second.file, "--signer", second.signer, "--speed", "1000"); code != 0 || out != "hello\r\n" {
		t.Errorf("without the environment: %d %q %s", code, out, errs)
	}
	// A key that was made anew under the same name is another key.
	h.inside(t, func(c *token) error {
		if err := c.find(pkcs11uri.URI{Object: "card"}); err != nil {
			return err
		}
		public, err := c.search(template(pkcs11uri.URI{Object: "card"}, pkcs11.CKO_PUBLIC_KEY))
		if err != nil {
			return err
		}
		return errors.Join(c.module.DestroyObject(c.session, c.private), c.module.DestroyObject(c.session, public[0]), makePair(c, "card", p256Params, true))
	})
	d := seal(t, hello, filepath.Join(h.home, "keys", "card.pub"))
	if code, _, errs := h.run(t, "recordings", "play", d.file, "--key", "card"); code != 1 || !strings.Contains(errs, "finds on the token is rk_") {
		t.Errorf("another key of the same name: %d %s", code, errs)
	}
}

// makePair makes a pair as other programs would.
func makePair(c *token, label string, params []byte, derive bool) error {
	var id [16]byte
	rand.Read(id[:])
	names := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label), pkcs11.NewAttribute(pkcs11.CKA_ID, id[:])}
	_, _, err := c.module.GenerateKeyPair(c.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil)},
		append([]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, params)}, names...),
		append([]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_DERIVE, derive), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true)}, names...))
	return err
}

// What a token says when it can no more; SoftHSM never locks.
func TestTokenSays(t *testing.T) {
	for code, want := range map[uint]string{
		pkcs11.CKR_PIN_LOCKED:               "The PIN of token x is locked.",
		pkcs11.CKR_DEVICE_REMOVED:           "Token x is not there any more.",
		pkcs11.CKR_TOKEN_NOT_PRESENT:        "Token x is not there any more.",
		pkcs11.CKR_USER_PIN_NOT_INITIALIZED: "Token x has no PIN yet.",
		pkcs11.CKR_DEVICE_MEMORY:            "token x: pkcs11: 0x31: CKR_DEVICE_MEMORY",
	} {
		if err := tokenRefusal("x", pkcs11.Error(code)); !strings.HasPrefix(err.Error()+sayIf(err), want) && !strings.Contains(sayIf(err), want) {
			t.Errorf("%#x: %v", code, err)
		}
	}
	var out strings.Builder
	a := &app{ctx: t.Context(), in: strings.NewReader(""), err: &out}
	if err := a.givePIN(&token{name: "x"}, pkcs11uri.URI{}, pkcs11.CKF_USER_PIN_LOCKED|pkcs11.CKF_USER_PIN_INITIALIZED); !errors.Is(err, pkcs11.Error(pkcs11.CKR_PIN_LOCKED)) {
		t.Errorf("a locked PIN: %v", err)
	}
	if err := a.givePIN(&token{name: "x"}, pkcs11uri.URI{}, pkcs11.CKF_USER_PIN_FINAL_TRY|pkcs11.CKF_USER_PIN_INITIALIZED); err == nil || !strings.Contains(out.String(), "one more wrong PIN locks it") {
		t.Errorf("the last try: %v %q", err, out.String())
	}
}

func sayIf(err error) string {
	var refusal *sekisho.Refusal
	if errors.As(err, &refusal) {
		return sekisho.Say(err)
	}
	return ""
}

// The library is loaded and let go many times, and used by many at once; nothing is left behind.
func TestTokenStress(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	h := newSoftHSM(t)
	if code, _, errs := h.run(t, "keys", "generate", "card", "--token", h.uri("token=audit")); code != 0 {
		t.Fatal(errs)
	}
	d := seal(t, hello, filepath.Join(h.home, "keys", "card.pub"))
	for range 50 {
		if code, out, errs := h.run(t, "recordings", "play", d.file, "--signer", d.signer, "--speed", "1000"); code != 0 || out != "hello\r\n" {
			t.Fatalf("%d %q %s", code, out, errs)
		}
	}
	uri, err := pkcs11uri.Parse(h.uri("object=card"))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				key, err := (&app{ctx: t.Context(), err: os.Stderr}).openToken(uri)
				if err == nil {
					err = errors.Join(agrees(key), agrees(key), key.Close(), key.Close())
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// One session serves many at once, and nobody after it was closed.
func TestTokenClosed(t *testing.T) {
	h := newSoftHSM(t)
	if code, _, errs := h.run(t, "keys", "generate", "card", "--token", h.uri("token=audit")); code != 0 {
		t.Fatal(errs)
	}
	uri, err := pkcs11uri.Parse(h.uri("object=card"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := (&app{ctx: t.Context(), err: os.Stderr}).openToken(uri)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if err := agrees(key); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	other, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.ECDH(other.PublicKey()); err == nil {
		t.Error("a peer of another curve: no error")
	}
	if err := key.Close(); err != nil {
		t.Fatal(err)
	}
	if err := agrees(key); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("after Close: %v", err)
	}
}
