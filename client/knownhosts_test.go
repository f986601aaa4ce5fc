package client

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func hostCALine(t *testing.T) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// While the host CA goes over to another key, known_hosts holds both; and no byte of what the server says gets into it but
// keys.
func TestManyHostCAs(t *testing.T) {
	a, b := hostCALine(t), hostCALine(t)
	for name, test := range map[string]struct {
		lines string
		want  []string
	}{
		"one":       {a + "\n", []string{a}},
		"two":       {a + " comment\n\n" + b, []string{a, b}},
		"none":      {"\n", nil},
		"nonsense":  {a + "\n@cert-authority * nonsense\n", nil},
		"options":   {`restrict ` + a, nil},
		"too many":  {strings.Repeat(a+"\n", maxHostCAs+1), nil},
		"as many":   {strings.Repeat(a+"\n", maxHostCAs), strings.Split(strings.Repeat(a+"\n", maxHostCAs-1)+a, "\n")},
		"with NULs": {a + "\x00\n* " + b, nil},
	} {
		got, err := hostCAs(test.lines)
		if (err == nil) != (test.want != nil) || err == nil && strings.Join(got, "\n") != strings.Join(test.want, "\n") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
