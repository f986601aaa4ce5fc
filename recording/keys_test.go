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
	for _, kem := range recording.KEMs() {
		k, err := recording.GenerateKey(kem, "alice@example.com")
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
		if back.ID() != k.ID() || back.KEM() != kem || back.Recipient().String() != k.Recipient().String() {
			t.Errorf("%s: a private key does not come back as it was", kem)
		}
		to, err := recording.ParseRecipient(k.Recipient().String() + "\n")
		if err != nil {
			t.Fatal(err)
		}
		if to.ID() != k.ID() || to.KEM() != kem || to.Label() != "alice@example.com" || !strings.HasPrefix(to.ID(), "rk_") || len(to.ID()) != 19 {
			t.Errorf("recipient %s of %s, label %q", to.ID(), to.KEM(), to.Label())
		}
		if !strings.HasPrefix(to.String(), "sekisho-recipient-v1 "+kem.String()+" ") {
			t.Errorf("recipient line %q", to)
		}
		if named, err := recording.ParseKEM(kem.String()); named != kem || err != nil {
			t.Errorf("%s is read as %s, %v", kem, named, err)
		}
	}
	if _, err := recording.GenerateKey(recording.P256, "two words"); err == nil {
		t.Error("a label of two words: accepted")
	}
	if _, err := recording.GenerateKey(0x20, ""); err == nil {
		t.Error("X25519 alone: accepted")
	}
}

func TestFIPS(t *testing.T) {
	for kem, want := range map[recording.KEM]bool{recording.MLKEM768X25519: false, recording.MLKEM768P256: true, recording.P256: true, 0: false} {
		if kem.FIPS() != want {
			t.Errorf("%s: FIPS %v", kem, kem.FIPS())
		}
	}
	if (recording.Recipient{}).FIPS() || newKey(t).Recipient().FIPS() {
		t.Error("a recipient of no FIPS algorithm is taken for one")
	}
}

// The header reserves room by these sizes.
func TestKEMSizes(t *testing.T) { recording.CheckSizes(t) }

func TestPrivateKeyIsNotShown(t *testing.T) {
	k := newKey(t)
	text, _ := k.Encode()
	locked, err := recording.EncryptQuickly(k, []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := recording.ParseLockedKey(locked)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, key := range []any{k, l} {
			shown := fmt.Sprintf(format, key)
			if strings.Contains(shown, strings.Fields(string(text))[2]) || strings.Contains(shown, strings.Fields(string(locked))[5]) || !strings.Contains(shown, k.ID()) {
				t.Errorf("%s shows %q", format, shown)
			}
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
		"key for a kind":  f[0] + " " + f[2] + " " + f[2],
		"p256 of nothing": f[0] + " p256 " + strings.Repeat("A", 43) + "=",
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
	locked, _ := recording.EncryptQuickly(k, []byte("x"))
	f.Add(string(locked))
	for _, kem := range recording.KEMs() {
		other, err := recording.GenerateKey(kem, "")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(other.Recipient().String())
	}
	f.Fuzz(func(t *testing.T, line string) {
		if k, err := recording.ParsePrivateKey([]byte(line)); err == nil {
			back, err := k.Encode()
			if err != nil || strings.TrimSuffix(string(back), "\n") != strings.TrimSuffix(line, "\n") {
				t.Errorf("%q parses, but encodes to %q (%v)", line, back, err)
			}
		}
		if l, err := recording.ParseLockedKey([]byte(line)); err == nil && strings.TrimSuffix(string(l.Encode()), "\n") != strings.TrimSuffix(line, "\n") {
			t.Errorf("%q parses, but encodes to %q", line, l.Encode())
		}
		if r, err := recording.ParseRecipient(line); err == nil && r.String() != strings.TrimSuffix(line, "\n") {
			t.Errorf("%q parses, but encodes to %q", line, r)
		}
	})
}
