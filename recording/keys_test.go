package recording_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sekisho/sekisho/recording"
)

func TestKeyLines(t *testing.T) {
	k, err := recording.GenerateKey("alice@example.com")
	if err != nil {
		t.Fatal(err)
	}
	text, err := k.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := recording.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if back.ID() != k.ID() || back.Recipient().String() != k.Recipient().String() {
		t.Error("a private key does not come back as it was")
	}
	to, err := recording.ParseRecipient(k.Recipient().String() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if to.ID() != k.ID() || to.Label() != "alice@example.com" || !strings.HasPrefix(to.ID(), "rk_") || len(to.ID()) != 19 {
		t.Errorf("recipient %s, label %q", to.ID(), to.Label())
	}
	if !strings.HasPrefix(to.String(), "sekisho-recipient-v1 mlkem768-x25519 ") {
		t.Errorf("recipient line %q", to)
	}
	if _, err := recording.GenerateKey("two words"); err == nil {
		t.Error("a label of two words: accepted")
	}
}

func TestPrivateKeyIsNotShown(t *testing.T) {
	k := newKey(t)
	text, _ := k.Encode()
	secret := strings.Fields(string(text))[2]
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if shown := fmt.Sprintf(format, k); strings.Contains(shown, secret) || !strings.Contains(shown, k.ID()) {
			t.Errorf("%s shows %q", format, shown)
		}
	}
}

func TestWrongFileOfThePair(t *testing.T) {
	k := newKey(t)
	text, _ := k.Encode()
	if _, err := recording.ParsePrivateKey([]byte(k.Recipient().String())); err == nil || !strings.Contains(err.Error(), ".pub") {
		t.Errorf("a recipient as private key: %v", err)
	}
	_, err := recording.ParseRecipient(string(text))
	if err == nil || !strings.Contains(err.Error(), ".pub") || strings.Contains(err.Error(), strings.Fields(string(text))[2]) {
		t.Errorf("a private key as recipient: %v", err)
	}
}

func TestRefusedKeyLines(t *testing.T) {
	k := newKey(t)
	text, _ := k.Encode()
	f := strings.Fields(string(text))
	for name, line := range map[string]string{
		"empty":           "",
		"two spaces":      f[0] + "  " + f[1] + " " + f[2],
		"unpadded":        f[0] + " " + f[1] + " " + strings.TrimRight(f[2], "="),
		"line break":      f[0] + " " + f[1] + " " + f[2][:8] + "\n" + f[2][8:],
		"two newlines":    string(text) + "\n",
		"other kind":      f[0] + " x25519 " + f[2],
		"newer version":   "sekisho-auditor-key-v2 " + f[1] + " " + f[2],
		"short key":       f[0] + " " + f[1] + " " + f[2][:20],
		"label of two":    f[0] + " " + f[1] + " " + f[2] + " a b",
		"label of escape": f[0] + " " + f[1] + " " + f[2] + " \x1b[2J",
		"endless":         f[0] + " " + f[1] + " " + strings.Repeat("A", 1<<20),
	} {
		if _, err := recording.ParsePrivateKey([]byte(line)); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), f[2][:20]) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

func TestSeveralRecipients(t *testing.T) {
	a, b, stranger := newKey(t), newKey(t), newKey(t)
	w, f := newWriter(t, a, b)
	if err := w.Append(*out("for both")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(recording.EndDone, 0); err != nil {
		t.Fatal(err)
	}
	for _, k := range []*recording.PrivateKey{a, b} {
		got, err := read(f.Bytes(), k)
		if !errors.Is(err, io.EOF) || len(got) != 1 || string(got[0].Data) != "for both" {
			t.Errorf("%d entries, %v", len(got), err)
		}
	}
	_, err := recording.NewReader(bytes.NewReader(f.Bytes()), stranger)
	var wrong *recording.WrongKeyError
	if !errors.As(err, &wrong) {
		t.Fatalf("a stranger's key: %v", err)
	}
	for _, id := range []string{a.ID(), b.ID(), stranger.ID()} {
		if !strings.Contains(err.Error(), id) {
			t.Errorf("%v does not name %s", err, id)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	k := newKey(f)
	text, _ := k.Encode()
	f.Add(string(text))
	f.Add(k.Recipient().String())
	f.Add("sekisho-auditor-key-v1 mlkem768-x25519 AAAA x")
	f.Fuzz(func(t *testing.T, line string) {
		if k, err := recording.ParsePrivateKey([]byte(line)); err == nil {
			back, err := k.Encode()
			if err != nil || strings.TrimSuffix(string(back), "\n") != strings.TrimSuffix(line, "\n") {
				t.Errorf("%q parses, but encodes to %q (%v)", line, back, err)
			}
		}
		if r, err := recording.ParseRecipient(line); err == nil && r.String() != strings.TrimSuffix(line, "\n") {
			t.Errorf("%q parses, but encodes to %q", line, r)
		}
	})
}
