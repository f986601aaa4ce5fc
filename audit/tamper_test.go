package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/audit"
)

// Mallory has the database but not the key. Whatever she does to it, export names the first line that is wrong, or
// says that the whole is; a client who only has the lines and a checkpoint sees it too.
func TestTamperedRows(t *testing.T) {
	const edit = `UPDATE audit_leaves SET line = replace(line, 'alice', 'carol') WHERE seq = 17`
	// Line 16 completes no subtree, so its hashes are one; changing both leaves the next line's hashes wrong.
	forged := `{"seq":16,"time":"2026-11-22T08:00:00Z","kind":"decision"}`
	leaf := sha256.Sum256(append([]byte{0}, forged...))
	for _, test := range []struct {
		name       string
		statements []string
		want       string
	}{
		{"a line", []string{edit}, "line 17 was changed"},
		{"its hash as well", []string{fmt.Sprintf(`UPDATE audit_leaves SET line = '%s', hashes = x'%x' WHERE seq = 16`, forged, leaf)}, "line 17 was changed"},
		{"a hash", []string{`UPDATE audit_leaves SET hashes = zeroblob(32) WHERE seq = 18`}, "line 18 was changed"},
		{"half a hash", []string{`UPDATE audit_leaves SET hashes = zeroblob(31) WHERE seq = 18`}, "line 18 was changed"},
		{"a line gone", []string{`DELETE FROM audit_leaves WHERE seq = 5`}, "line 5 is missing"},
		{"the last gone", []string{`DELETE FROM audit_leaves WHERE seq = 29`}, "line 29 is missing"},
		{"two exchanged", []string{
			`UPDATE audit_leaves SET seq = -1 WHERE seq = 8`, `UPDATE audit_leaves SET seq = 8 WHERE seq = 9`,
			`UPDATE audit_leaves SET seq = 9 WHERE seq = -1`,
		}, "line 8 was changed"},
		{"the checkpoint", []string{`UPDATE audit_checkpoint SET note = replace(note, char(10) || '30' || char(10), char(10) || '29' || char(10))`}, "not signed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			l := openLog(t, openStore(t, dir))
			fill(t, l, 30)
			checkpoint, err := l.Checkpoint(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			tamper(t, dir, test.statements...)
			v, err := audit.NewVerifier(l.VerifierKey())
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.Export(t.Context(), 0, func([][]byte) error { return nil })
			wantTampered(t, err)
			wantError(t, err, test.want)

			// The client's own check, on what the rows hold.
			lines, err := l.Query(t.Context(), sekisho.EventQuery{Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			for i := len(lines) - 1; i >= 0 && err == nil; i-- {
				err = v.Add(lines[i])
			}
			if err == nil {
				_, err = v.Finish(checkpoint)
			}
			changesLines := !strings.Contains(test.name, "hash") || test.name == "its hash as well"
			if changesLines && test.name != "the checkpoint" && err == nil {
				t.Error("the client saw nothing")
			}
		})
	}
}

// A log that does not agree with its checkpoint takes no more lines.
func TestTamperedStopsAppend(t *testing.T) {
	older := func(t *testing.T, l *audit.Log) string {
		checkpoint, err := l.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return checkpoint
	}
	for _, test := range []struct {
		name       string
		statements []string
		onOpen     bool // seen by a new process
		onAppend   bool // seen by the running one
	}{
		{"last line", []string{`UPDATE audit_leaves SET line = replace(line, 'alice', 'carol') WHERE seq = 29`}, true, false},
		{"hash on the edge", []string{`UPDATE audit_leaves SET hashes = zeroblob(160) WHERE seq = 15`}, true, false},
		{"last line gone", []string{`DELETE FROM audit_leaves WHERE seq = 29`}, true, false},
		{"line put on", []string{`INSERT INTO audit_leaves SELECT 30, hashes, time, kind, actor, target, session, line FROM audit_leaves WHERE seq = 29`}, true, true},
		{"checkpoint gone", []string{`DELETE FROM audit_checkpoint`}, true, true},
		{"checkpoint broken", []string{`UPDATE audit_checkpoint SET note = 'x'`}, true, true},
		{"all gone", []string{`DELETE FROM audit_leaves`, `DELETE FROM audit_checkpoint`}, false, true},
		{"cut back to an older checkpoint", []string{`DELETE FROM audit_leaves WHERE seq >= 20`, `UPDATE audit_checkpoint SET note = 'OLDER'`}, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			l := openLog(t, openStore(t, dir))
			fill(t, l, 20)
			at20 := older(t, l)
			fill(t, l, 10)
			for _, s := range test.statements {
				tamper(t, dir, strings.Replace(s, "OLDER", at20, 1))
			}
			if test.onOpen {
				_, err := audit.Open(t.Context(), config(openStore(t, dir)))
				wantTampered(t, err)
			}
			if test.onAppend {
				if l.Append(t.Context(), event(1)) == nil {
					t.Error("appended to a tampered log")
				}
			}
		})
	}
}

// Mallory has the key's file for a while and writes another history: only who remembers a checkpoint sees it.
func TestRewritten(t *testing.T) {
	old := openLog(t, openStore(t, t.TempDir()))
	fill(t, old, 20)
	seen, err := old.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fill(t, old, 20)
	verify(t, old, export(t, old), seen) // the real log goes on

	forged := openLog(t, openStore(t, t.TempDir()))
	fill(t, forged, 15)
	file := export(t, forged)
	verify(t, forged, file)
	_, err = audit.Verify(bytes.NewReader(file), forged.VerifierKey(), seen)
	wantError(t, err, "the log was cut: it has 15 lines, and the checkpoint seen before signs 20")
	fill(t, forged, 25)
	_, err = audit.Verify(bytes.NewReader(export(t, forged)), forged.VerifierKey(), seen)
	wantError(t, err, "the first 20 lines are not those of the checkpoint seen before")
}

// Another process that writes another history into the database is not followed, even with the right key.
func TestForked(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	l, forked := openLog(t, openStore(t, dir)), openLog(t, openStore(t, other))
	fill(t, l, 10)
	fill(t, forked, 30)
	tamper(t, dir, `DELETE FROM audit_leaves`, `DELETE FROM audit_checkpoint`,
		fmt.Sprintf(`ATTACH '%s/sekisho.db' AS other; INSERT INTO audit_leaves SELECT * FROM other.audit_leaves; INSERT INTO audit_checkpoint SELECT * FROM other.audit_checkpoint`, other))
	err := l.Append(t.Context(), event(1))
	wantTampered(t, err)
	wantError(t, err, "does not extend")
}

func TestOpenOtherKey(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, openStore(t, dir))
	fill(t, l, 3)
	text, key, err := audit.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	again, err := audit.ParseKey(text)
	if err != nil || !again.Equal(key) {
		t.Fatalf("the key read is not the key written: %v", err)
	}
	cfg := config(openStore(t, dir))
	cfg.Signer = key
	_, err = audit.Open(t.Context(), cfg)
	wantTampered(t, err)

	cfg = config(openStore(t, dir))
	cfg.Origin = "elsewhere"
	_, err = audit.Open(t.Context(), cfg)
	wantTampered(t, err)

	for _, origin := range []string{"", "two words", "a+b"} {
		cfg.Origin = origin
		if _, err := audit.Open(t.Context(), cfg); err == nil {
			t.Errorf("opened with the origin %q", origin)
		}
	}
}

func TestParseKey(t *testing.T) {
	for _, text := range []string{"", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := audit.ParseKey([]byte(text)); err == nil {
			t.Errorf("parsed %q", text)
		}
	}
	if _, err := audit.VerifierKey(origin, "no key"); err == nil {
		t.Error("made a verifier key of a string")
	}
	if _, err := audit.VerifierKey(origin, testKey.Public().(ed25519.PublicKey)); err != nil {
		t.Error(err)
	}
}

// Files edited after export.
func TestVerifyEdited(t *testing.T) {
	l := openLog(t, openStore(t, t.TempDir()))
	fill(t, l, 10)
	seen, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 10)
	file := export(t, l)
	verify(t, l, file, seen)
	lines := bytes.SplitAfter(file, []byte("\n"))[:21]
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	replace := func(n int, old, new string) []byte {
		edited := bytes.Replace(lines[n], []byte(old), []byte(new), 1)
		if bytes.Equal(edited, lines[n]) {
			t.Fatalf("%q is not in line %d", old, n)
		}
		return join(append(append(append([][]byte{}, lines[:n]...), edited), lines[n+1:]...)...)
	}
	for _, test := range []struct {
		name string
		file []byte
		line int64 // -1: no single line can be named
		want string
	}{
		{"changed before the checkpoint seen", replace(7, "alice", "carol"), -1, "a line from 0 to 9 was changed"},
		{"changed after it", replace(17, "alice", "carol"), -1, "a line from 10 to 19 was changed"},
		{"white space", replace(4, `,"kind"`, `, "kind"`), 4, "is not compact JSON"},
		{"no JSON", replace(4, `"kind"`, `kind`), 4, "is not JSON"},
		{"carriage return", replace(4, "\n", "\r\n"), 4, "is not compact JSON"},
		{"two events in a line", replace(4, "\n", ""), 4, "is not JSON"},
		{"renumbered", replace(4, `"seq":4`, `"seq":04`), 4, "seq \"04\" stands there"},
		{"empty line", replace(4, "\n", "\n\n"), 5, "does not begin as an event does"},
		{"too long", replace(4, "alice", strings.Repeat("a", 70000)), 4, "more than 65536 bytes"},
		{"line removed", join(join(lines[:3]...), join(lines[4:]...)), 3, "seq \"4\" stands there"},
		{"line twice", join(join(lines[:4]...), join(lines[3:]...)), 4, "seq \"3\" stands there"},
		{"reordered", join(join(lines[:3]...), lines[4], lines[3], join(lines[5:]...)), 3, "seq \"4\" stands there"},
		{"first removed", join(lines[1:]...), 0, "seq \"1\" stands there"},
		{"last removed", join(join(lines[:19]...), lines[20]), 19, "is missing: the checkpoint signs 20 lines"},
		{"line added", join(join(lines[:20]...), bytes.Replace(lines[19], []byte(`"seq":19`), []byte(`"seq":20`), 1), lines[20]), 20, "is not signed"},
		{"truncated in a line", file[:len(join(lines[:5]...))+10], 5, "is cut off"},
		{"truncated in the trailer", file[:len(file)-10], 20, "is cut off"},
		{"no trailer", join(lines[:20]...), -1, "ends after 20 lines without a checkpoint"},
		{"two trailers", join(file, lines[20]), -1, "something follows the trailer"},
		{"trailer edited", replace(20, `\n20\n`, `\n19\n`), -1, "is not signed by"},
		{"trailer spaced", replace(20, `":"`, `": "`), -1, "not written as a trailer is"},
		{"older checkpoint", join(join(lines[:20]...), trailerOf(t, seen)), 10, "is not signed: the checkpoint signs 10 lines"},
		{"cut to an older state", join(join(lines[:7]...), trailerOf(t, seen)), 7, "is missing"},
		{"signed with another key", join(join(lines[:20]...), trailerOf(t, resign(t, l))), -1, "is not signed by"},
		{"empty", nil, -1, "ends after 0 lines"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := audit.Verify(bytes.NewReader(test.file), l.VerifierKey(), seen)
			wantError(t, err, test.want)
			var bad *audit.BadLine
			if errors.As(err, &bad) != (test.line >= 0) || bad != nil && bad.Seq != test.line {
				t.Errorf("error %v, want line %d", err, test.line)
			}
		})
	}
}

// resign signs the log's tree with a key of the same name that mallory made.
func resign(t *testing.T, l *audit.Log) string {
	t.Helper()
	checkpoint, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(checkpoint, "\n\n")
	key, _, err := note.GenerateKey(nil, origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: text + "\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

func trailerOf(t *testing.T, checkpoint string) []byte {
	t.Helper()
	trailer, err := audit.Trailer(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	return trailer
}

func TestVerifyEmpty(t *testing.T) {
	l := openLog(t, openStore(t, t.TempDir()))
	if r := verify(t, l, export(t, l)); r.Events != 0 || r.Root != "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" {
		t.Errorf("report %+v", r)
	}
}
