package pkcs11uri_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/pkcs11uri"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]pkcs11uri.URI{
		"pkcs11:": {},
		"pkcs11:token=My%20token;object=a%3Bb;id=%01%ff;type=private?module-path=/usr/lib/x.so&pin-source=file:/home/me/pin": {
			Token: "My token", Object: "a;b", ID: "\x01\xff", ModulePath: "/usr/lib/x.so", PINSource: "/home/me/pin",
		},
		"pkcs11:manufacturer=Snake%20Oil,%20Inc.;model=1.0;serial=7": {Manufacturer: "Snake Oil, Inc.", Model: "1.0", Serial: "7"},
		"pkcs11:object=%E6%A4%9C?pin-source=file:///etc/pin":         {Object: "検", PINSource: "/etc/pin"},
		"pkcs11:?pin-source=file://localhost/etc/pin":                {PINSource: "/etc/pin"},
		"pkcs11:?pin-source=pin.txt":                                 {PINSource: "pin.txt"},
	} {
		got, err := pkcs11uri.Parse(text)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %v %s", text, err, cmp.Diff(want, got))
		}
	}
}

func TestParseRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "want pkcs11:",
		"softhsm":                        "want pkcs11:",
		"PKCS11:token=a":                 "want pkcs11:",
		"pkcs11:token":                   "name=value",
		"pkcs11:token=a;token=b":         "each once",
		"pkcs11:token=a;":                "name=value",
		"pkcs11:token=%zz":               "percent",
		"pkcs11:token=a%1b[2J":           "cannot be shown",
		"pkcs11:token=a%ff":              "cannot be shown",
		"pkcs11:slot-id=3":               `"slot-id" is not known`,
		"pkcs11:type=public":             `"type" is not known`,
		"pkcs11:x-vendor=1":              "not known",
		"pkcs11:?module-name=softhsm2":   "not known",
		"pkcs11:token=a?pin-value=4711":  "pin-value would show",
		"pkcs11:pin-value=4711":          "pin-value would show",
		"pkcs11:?pin-source=%7Ccat":      "pin-source: want a file",
		"pkcs11:?pin-source=https://a/b": "pin-source: want a file",
		"pkcs11:?pin-source=file:":       "pin-source: want a file",
		"pkcs11:?pin-source=-":           "pin-source: want a file",
		"pkcs11:token=" + strings.Repeat("a", pkcs11uri.MaxLength): "at most",
	} {
		if u, err := pkcs11uri.Parse(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "4711") {
			t.Errorf("%.60q: %+v %v, want %q", text, u, err, want)
		}
	}
}

// What parses is written so that it parses to the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"pkcs11:", "pkcs11:token=a;object=b;id=%00%ff?module-path=/x.so&pin-source=file:/y", "pkcs11:?pin-source=file://localhost/etc/pin", "pkcs11:type=private",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := pkcs11uri.Parse(text)
		if err != nil {
			return
		}
		again, err := pkcs11uri.Parse(u.String())
		if len(u.String()) > pkcs11uri.MaxLength { // more had to be encoded
			return
		}
		if err != nil || again != u {
			t.Errorf("%q is %+v, written %q, which is %+v (%v)", text, u, u, again, err)
		}
	})
}
