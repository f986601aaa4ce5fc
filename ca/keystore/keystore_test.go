package keystore_test

import (
	"strings"
	"testing"

	"github.com/sekisho/sekisho/ca/keystore"
)

func TestCheck(t *testing.T) {
	for uri, want := range map[string]string{
		"":                         "none of the schemes",
		"keys/user.pem":            "none of the schemes",
		"vault:secret4711":         "file:",
		"FILE:a":                   "none of the schemes",
		"file:":                    "want file:PATH",
		"file:keys/":               "want file:PATH",
		"file://elsewhere/key.pem": "another host",
		"file:a?passphrase=4711":   "would be seen by everybody",
		"file:a?secret4711":        "a name in the query is not known",
		"file:a?handle=3":          "handle is not known",
		"file:a?passphrase-env=A&passphrase-env=B":  "want it once",
		"file:a?passphrase-env=A&passphrase-file=B": "name one place",
		"file:a?passphrase-env=":                    "want it once",
		"file:a?passphrase-env=%zz":                 "percent-encoded",
		"file:a%0ab":                                "cannot be shown",
		"file:a?passphrase-credential=..%2fetc":     "no slash",
		"file:" + strings.Repeat("a", 4<<10):        "4096 bytes",
	} {
		err := keystore.Check(uri)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "4711") {
			t.Errorf("%.60q: %v, want %q", uri, err, want)
		}
	}
	for _, uri := range []string{"file:a", "file:/a%20b/c?passphrase-env=A", "file:a=b;c&d"} {
		if err := keystore.Check(uri); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// No URI brings anything down, and none that holds a secret is repeated.
func FuzzURI(f *testing.F) {
	for _, seed := range []string{
		"", "file:a?passphrase-file=b", "file:///a", "file:%00", "pkcs11:token=a;object=b?module-path=/x.so&pin-source=file:/y", "tpm:?handle=0x81000001",
		"tpm:/dev/tpmrm0?handle=0x81010001&passphrase-env=A", "agent:?fingerprint=SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
		"awskms:eu-central-1/alias/ca?endpoint=http://127.0.0.1:1", "azurekms:https://a.vault.azure.net/ca/1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		const secret = "hunter2-hunter2"
		separator := "?"
		if strings.Contains(uri, "?") {
			separator = "&"
		}
		if err := keystore.Check(uri + separator + "pin-value=" + secret); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", uri, err)
		}
		keystore.Check(uri)
	})
}
