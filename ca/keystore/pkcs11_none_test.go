//go:build !pkcs11 || !cgo

package keystore_test

import (
	"strings"
	"testing"

	"github.com/sekisho/sekisho/ca/keystore"
)

func TestTokenNeedsAnotherBuild(t *testing.T) {
	const uri = "pkcs11:token=a;object=b?module-path=/x.so"
	_, open := keystore.Open(t.Context(), uri, keystore.Options{})
	_, create := keystore.Create(t.Context(), uri, keystore.Best, keystore.Options{})
	for _, err := range []error{open, create} {
		if err == nil || !strings.Contains(err.Error(), "make build-pkcs11") || !strings.Contains(err.Error(), "pkcs11:token=a;object=b:") {
			t.Error(err)
		}
	}
}
