package audit_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sekisho/sekisho/audit"
)

// handmade is an export file that owes nothing to Log, so that it is the same in each of the fuzzer's processes, and
// Verify is held against tlog's own arithmetic.
func handmade(t testing.TB, n int64) (file []byte, key string) {
	t.Helper()
	var hashes []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, i := range indexes {
			found = append(found, hashes[i])
		}
		return found, nil
	})
	for seq := range n {
		line := fmt.Appendf(nil, `{"seq":%d,"time":"2026-11-22T08:30:00Z","kind":"decision","actor":"alice"}`, seq)
		more, err := tlog.StoredHashes(seq, line, read)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
		file = append(append(file, line...), '\n')
	}
	root, err := tlog.TreeHash(n, read)
	if err != nil {
		t.Fatal(err)
	}
	key, err = audit.VerifierKey(origin, testKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	secret := append([]byte{1}, testKey.Seed()...)
	signer, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", origin, v.KeyHash(), base64.StdEncoding.EncodeToString(secret)))
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", origin, n, root)}, signer)
	if err != nil {
		t.Fatal(err)
	}
	trailer, err := audit.Trailer(string(checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	return append(file, trailer...), key
}

func TestVerifyHandmade(t *testing.T) {
	for n := range int64(70) {
		file, key := handmade(t, n)
		report, err := audit.Verify(bytes.NewReader(file), key)
		if err != nil || report.Events != n {
			t.Fatalf("%d lines: %+v, %v", n, report, err)
		}
	}
}

// Whatever is fed to Verify: what it accepts holds these lines, every byte of them. (The trailer may differ: a note may carry
// signatures of others, and its base64 has spare bits.)
func FuzzVerify(f *testing.F) {
	file, key := handmade(f, 9)
	lines := file[:bytes.Index(file, []byte(`{"checkpoint":`))]
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Add(bytes.Replace(file, []byte("alice"), []byte("carol"), 1))
	f.Add([]byte("{\"seq\":0,\"time\":\"\"}\n{\"checkpoint\":\"\"}\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, err := audit.Verify(bytes.NewReader(in), key); err == nil && !bytes.HasPrefix(in, append(lines[:len(lines):len(lines)], `{"checkpoint":`...)) {
			t.Errorf("accepted other lines:\n%s", in)
		}
	})
}

// A proof is either refused or really of a line of the log.
func FuzzCheckInclusion(f *testing.F) {
	file, key := handmade(f, 1)
	line, trailer, _ := bytes.Cut(file, []byte("\n"))
	var checkpoint string
	if _, err := fmt.Sscanf(string(trailer), `{"checkpoint":%q}`, &checkpoint); err != nil {
		f.Fatal(err)
	}
	f.Add(int64(0), string(line), []byte{}, checkpoint)
	f.Add(int64(1), string(line), bytes.Repeat([]byte{1}, 64), checkpoint)
	f.Fuzz(func(t *testing.T, seq int64, text string, path []byte, checkpoint string) {
		in := &audit.Inclusion{Seq: seq, Line: text, Checkpoint: checkpoint}
		for len(path) >= tlog.HashSize {
			in.Proof = append(in.Proof, tlog.Hash(path[:tlog.HashSize]))
			path = path[tlog.HashSize:]
		}
		if audit.CheckInclusion(in, key) == nil && text != string(line) {
			t.Errorf("accepted another line: %q", text)
		}
	})
}
