package recording_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// vector is what one of testdata/vectors says of itself (dev/vectors).
type vector struct {
	Error, Header, Chain, End string
	Keys                      []string
	Slots                     []struct {
		ID  string
		KEM recording.KEM
	}
	Signer        []byte
	Session       *sekisho.Session
	Bytes, Frames int64
	Complete      bool
	EndAt         int64 `json:"end_at"`
	Entries       []vectorEntry
	file          []byte
}

type vectorEntry struct {
	Kind    recording.Kind
	Name    string
	At      int64
	Channel uint32
	Data    []byte
}

func parseFile(t testing.TB, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func vectors(t testing.TB) map[string]vector {
	t.Helper()
	files, err := filepath.Glob("testdata/vectors/*.rec")
	if err != nil || len(files) < 9 {
		t.Fatal(files, err)
	}
	all := map[string]vector{}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".rec")
		var v vector
		parseFile(t, name+".json", &v)
		if v.file, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = v
	}
	return all
}

type vectorKey struct{ ID, KEM, Label, Recipient, Private, Locked, Passphrase string }

// vectorKeys reads the private keys, by their IDs.
func vectorKeys(t testing.TB) (map[string]*recording.PrivateKey, []vectorKey) {
	t.Helper()
	var forms []vectorKey
	parseFile(t, "testdata/vectors/keys.json", &forms)
	keys := map[string]*recording.PrivateKey{}
	for _, f := range forms {
		key, err := recording.ParsePrivateKey([]byte(f.Private))
		if err != nil {
			t.Fatal(err)
		}
		keys[f.ID] = key
	}
	return keys, forms
}

// Every key is read in all its forms.
func TestVectorKeys(t *testing.T) {
	keys, forms := vectorKeys(t)
	for _, f := range forms {
		key := keys[f.ID]
		locked, err := recording.ParseLockedKey([]byte(f.Locked))
		if err != nil {
			t.Fatal(err)
		}
		unlocked, err := locked.Unlock([]byte(f.Passphrase))
		if err != nil {
			t.Fatal(err)
		}
		to, err := recording.ParseRecipient(f.Recipient)
		if err != nil {
			t.Fatal(err)
		}
		if key.ID() != f.ID || unlocked.ID() != f.ID || to.ID() != f.ID || locked.ID() != f.ID || key.KEM().String() != f.KEM || to.Label() != f.Label {
			t.Errorf("key %s is read as %s, %s, %s", f.ID, key.ID(), unlocked.ID(), to.ID())
		}
	}
}

// Files of yesterday are read as they were meant, with each of their keys.
func TestVectors(t *testing.T) {
	keys, _ := vectorKeys(t)
	kinds := map[recording.Kind]bool{}
	for name, v := range vectors(t) {
		for _, id := range v.Keys {
			got, err := read(v.file, keys[id])
			checkError(t, name, v.Error, err)
			var entries []vectorEntry
			for _, e := range got {
				kinds[e.Kind] = true
				entries = append(entries, vectorEntry{e.Kind, e.Kind.String(), e.At.Microseconds(), e.Channel, e.Data})
			}
			if d := cmp.Diff(v.Entries, entries, cmp.Comparer(bytes.Equal), cmp.Comparer(func(a, b []vectorEntry) bool {
				return len(a) == 0 && len(b) == 0 || cmp.Equal(a, b, cmp.Comparer(bytes.Equal))
			})); d != "" {
				t.Errorf("%s: entries (-want +got)\n%s", name, d)
			}
			report, err := recording.Verify(bytes.NewReader(v.file), recording.VerifyOptions{Key: keys[id], Signers: []ed25519.PublicKey{v.Signer}})
			checkError(t, name, v.Error, err)
			if report.Bytes != v.Bytes || report.Frames != v.Frames || report.Chain != v.Chain || report.Complete != v.Complete ||
				report.Header.Hash != v.Header || string(report.End) != v.End || v.Complete && report.Length.Microseconds() != v.EndAt {
				t.Errorf("%s: %+v", name, report)
			}
			for i, s := range report.Header.Slots {
				if s.ID != v.Slots[i].ID || s.KEM != v.Slots[i].KEM {
					t.Errorf("%s: slot %+v, not %+v", name, s, v.Slots[i])
				}
			}
			if v.Session != nil && !cmp.Equal(*v.Session, report.Header.Session) {
				t.Errorf("%s: session %+v", name, report.Header.Session)
			}
		}
		if v.Complete {
			checkManifest(t, name, v, keys[v.Keys[0]])
		}
	}
	for kind := range recording.Lost + 1 {
		if !strings.HasPrefix(kind.String(), "kind ") && !kinds[kind] {
			t.Errorf("no vector has an entry of %s", kind)
		}
	}
}

func checkError(t *testing.T, name, want string, err error) {
	t.Helper()
	for _, c := range []struct {
		word string
		err  error
	}{{"", nil}, {"", io.EOF}, {"cut", recording.ErrCut}, {"newer version", recording.ErrVersion}, {"older version", recording.ErrOld}, {"invalid", recording.ErrInvalid}} {
		if errors.Is(err, c.err) && c.word == want {
			return
		}
	}
	t.Errorf("%s: %v, not %q", name, err, want)
}

// checkManifest reads a vector from the beginning of each of its segments.
func checkManifest(t *testing.T, name string, v vector, key *recording.PrivateKey) {
	text, err := os.ReadFile("testdata/vectors/" + name + ".manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	m, err := recording.ParseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := recording.Verify(bytes.NewReader(v.file), recording.VerifyOptions{Key: key, Manifest: &m, Chain: m.Chain}); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	for _, s := range m.Segments {
		got, _, err := readAt(v.file, s, key)
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s from segment %d: %v", name, s.Index, err)
		}
		tail := v.Entries[len(v.Entries)-len(got):]
		if len(got) == 0 || tail[0].At != got[0].At.Microseconds() || !bytes.Equal(tail[0].Data, got[0].Data) {
			t.Errorf("%s from segment %d: %d entries, which are not the last ones", name, s.Index, len(got))
		}
	}
}
