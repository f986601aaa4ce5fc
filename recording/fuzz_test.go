package recording_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/sekisho/sekisho/recording"
)

// FuzzReader: whatever a file holds, reading it ends, and nothing but the file that was written verifies.
func FuzzReader(f *testing.F) {
	all := vectors(f)
	keys, _ := vectorKeys(f)
	key := keys[all["p256"].Keys[0]]
	signers := []ed25519.PublicKey{all["p256"].Signer}
	whole, ours := map[string]bool{}, map[string]bool{}
	for _, v := range all {
		if len(v.file) < 4<<10 { // mutations of long ones are slow
			f.Add(v.file)
			f.Add(v.file[:len(v.file)-1])
		}
		if v.Error == "" {
			whole[string(v.file)] = true
			ours[string(v.file)] = slices.Contains(v.Keys, key.ID())
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, errRead := read(b, key)
		_, errOpen := recording.Verify(bytes.NewReader(b), recording.VerifyOptions{Key: key, Signers: signers})
		_, errBlind := recording.Verify(bytes.NewReader(b), recording.VerifyOptions{Signers: signers})
		if ours[string(b)] != errors.Is(errRead, io.EOF) || ours[string(b)] != (errOpen == nil) || whole[string(b)] != (errBlind == nil) {
			t.Errorf("whole: %v; reader: %v; with key: %v; without: %v", whole[string(b)], errRead, errOpen, errBlind)
		}
		if e, err := recording.Intact(bytes.NewReader(b)); err == nil && (e.Bytes > int64(len(b)) || e.Complete && e.Torn == nil && e.Bytes != int64(len(b))) {
			t.Errorf("%d of %d bytes are whole: %+v", e.Bytes, len(b), e)
		}
		if parsed, encoded, err := recording.Reencode(b); err == nil && !bytes.Equal(parsed, encoded) {
			t.Error("a header parses, but encodes to other bytes")
		}
	})
}

// FuzzEntries: the gateway itself may be the liar. Its frames open, but may hold anything.
func FuzzEntries(f *testing.F) {
	key := newKey(f)
	f.Add([]byte{16, 0, 0, 2, 'l', 's'}, true)
	f.Add([]byte{16, 0x80, 0, 0, 0}, false)
	f.Add([]byte{16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0}, false)
	f.Add([]byte{2, 0, 0, 0}, true)
	f.Add([]byte{1}, false)
	f.Fuzz(func(t *testing.T, b []byte, last bool) {
		if parsed, encoded, err := recording.ReencodeEntry(b); err == nil && !bytes.Equal(parsed, encoded) {
			t.Errorf("%x parses, but encodes to %x", parsed, encoded)
		}
		if len(b) == 0 {
			return
		}
		w, out := newWriter(t, key)
		recording.PutRaw(w, b)
		err := error(nil)
		if last {
			err = recording.CloseRaw(w)
		} else {
			_, err = w.Close(recording.EndDone, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		r, err := recording.NewReader(bytes.NewReader(out.Bytes()), key)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = r.Next()
		}
		if errors.Is(err, io.EOF) && !last && len(b) < 4 {
			t.Error("garbage passes")
		}
	})
}

// FuzzPayloads: what a decoder takes is exactly what its encoder makes.
func FuzzPayloads(f *testing.F) {
	f.Add(recording.PTY{Term: "xterm", Cols: 80, Rows: 24, Modes: []byte{53, 0, 0, 0, 1, 0}}.Encode())
	f.Add(recording.Variable{Name: "LANG", Value: "C"}.Encode())
	f.Add(recording.Exit{Signal: "KILL", CoreDumped: true, Message: "bye"}.Encode())
	f.Add(recording.EncodeResize(80, 24))
	f.Add(recording.EncodeExitStatus(1))
	f.Add(recording.Typing{Enter: true, Count: 300}.Encode())
	f.Add(recording.Loss{Bytes: 1 << 40, Why: "the disk is full"}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		var encoded [][]byte
		if p, err := recording.DecodePTY(b); err == nil {
			encoded = append(encoded, p.Encode())
		}
		if v, err := recording.DecodeVariable(b); err == nil {
			encoded = append(encoded, v.Encode())
		}
		if x, err := recording.DecodeExit(b); err == nil {
			encoded = append(encoded, x.Encode())
		}
		if c, r, err := recording.DecodeResize(b); err == nil {
			encoded = append(encoded, recording.EncodeResize(c, r))
		}
		if s, err := recording.DecodeExitStatus(b); err == nil {
			encoded = append(encoded, recording.EncodeExitStatus(s))
		}
		if typed, err := recording.DecodeTyping(b); err == nil {
			encoded = append(encoded, typed.Encode())
		}
		if l, err := recording.DecodeLoss(b); err == nil {
			encoded = append(encoded, l.Encode())
		}
		for _, e := range encoded {
			if !bytes.Equal(e, b) {
				t.Errorf("%x decodes, but encodes to %x", b, e)
			}
		}
	})
}
