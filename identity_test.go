package sekisho_test

import (
	"testing"

	"github.com/sekisho/sekisho"
)

func TestAccount(t *testing.T) {
	for subject, want := range map[string]string{
		"ken@example.com":          "ken",
		"Ken.Sato+git@Example.com": "ken.sato+git",
		"\u212aen@example.com":     "\u212aen", // the Kelvin sign is not a K, and its lower case must not become one
		`"a@b"@example.com`:        `"a@b"`,
		"@example.com":             "",
		"ken":                      "ken",
		"":                         "",
	} {
		i := sekisho.Identity{Subject: subject}
		if got := i.Account(); got != want {
			t.Errorf("account of %q is %q, want %q", subject, got, want)
		}
	}
}
