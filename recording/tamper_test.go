package recording_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho/recording"
)

func out(s string) *recording.Entry {
	return &recording.Entry{Kind: recording.Output, At: time.Second, Data: []byte(s)}
}

// small is a recording with frames that differ in size only where the test needs it.
func small(t *testing.T, key *recording.PrivateKey) []byte {
	data, _ := write(t, key, out("ls"), nil, out("cd"), nil, out("rm"), nil)
	return data
}

// split cuts a file into header, frames and the final signature.
func split(t *testing.T, data []byte) (header []byte, frames [][]byte, end []byte) {
	t.Helper()
	size := 16 + int(binary.BigEndian.Uint32(data[12:])) + ed25519.SignatureSize
	header, data = data[:size:size], data[size:]
	for len(data) > ed25519.SignatureSize {
		n := 5 + int(binary.BigEndian.Uint32(data))
		frames, data = append(frames, data[:n:n]), data[n:]
	}
	return header, frames, data
}

func join(header []byte, frames [][]byte, end []byte) []byte {
	return slices.Concat(header, slices.Concat(frames...), end)
}

// found fails the test unless the change is found with the key and without.
func found(t *testing.T, what string, data []byte, key *recording.PrivateKey) {
	t.Helper()
	if _, err := read(data, key); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("%s: not found by the reader", what)
	}
	for name, k := range map[string]*recording.PrivateKey{"with": key, "without": nil} {
		_, err := recording.Verify(bytes.NewReader(data), recording.VerifyOptions{Key: k})
		var wrong *recording.WrongKeyError
		if !errors.Is(err, recording.ErrInvalid) && !errors.Is(err, recording.ErrCut) && !errors.As(err, &wrong) {
			t.Errorf("%s: not found by Verify %s a key: %v", what, name, err)
		}
	}
}

func TestEveryBitCounts(t *testing.T) {
	key := newKey(t)
	data := small(t, key)
	step := 1
	if testing.Short() || raceEnabled {
		step = 13
	}
	for i := 0; i < len(data); i++ {
		for bit := i % step; bit < 8; bit += step {
			changed := bytes.Clone(data)
			changed[i] ^= 1 << bit
			found(t, "a flipped bit", changed, key)
			if t.Failed() {
				t.Fatalf("at byte %d of %d", i, len(data))
			}
		}
	}
}

// The same in frames that are compressed, of several segments: a bit of every byte.
func TestEveryByteOfSegmentsCounts(t *testing.T) {
	key := newKey(t)
	data, _ := parts(t, key, 3)
	step := 1
	if testing.Short() || raceEnabled {
		step = 17
	}
	for i := 0; i < len(data); i += step {
		changed := bytes.Clone(data)
		changed[i] ^= 1 << (i % 8)
		found(t, "a flipped bit", changed, key)
		if t.Failed() {
			t.Fatalf("at byte %d of %d", i, len(data))
		}
	}
}

func TestFlagsCount(t *testing.T) {
	key := newKey(t)
	data, _ := parts(t, key, 3)
	header, frames, end := split(t, data)
	for i := range frames {
		for flags := range 256 {
			if byte(flags) == frames[i][4] || raceEnabled && flags > 8 {
				continue
			}
			changed := slices.Clone(frames)
			changed[i] = bytes.Clone(frames[i])
			changed[i][4] = byte(flags)
			found(t, "other flags", join(header, changed, end), key)
		}
	}
}

// A recording that was cut off has no signature. With a key the frames prove themselves; without one, the chain that
// the audit log has for it does.
func TestRearrangedFramesOfACutRecording(t *testing.T) {
	key := newKey(t)
	data, _ := parts(t, key, 3)
	header, frames, _ := split(t, data)
	frames = frames[:8]
	noted, err := recording.Intact(bytes.NewReader(join(header, frames, nil)))
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, changed [][]byte) {
		t.Helper()
		for _, k := range []*recording.PrivateKey{key, nil} {
			_, err := recording.Verify(bytes.NewReader(join(header, changed, nil)), recording.VerifyOptions{Key: k, Cut: noted.Chain})
			if !errors.Is(err, recording.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	for i := range frames {
		check("a dropped frame", slices.Delete(slices.Clone(frames), i, i+1))
		check("a doubled frame", slices.Insert(slices.Clone(frames), i, frames[i]))
		for k := range i {
			swapped := slices.Clone(frames)
			swapped[i], swapped[k] = swapped[k], swapped[i]
			check("swapped frames", swapped)
		}
	}
	check("whole segments dropped", slices.Concat(frames[:4], frames[7:]))
}

func TestEveryCutIsACut(t *testing.T) {
	key := newKey(t)
	data := small(t, key)
	header, frames, _ := split(t, data)
	for n := range data {
		_, err := recording.Verify(bytes.NewReader(data[:n]), recording.VerifyOptions{Key: key})
		if !errors.Is(err, recording.ErrCut) {
			t.Fatalf("%d of %d bytes: %v", n, len(data), err)
		}
		if n < len(header) {
			continue
		}
		whole, size := 0, len(header)
		for _, f := range frames {
			if size += len(f); size <= n {
				whole++
			}
		}
		got, err := read(data[:n], key)
		if want := min(max(whole-1, 0), 3); len(got) != want || !errors.Is(err, recording.ErrCut) {
			t.Fatalf("%d bytes, %d whole frames: %d entries, %v", n, whole, len(got), err)
		}
	}
}

func TestRearrangedFrames(t *testing.T) {
	key := newKey(t)
	rearrange(t, key, small(t, key), small(t, key), 5) // session, three outputs, end
	one, _ := parts(t, key, 3)
	other, _ := parts(t, key, 3)
	rearrange(t, key, one, other, 11)
}

func rearrange(t *testing.T, key *recording.PrivateKey, data, other []byte, n int) {
	t.Helper()
	header, frames, end := split(t, data)
	if len(frames) != n {
		t.Fatalf("%d frames", len(frames))
	}
	if !bytes.Equal(join(header, frames, end), data) {
		t.Fatal("split does not fit join")
	}
	otherHeader, otherFrames, otherEnd := split(t, other)
	for i := range frames {
		found(t, "a dropped frame", join(header, slices.Delete(slices.Clone(frames), i, i+1), end), key)
		found(t, "a doubled frame", join(header, slices.Insert(slices.Clone(frames), i, frames[i]), end), key)
		foreign := slices.Clone(frames)
		foreign[i] = otherFrames[i]
		found(t, "a frame of another file", join(header, foreign, end), key)
		for k := range i {
			swapped := slices.Clone(frames)
			swapped[i], swapped[k] = swapped[k], swapped[i]
			found(t, "swapped frames", join(header, swapped, end), key)
		}
	}
	found(t, "another file's header", join(otherHeader, frames, end), key)
	found(t, "another file's end", join(header, frames, otherEnd), key)
	found(t, "bytes after the end", append(bytes.Clone(data), 0), key)
	found(t, "another file after the end", slices.Concat(data, other), key)
}

// Mallory holds the recipient's public key and a signing key of her own; that is all a forger can get.
func TestForgedRecording(t *testing.T) {
	key, f := newKey(t), &file{}
	mallory := newSigner(66)
	w, err := recording.NewWriter(f, recording.Header{Session: session()}, []recording.Recipient{key.Recipient()}, mallory)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append(*out("alice did it")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(recording.EndDone, 0); err != nil {
		t.Fatal(err)
	}
	trusted := []ed25519.PublicKey{newSigner(1).Public().(ed25519.PublicKey)}
	for _, k := range []*recording.PrivateKey{nil, key} {
		report, err := recording.Verify(bytes.NewReader(f.Bytes()), recording.VerifyOptions{Key: k, Signers: trusted})
		if err == nil || !strings.Contains(err.Error(), "trusted") || report.Trusted {
			t.Errorf("forged recording: trusted %v, %v", report.Trusted, err)
		}
	}
	// She replaces the signer and both signatures of a real file: the frames are bound to the header's hash.
	real := small(t, key)
	header, frames, _ := split(t, real)
	forged := bytes.Clone(header[:len(header)-ed25519.SignatureSize])
	i := bytes.Index(forged, trusted[0])
	copy(forged[i:], mallory.Public().(ed25519.PublicKey))
	forged = append(forged, ed25519.Sign(mallory, append([]byte("sekisho-recording-header-v1\x00"), forged...))...)
	if _, err := read(join(forged, frames, nil), key); err == nil || errors.Is(err, recording.ErrCut) {
		t.Errorf("file with a forged header: %v", err)
	}
}

func TestVerify(t *testing.T) {
	key := newKey(t)
	data, sum := write(t, key, out("a"), out("b"))
	signers := []ed25519.PublicKey{newSigner(2).Public().(ed25519.PublicKey), newSigner(1).Public().(ed25519.PublicKey)}
	all := recording.VerifyOptions{Key: key, Signers: signers, Chain: sum.Chain, Session: session().ID}
	report, err := recording.Verify(bytes.NewReader(data), all)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Complete || !report.Trusted || !report.Opened || report.Entries != 2 || report.Frames != 3 ||
		report.Bytes != int64(len(data)) || report.Chain != sum.Chain || report.End != recording.EndDone ||
		report.Length != time.Minute || report.Header.Session.Login != "root" {
		t.Errorf("report: %+v", report)
	}
	blind := all
	blind.Key = nil
	report, err = recording.Verify(bytes.NewReader(data), blind)
	if err != nil || !report.Complete || report.Opened || report.Header.Session.Login != "" || report.Header.Session.ID == "" {
		t.Errorf("without a key: %v, %+v", err, report)
	}
	for name, change := range map[string]func(*recording.VerifyOptions){
		"chain":   func(o *recording.VerifyOptions) { o.Chain = strings.Repeat("0", 64) },
		"session": func(o *recording.VerifyOptions) { o.Session = "ses_other" },
		"signers": func(o *recording.VerifyOptions) { o.Signers = signers[:1] },
		"key":     func(o *recording.VerifyOptions) { o.Key = newKey(t) },
	} {
		o := all
		change(&o)
		if _, err := recording.Verify(bytes.NewReader(data), o); err == nil {
			t.Errorf("wrong %s: not found", name)
		}
	}
}

// What is not to be read without a key must not be in the file.
func TestNothingInTheClear(t *testing.T) {
	key := newKey(t)
	data, _ := write(t, key, &recording.Entry{Kind: recording.Exec, Data: []byte("cat /etc/shadow")}, out("secret"))
	for _, word := range []string{"alice", "web1", "root", "192.0.2.7", "cat", "secret", "shadow", "done"} {
		if bytes.Contains(data, []byte(word)) {
			t.Errorf("%q stands in the file", word)
		}
	}
	if !bytes.Contains(data, []byte(session().ID)) {
		t.Error("the session's ID should be in the clear")
	}
}
