package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho/recording"
)

// hello is what a short session showed.
var hello = []recording.Entry{{Kind: recording.Output, At: time.Second, Data: []byte("hello\r\n")}}

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.key")
	code, line, errs := run(t, "keys", "generate", "-o", path, "--label", "auditors", "--no-passphrase")
	if code != 0 || !strings.HasPrefix(line, "sekisho-recipient-v1 ") || !strings.HasSuffix(line, " auditors\n") {
		t.Fatalf("%d %q %s", code, line, errs)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if public, err := os.ReadFile(path + ".pub"); err != nil || string(public) != line {
		t.Errorf("%q %v", public, err)
	}
	for _, file := range []string{path, path + ".pub"} {
		if code, shown, errs := run(t, "keys", "show", file); code != 0 || shown != line || !strings.Contains(errs, "ID          rk_") {
			t.Errorf("show %s: %d %q %s", file, code, shown, errs)
		}
	}
	before, _ := os.ReadFile(path)
	if code, _, errs := run(t, "keys", "generate", "-o", path, "--no-passphrase"); code != 1 || !strings.Contains(errs, "there already") {
		t.Errorf("a second time: %d %s", code, errs)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the key was overwritten")
	}
	if code, _, _ := run(t, "keys", "generate", "-o", path+"2", "--label", "two words", "--no-passphrase"); code != 2 {
		t.Errorf("a label of two words: %d", code)
	}
	// A half pair is not left behind, and a link is not followed.
	other := filepath.Join(filepath.Dir(path), "b.key")
	if err := os.Symlink(path+"-elsewhere", other+".pub"); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := run(t, "keys", "generate", "-o", other, "--no-passphrase"); code != 1 {
		t.Errorf("onto a link: %d", code)
	}
	for _, gone := range []string{other, path + "-elsewhere"} {
		if _, err := os.Lstat(gone); err == nil {
			t.Errorf("%s was left behind", gone)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"keys", "show", path}, {"keys", "passphrase", path}} {
		if code, out, errs := run(t, args...); code != 1 || out != "" || !strings.Contains(errs, "(mode 0640). Run: chmod 600 "+path) {
			t.Errorf("%v of a key that others can read: %d %s", args, code, errs)
		}
	}
}

// secretIn writes a file with a secret in it.
func secretIn(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// lockQuickly puts a private key's file under a passphrase, as recording/locked.go says, but with so few iterations that
// tests need not wait.
func lockQuickly(t *testing.T, path, passphrase string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := recording.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Fields(string(text))[2])
	if err != nil {
		t.Fatal(err)
	}
	salt := make([]byte, 16)
	secret, err := pbkdf2.Key(sha256.New, passphrase, salt, 1000, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf("sekisho-locked-key-v1 %s %s 1000 %s", key.KEM(), key.ID(), base64.StdEncoding.EncodeToString(salt))
	label := key.Recipient().Label()
	if label != "" {
		label = " " + label
	}
	sealed := base64.StdEncoding.EncodeToString(aead.Seal(nil, nil, raw, []byte(head+label)))
	if err := os.WriteFile(path, []byte(head+" "+sealed+label+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A file opens also where there can be no home folder, and a passphrase comes on stdin, too.
func TestKeyWithoutHome(t *testing.T) {
	t.Chdir(t.TempDir())
	var out, errs bytes.Buffer
	a := &app{ctx: t.Context(), in: strings.NewReader("open sesame\n"), out: &out, err: &errs}
	if code := a.main([]string{"--home", "/dev/null/home", "keys", "generate", "-o", "a.key", "--passphrase-file", "-"}); code != 0 {
		t.Fatalf("%d %s", code, &errs)
	}
	d := seal(t, hello, "a.key.pub")
	t.Setenv(passphraseFileVariable, secretIn(t, "open sesame"))
	if code, out, errs := command(t, "/dev/null/home", "recordings", "play", d.file, "--key", "a.key", "--speed", "1000"); code != 0 || out != "hello\r\n" {
		t.Errorf("%d %q %s", code, out, errs)
	}
	if code, _, errs := command(t, "/dev/null/home", "recordings", "play", d.file, "--key", "b.key"); code != 1 || !strings.Contains(errs, "make the folder") {
		t.Errorf("%d %s", code, errs)
	}
}

// What a key is made of is asked for, or said: nothing is assumed.
func TestGenerateRefuses(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	loose := secretIn(t, "x")
	if err := os.Chmod(loose, 0o604); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"a", 2, "give --passphrase-file FILE, or --no-passphrase"},
		{"-o " + home + "/x", 2, "give --passphrase-file FILE, or --no-passphrase"},
		{"", 2, "or -o FILE"},
		{"a -o b --no-passphrase", 2, "or -o FILE"},
		{"../a --no-passphrase", 2, "no name for a key"},
		{"a --no-passphrase --passphrase-file x", 2, "can't be used together"},
		{"a --kem rsa --no-passphrase", 2, "--kem: no kind of key is called"},
		{"a --token pkcs11:object=a --kem mlkem768-p256", 2, "of kind p256"},
		{"a --token pkcs11:object=a?pin-value=123456", 2, "pin-source"},
		{"a --token softhsm", 2, "--token: want pkcs11:"},
		{"a --passphrase-file " + loose, 1, "(mode 0604). Run: chmod 600"},
		{"a --passphrase-file " + secretIn(t, "\n"), 1, "is empty"},
		{"a --passphrase-file " + secretIn(t, strings.Repeat("x", maxSecret+1)), 1, "more than 1024 bytes"},
		{"a --passphrase-file /does/not/exist", 1, "no such file"},
	} {
		code, out, errs := command(t, home, append([]string{"keys", "generate"}, strings.Fields(c.args)...)...)
		if code != c.code || out != "" || !strings.Contains(errs, c.says) || strings.Contains(errs, "123456") {
			t.Errorf("%q: %d %q %q, want %d and %q", c.args, code, out, errs, c.code, c.says)
		}
	}
	left, _ := filepath.Glob(filepath.Join(home, "keys", "*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPassphraseFiles(t *testing.T) {
	key := filepath.Join(t.TempDir(), "a.key")
	if code, _, errs := run(t, "keys", "generate", "-o", key, "--passphrase-file", secretIn(t, "open sesame\n")); code != 0 {
		t.Fatal(errs)
	}
	text, err := os.ReadFile(key)
	if err != nil || !strings.HasPrefix(string(text), "sekisho-locked-key-v1 ") {
		t.Fatalf("%q %v", text, err)
	}
	t.Setenv(passphraseFileVariable, secretIn(t, "open sesame"))
	d := seal(t, hello, key+".pub")
	if code, out, errs := run(t, "recordings", "play", d.file, "--signer", d.signer, "--key", key, "--speed", "1000"); code != 0 || out != "hello\r\n" {
		t.Errorf("%d %q %s", code, out, errs)
	}
	t.Setenv(passphraseFileVariable, "")

	key += "2"
	if code, _, errs := run(t, "keys", "generate", "-o", key, "--no-passphrase"); code != 0 {
		t.Fatal(errs)
	}
	lockQuickly(t, key, "open sesame")
	d = seal(t, hello, key+".pub")
	play := func(secret string) (int, string, string) {
		if secret != "" {
			t.Setenv(passphraseFileVariable, secretIn(t, secret))
		}
		return run(t, "recordings", "play", d.file, "--signer", d.signer, "--key", key, "--speed", "1000")
	}
	if code, out, errs := play(""); code != 1 || out != "" || !strings.Contains(errs, passphraseFileVariable) {
		t.Errorf("without a terminal: %d %q %s", code, out, errs)
	}
	// A key that does not open the recording is told so, with the one that does, and its passphrase is not asked for.
	other := deskOf(t, hello)
	for _, command := range []string{"play", "export", "show", "commands", "verify"} {
		args := []string{"recordings", command, other.file, "--signer", other.signer, "--key", key}
		if code, out, errs := run(t, args...); code != 1 || out != "" || !strings.Contains(errs, "it was sealed to rk_") {
			t.Errorf("%s: %d %q %s", command, code, out, errs)
		}
	}
	// One newline at the end is the editor's, the rest is the passphrase.
	for _, right := range []string{"open sesame", "open sesame\n", "open sesame\r\n"} {
		if code, out, errs := play(right); code != 0 || out != "hello\r\n" {
			t.Errorf("%q: %d %q %s", right, code, out, errs)
		}
	}
	for _, wrong := range []string{"open sesam", "open sesame\n\n", " open sesame", "OPEN SESAME"} {
		code, out, errs := play(wrong)
		if code != 1 || out != "" || !strings.Contains(errs, "the passphrase is wrong") || strings.Contains(errs, "sesam") || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q: %d %q %s", wrong, code, out, errs)
		}
	}
	// The line of a key under a passphrase needs no passphrase, as long as the .pub is there.
	if code, out, errs := run(t, "keys", "show", key); code != 0 || !strings.Contains(errs, "Protection  passphrase") || !strings.HasPrefix(out, "sekisho-recipient-v1 ") {
		t.Errorf("show: %d %s%s", code, out, errs)
	}
}

func TestChangePassphrase(t *testing.T) {
	key := filepath.Join(t.TempDir(), "a.key")
	_, line, _ := run(t, "keys", "generate", "-o", key, "--no-passphrase")
	change := func(present string, args ...string) (int, string) {
		if present != "" {
			t.Setenv(passphraseFileVariable, secretIn(t, present))
		}
		code, _, errs := run(t, append([]string{"keys", "passphrase", key}, args...)...)
		return code, errs
	}
	if code, errs := change("", "--no-passphrase"); code != 1 || !strings.Contains(errs, "has no passphrase") {
		t.Errorf("removed from a key without: %d %s", code, errs)
	}
	if code, errs := change(""); code != 2 || !strings.Contains(errs, "--new-passphrase-file") {
		t.Errorf("without a terminal: %d %s", code, errs)
	}
	lockQuickly(t, key, "one")
	if code, errs := change("guess", "--new-passphrase-file", secretIn(t, "two")); code != 1 || !strings.Contains(errs, "the passphrase is wrong") {
		t.Errorf("changed with a guess: %d %s", code, errs)
	}
	link := key + "-link"
	if err := os.Symlink(key, link); err != nil {
		t.Fatal(err)
	}
	t.Setenv(passphraseFileVariable, secretIn(t, "one"))
	if code, _, errs := run(t, "keys", "passphrase", link, "--new-passphrase-file", secretIn(t, "two")); code != 0 {
		t.Fatalf("changed: %s", errs)
	}
	if to, err := os.Readlink(link); err != nil || to != key {
		t.Errorf("the link is %q now: %v", to, err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if code, errs := change("two", "--no-passphrase"); code != 0 {
		t.Fatalf("removed: %s", errs)
	}
	if err := os.Remove(key + ".pub"); err != nil {
		t.Fatal(err)
	}
	if code, again, errs := run(t, "keys", "show", key); code != 0 || again != line {
		t.Errorf("the key is another one now: %d %q %s", code, again, errs)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(key), ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestKeyFolder(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	for _, c := range []string{"dpo --label data-protection --no-passphrase", "ci --kem mlkem768-p256 --passphrase-file " + secretIn(t, "x")} {
		if code, _, errs := command(t, home, append([]string{"keys", "generate"}, strings.Fields(c)...)...); code != 0 {
			t.Fatal(errs)
		}
	}
	folder := filepath.Join(home, "keys")
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	for name, text := range map[string]string{"junk.key": "hello\n", "notes.txt": "x", ".hidden.key": "x"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := command(t, home, "keys", "list")
	if code != 0 || !strings.Contains(out, "ci    rk_") || !strings.Contains(out, "data-protection  mlkem768-x25519  no    none") ||
		!strings.Contains(out, "mlkem768-p256    yes   passphrase") || !strings.Contains(out, "  SEALED-TO\n") || !strings.HasSuffix(out, "  ?\n") || strings.Contains(out, "hidden") || !strings.Contains(errs, "junk: ") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	var all struct {
		Keys []map[string]any `json:"keys"`
	}
	_, out, _ = command(t, home, "keys", "list", "--json")
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all.Keys) != 2 || all.Keys[0]["name"] != "ci" || all.Keys[0]["sealed_now"] != nil {
		t.Errorf("%v %s", err, out)
	}
	if _, out, _ := command(t, home, "keys", "names"); out != "ci\ndpo\n" {
		t.Errorf("names: %q", out)
	}
	if code, out, errs := command(t, home, "keys", "show", "dpo"); code != 0 || !strings.HasSuffix(out, " data-protection\n") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if code, _, errs := command(t, home, "keys", "generate", "dpo", "--no-passphrase"); code != 1 || !strings.Contains(errs, "there already") {
		t.Errorf("again: %d %s", code, errs)
	}
	if err := os.Chmod(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := command(t, home, "keys", "list"); code != 1 || !strings.Contains(errs, "chmod 700") {
		t.Errorf("a folder others can look into: %d %s", code, errs)
	}
}

func TestFullKeyFolder(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	if code, _, errs := command(t, home, "keys", "list"); code != 0 || !strings.Contains(errs, "There is no key in") {
		t.Fatalf("%d %s", code, errs)
	}
	for n := range maxKeys + 1 {
		if err := os.WriteFile(filepath.Join(home, "keys", fmt.Sprintf("k%d.pub", n)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, errs := command(t, home, "keys", "list"); code != 1 || !strings.Contains(errs, "more than 1000 keys") {
		t.Errorf("%d %s", code, errs)
	}
}

// A recording finds its key; who has none that opens it is told which would.
func TestWhichKey(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	make := func(name string) string {
		t.Helper()
		if code, _, errs := command(t, home, "keys", "generate", name, "--label", name+"-2026", "--no-passphrase"); code != 0 {
			t.Fatal(errs)
		}
		return filepath.Join(home, "keys", name+".pub")
	}
	dpo, spare, other := make("dpo"), make("spare"), make("other")
	one, two := seal(t, hello, dpo), seal(t, hello, dpo, spare)
	play := func(d desk, args ...string) (int, string, string) {
		return command(t, home, append([]string{"recordings", "play", d.file, "--signer", d.signer, "--speed", "1000"}, args...)...)
	}
	if code, out, errs := play(one); code != 0 || out != "hello\r\n" {
		t.Errorf("without --key: %d %q %s", code, out, errs)
	}
	if code, out, errs := play(two, "--key", "spare"); code != 0 || out != "hello\r\n" {
		t.Errorf("by name: %d %q %s", code, out, errs)
	}
	if code, _, errs := play(two); code != 2 || !strings.Contains(errs, "dpo, spare open this recording: say which with --key") {
		t.Errorf("with two: %d %s", code, errs)
	}
	code, out, errs := play(one, "--key", "other")
	if code != 1 || out != "" || !strings.Contains(errs, "Wrong key: rk_") || !strings.Contains(errs, "(other-2026) does not open this recording; it was sealed to rk_") ||
		!strings.Contains(errs, "(dpo-2026)") || !strings.Contains(errs, "keys/dpo.key opens it: give --key dpo.") {
		t.Errorf("the wrong one: %d %q %s", code, out, errs)
	}
	for _, args := range [][]string{{"show", one.file}, {"verify", one.file, "--signer", one.signer}} {
		code, _, errs := command(t, home, append(append([]string{"recordings"}, args...), "--key", other[:len(other)-len(".pub")]+".key")...)
		if code != 1 || !strings.Contains(errs, "give --key dpo.") {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
	// Only the public half is left of one: it opens nothing.
	if err := os.Remove(strings.TrimSuffix(dpo, ".pub") + ".key"); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := play(one); code != 1 || !strings.Contains(errs, "opens this recording; it was sealed to rk_") || !strings.Contains(errs, "(dpo-2026)") {
		t.Errorf("without the private half: %d %s", code, errs)
	}
	if code, _, errs := play(one, "--key", "nobody"); code != 1 || !strings.Contains(errs, "The key nobody cannot be read") {
		t.Errorf("a name that is none: %d %s", code, errs)
	}
}

func TestNoTokensHere(t *testing.T) {
	if hasTokens {
		t.Skip("this build has PKCS#11")
	}
	uri := "pkcs11:token=a;object=b?module-path=/x.so"
	d := newDesk(t, "x")
	for _, args := range [][]string{{"keys", "show", uri}, {"keys", "generate", "a", "--token", uri}, {"recordings", "play", d.file, "--key", uri}} {
		if code, out, errs := run(t, args...); code != 1 || out != "" || !strings.Contains(errs, "no PKCS#11. Build it with: CGO_ENABLED=1 go build -tags pkcs11") {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
	}
}
