package keystore_test

import (
	"strings"
	"testing"

	"github.com/sekisho/sekisho/ca/keystore"
)

func TestTokenPlace(t *testing.T) {
	for uri, want := range map[string]string{
		"pkcs11:": "module-path=",
		"pkcs11:token=a;object=b?module-path=x.so":                      "whole path",
		"pkcs11:token=a?module-path=/x.so":                              "object=LABEL",
		"pkcs11:token=a;object=b?module-path=/x.so&pin-value=4711":      "pin-value would show",
		"pkcs11:token=a;object=b?module-path=/x.so&pin-source=http://a": "pin-source: want a file",
		"pkcs11:token=a;slot-id=1?module-path=/x.so":                    "not known",
	} {
		if err := keystore.Check(uri); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: %v, want %q", uri, err, want)
		}
	}
	if err := keystore.Check("pkcs11:token=a;object=b?module-path=/x.so&pin-source=file:/pin"); err != nil {
		t.Error(err)
	}
}
