package keystore_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/ca/keystore"
)

const passphrase = "correct horse 4711"

// folder is a closed folder with a passphrase in pass and another in other, and options that know them in every way.
func folder(t testing.TB) (dir string, o keystore.Options) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "keys")
	err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "pass"), []byte(passphrase+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "other"), []byte("another 4711"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"PASS": passphrase, "OTHER": "another 4711", "CREDENTIALS_DIRECTORY": dir}
	return dir, keystore.Options{Folder: dir, Getenv: func(name string) string { return env[name] }}
}

func TestFile(t *testing.T) {
	for name, query := range map[string]string{
		"plain": "", "file": "?passphrase-file=pass", "environment": "?passphrase-env=PASS", "credential": "?passphrase-credential=pass",
	} {
		for _, kind := range []keystore.Kind{keystore.Best, keystore.P256, keystore.P384} {
			if kind != keystore.Best && strings.Contains(query, "=PASS") || kind == keystore.P256 && query != "" { // deriving keys takes its time
				continue
			}
			t.Run(name+string(kind), func(t *testing.T) {
				dir, o := folder(t)
				create(t, "file:key.pem"+query, kind, o)
				text, err := os.ReadFile(filepath.Join(dir, "key.pem"))
				if err != nil {
					t.Fatal(err)
				}
				if encrypted := strings.HasPrefix(string(text), "-----BEGIN ENCRYPTED PRIVATE KEY-----"); encrypted != (query != "") {
					t.Errorf("%s", text)
				}
				info, err := os.Stat(filepath.Join(dir, "key.pem"))
				if err != nil || info.Mode() != 0o600 {
					t.Errorf("%v %v", info.Mode(), err)
				}
				conform(t, "file:"+dir+"/key.pem"+query, o)
			})
		}
	}
}

// Approved algorithms are enough for files: the same tests pass where nothing else works.
func TestFileFIPS(t *testing.T) {
	if strings.Contains(os.Getenv("GODEBUG"), "fips140=only") {
		t.Skip("this is it")
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^Test(File|Rewrap|FileAsBefore)$/^(plain|file$)")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") || strings.Contains(string(out), "no tests") {
		t.Errorf("%v %s", err, out)
	}
}

// Keys that sekishod made before there were key stores open as they are.
func TestFileAsBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "user-ca.pem")
	before, err := ca.OpenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	key := open(t, "file:"+path, keystore.Options{})
	if !same(key, before) {
		t.Error("another key")
	}
	conform(t, "file://"+path, keystore.Options{})
	conform(t, "file://localhost"+path, keystore.Options{})
}

// What OpenSSL encrypts opens here, and the other way round.
func TestFileOpenSSL(t *testing.T) {
	dir, o := folder(t)
	openssl := func(args ...string) {
		t.Helper()
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v %s", args, err, out)
		}
		if err := os.Chmod(filepath.Join(dir, "theirs.pem"), 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "plain.pem")
	for _, how := range [][]string{
		{"-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256"},
		{"-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", "600000"},
		{"-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"},
	} {
		openssl(append([]string{"pkcs8", "-topk8", "-in", "plain.pem", "-out", "theirs.pem", "-passout", "file:pass"}, how...)...)
		conform(t, "file:theirs.pem?passphrase-file=pass", o)
	}
	openssl("pkcs8", "-topk8", "-in", "plain.pem", "-out", "theirs.pem", "-passout", "file:pass", "-v2", "des3")
	if _, err := keystore.Open(t.Context(), "file:theirs.pem?passphrase-file=pass", o); err == nil || !strings.Contains(err.Error(), "want PBES2") {
		t.Errorf("triple DES: %v", err)
	}
	for _, kind := range []keystore.Kind{keystore.Ed25519, keystore.P256, keystore.P384} {
		create(t, "file:"+string(kind)+".pem?passphrase-file=pass", kind, o)
		openssl("pkcs8", "-in", string(kind)+".pem", "-passin", "file:pass", "-out", "theirs.pem")
		theirs, ours := open(t, "file:theirs.pem", o), open(t, "file:"+string(kind)+".pem?passphrase-env=PASS", o)
		if !same(ours, theirs) {
			t.Error("another key")
		}
	}
}

func TestRewrap(t *testing.T) {
	_, o := folder(t)
	create(t, "file:key.pem", keystore.Best, o)
	before := open(t, "file:key.pem", o)
	uris := []string{"file:key.pem", "file:key.pem?passphrase-file=pass", "file:key.pem?passphrase-env=OTHER", "file:key.pem"}
	for i, to := range uris[1:] {
		if err := keystore.Rewrap(t.Context(), uris[i], to, o); err != nil {
			t.Fatal(err)
		}
		key := open(t, to, o)
		if !same(key, before) {
			t.Error("another key")
		}
		if _, err := keystore.Open(t.Context(), uris[i], o); err == nil {
			t.Errorf("%s still opens it", uris[i])
		}
	}
	for _, pair := range [][2]string{{"file:key.pem?passphrase-env=PASS", "file:key.pem"}, {"file:key.pem", "file:b.pem"}, {"tpm:?handle=0x81000001", "file:b.pem"}, {"file:none.pem", "file:none.pem"}} {
		if err := keystore.Rewrap(t.Context(), pair[0], pair[1], o); err == nil {
			t.Errorf("%v: no error", pair)
		}
	}
	signs(t, open(t, "file:key.pem", o))
}

func TestFileRefuses(t *testing.T) {
	dir, o := folder(t)
	path := func(name string) string { return filepath.Join(dir, name) }
	create(t, "file:plain.pem", keystore.Best, o)
	create(t, "file:locked.pem?passphrase-file=pass", keystore.Best, o)
	text, err := os.ReadFile(path("plain.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.WriteFile(path("loose.pem"), text, 0o640), os.Symlink(path("plain.pem"), path("link.pem")),
		os.WriteFile(path("cut.pem"), text[:50], 0o600), os.WriteFile(path("loose-pass"), []byte(passphrase), 0o640),
		os.WriteFile(path("public-credential"), []byte(passphrase), 0o604), os.WriteFile(path("empty"), []byte("\n"), 0o600),
		os.WriteFile(path("two.pem"), append(text, text...), 0o600), os.Mkdir(path("open"), 0o755), os.WriteFile(path("open/key.pem"), text, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]string{
		"file:none.pem":                                           "not found",
		"file:nowhere/key.pem":                                    "not found",
		"file:loose.pem":                                          "chmod 600",
		"file:link.pem":                                           "symbolic link",
		"file:cut.pem":                                            "PEM block",
		"file:two.pem":                                            "PEM block",
		"file:open/key.pem":                                       "chmod 700",
		"file:plain.pem?passphrase-file=pass":                     "not encrypted",
		"file:locked.pem":                                         "add ?passphrase-file=",
		"file:locked.pem?passphrase-file=other":                   "wrong passphrase",
		"file:locked.pem?passphrase-file=loose-pass":              "lets others read it",
		"file:locked.pem?passphrase-file=nothing":                 "no such file",
		"file:locked.pem?passphrase-file=empty":                   "0 bytes",
		"file:locked.pem?passphrase-env=NONE":                     "NONE is empty or not set",
		"file:locked.pem?passphrase-credential=none":              "LoadCredential=none",
		"file:locked.pem?passphrase-credential=public-credential": "lets others read it",
	} {
		key, err := keystore.Open(t.Context(), uri, o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: %v %v, want %q", uri, key, err, want)
		}
		var of *keystore.Error
		if !errors.As(err, &of) || !strings.HasPrefix(of.Store, "file:") {
			t.Errorf("%s: %#v", uri, err)
		}
	}
	if _, err := keystore.Open(t.Context(), "file:none.pem", o); !errors.Is(err, keystore.ErrNotFound) || !errors.Is(err, sekisho.ErrNotFound) {
		t.Error(err)
	}
	if _, err := keystore.Open(t.Context(), "file:locked.pem?passphrase-env=OTHER", o); !errors.Is(err, keystore.ErrSecret) {
		t.Error(err)
	}
	o.Getenv = nil
	if _, err := keystore.Open(t.Context(), "file:locked.pem?passphrase-credential=pass", o); err == nil || !strings.Contains(err.Error(), "LoadCredential=pass") {
		t.Error(err)
	}
	if _, err := keystore.Create(t.Context(), "file:rsa.pem", "rsa", o); err == nil || !strings.Contains(err.Error(), "want one of") {
		t.Error(err)
	}
}

// A person is asked for the passphrase where the URI does not say where it is, and only then.
func TestFileAsks(t *testing.T) {
	_, o := folder(t)
	create(t, "file:locked.pem?passphrase-file=pass", keystore.Best, o)
	create(t, "file:plain.pem", keystore.Best, o)
	asked := ""
	o.Ask = func(_ context.Context, what string) ([]byte, error) {
		asked += what
		return []byte(passphrase), nil
	}
	for _, uri := range []string{"file:locked.pem", "file:plain.pem", "file:locked.pem?passphrase-env=PASS"} {
		signs(t, open(t, uri, o))
	}
	if asked != "passphrase of locked.pem" {
		t.Error(asked)
	}
}

func BenchmarkFile(b *testing.B) {
	dir, o := folder(b)
	for _, kind := range []keystore.Kind{keystore.Ed25519, keystore.P256, keystore.P384} {
		b.Run(string(kind), func(b *testing.B) {
			uri := "file:" + dir + "/" + string(kind) + ".pem?passphrase-file=pass"
			key, err := keystore.Create(b.Context(), uri, kind, o)
			if err != nil && !errors.Is(err, keystore.ErrTaken) {
				b.Fatal(err)
			}
			if err == nil {
				key.Close()
			}
			benchmark(b, uri, o)
		})
	}
}
