package recording_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// TestFIPSOnly seals to every kind of key that a FIPS house takes, in a process whose cryptography does nothing else
// (GODEBUG=fips140=only), opens it there with the key from under its passphrase, and verifies it. A recording that is
// sealed to the usual kind as well has nonces that are counted, which must not get through there.
func TestFIPSOnly(t *testing.T) {
	if !strings.Contains(os.Getenv("GODEBUG"), "fips140=only") {
		child := exec.Command(os.Args[0], "-test.run=^TestFIPSOnly$", "-test.v")
		child.Env = append(os.Environ(), "GODEBUG=fips140=only")
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if !fips140.Enabled() || !fips140.Enforced() {
		t.Fatal("this process is free to do anything")
	}
	if err := sealAndOpen(recording.MLKEM768X25519); err == nil || !strings.Contains(err.Error(), "FIPS") {
		t.Errorf("a recording with counted nonces: %v", err)
	}
	for _, kem := range recording.FIPS() {
		if err := sealAndOpen(kem); err != nil {
			t.Errorf("%s: %v", kem, err)
		}
	}
}

func sealAndOpen(kem recording.KEM) error {
	made, err := recording.GenerateKey(kem, "dpo")
	if err != nil {
		return err
	}
	locked, err := made.Encrypt([]byte("correct horse"))
	if err != nil {
		return err
	}
	kept, err := recording.ParseLockedKey(locked)
	if err != nil {
		return err
	}
	key, err := kept.Unlock([]byte("correct horse"))
	if err != nil {
		return err
	}
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	sink := &file{}
	w, err := recording.NewWriter(sink, recording.Header{Session: sekisho.Session{ID: sekisho.NewID("ses"), Started: time.Now()}},
		[]recording.Recipient{made.Recipient()}, signer)
	if err != nil {
		return err
	}
	said := bytes.Repeat([]byte("what was said "), 100)
	if err := w.Append(recording.Entry{Kind: recording.Output, Channel: 1, Data: said}); err != nil {
		return err
	}
	if _, err := w.Close(recording.EndDone, time.Second); err != nil {
		return err
	}
	r, err := recording.NewReader(bytes.NewReader(sink.Bytes()), key)
	if err != nil {
		return err
	}
	if e, err := r.Next(); err != nil || !bytes.Equal(e.Data, said) {
		return errors.Join(err, errors.New("it does not hold what was said"))
	}
	if _, err := r.Next(); err != io.EOF {
		return err
	}
	_, err = recording.Verify(bytes.NewReader(sink.Bytes()), recording.VerifyOptions{Signers: []ed25519.PublicKey{signer.Public().(ed25519.PublicKey)}})
	return err
}
