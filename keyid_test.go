package sekisho_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
)

func TestKeyID(t *testing.T) {
	for want, id := range map[string]sekisho.KeyID{
		"alice@example.com/people/sin_x/tok_y/7": {Subject: "alice@example.com", Issuer: "people", SignIn: "sin_x", Request: "tok_y", Serial: 7},
		"web1/hosts/-/-/18446744073709551615":    {Subject: "web1", Issuer: "hosts", Serial: 1<<64 - 1},
		"%2D/people/%2F%25/%0A/0":                {Subject: "-", Issuer: "people", SignIn: "/%", Request: "\n"},
		"%C3%A9/people/-/-/1":                    {Subject: "é", Issuer: "people", Serial: 1},
	} {
		if id.String() != want {
			t.Errorf("%+v writes %s, want %s", id, id, want)
		}
		got, err := sekisho.ParseKeyID(want)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(id, got); diff != "" {
			t.Error(diff)
		}
	}
	for _, bad := range []string{
		"", "a/b/c/d", "a/b/c/d/1/2", "a/b/c/d/01", "a/b/c/d/+1", "a/b/c/d/-1", "a/b/c/d/18446744073709551616", "/b/c/d/1",
		"a b/b/c/d/1", "%61/b/c/d/1", "%2d/b/c/d/1", "%2/b/c/d/1", "%/b/c/d/1", "%GG/b/c/d/1", "%+1/b/c/d/1", strings.Repeat("a", 3000) + "/b/c/d/1",
	} {
		if got, err := sekisho.ParseKeyID(bad); err == nil {
			t.Errorf("%.80q parses as %+v", bad, got)
		}
	}
}

// Whatever the fields hold, the text has five fields, no space or control byte, and reads back the same.
func FuzzKeyID(f *testing.F) {
	f.Add("alice@example.com", "people", "sin_x", "tok_y", uint64(1))
	f.Add("-", "", "/", "%2D", uint64(0))
	f.Fuzz(func(t *testing.T, subject, issuer, signIn, request string, serial uint64) {
		id := sekisho.KeyID{Subject: subject, Issuer: issuer, SignIn: signIn, Request: request, Serial: serial}
		text := id.String()
		if strings.Count(text, "/") != 4 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Fatalf("%q", text)
		}
		got, err := sekisho.ParseKeyID(text)
		if len(text) <= 2048 && (err != nil || got != id) {
			t.Fatalf("%q reads back as %+v, %v", text, got, err)
		}
	})
}

func FuzzParseKeyID(f *testing.F) {
	f.Add("alice@example.com/people/sin_x/tok_y/7")
	f.Add("%2D/-/-/%0A/0")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := sekisho.ParseKeyID(text)
		if err == nil && id.String() != text {
			t.Fatalf("%q is read as %+v, which writes %q", text, id, id)
		}
	})
}
