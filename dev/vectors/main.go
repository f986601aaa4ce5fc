// Command vectors writes the files on which readers of the recording format are tried: recordings, the keys that open
// them, and for each a description of what must be found in it. Every run makes new keys and new recordings.
//
//	go run ./dev/vectors FOLDER
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: vectors FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// passphrase is that of the locked key; it is no secret.
const passphrase = "関所 open sesame"

// keyForm is one key in keys.json.
type keyForm struct {
	ID        string `json:"id"`
	KEM       string `json:"kem"`
	Label     string `json:"label"`
	Recipient string `json:"recipient"`
	Private   string `json:"private"`
	// Locked is the same key under Passphrase, where there is one.
	Locked     string `json:"locked,omitempty"`
	Passphrase string `json:"passphrase,omitempty"`
}

// vector is the description of one recording, in NAME.json beside NAME.rec and NAME.manifest.json. Times are microseconds, data base64.
type vector struct {
	About string `json:"about"`
	// Error is what reading it to its end with a key gives: "" for none, "cut", "newer version", "older version" or
	// "invalid". All else tells of what is whole.
	Error    string          `json:"error"`
	Keys     []string        `json:"keys"`
	Slots    []slotForm      `json:"slots"`
	Signer   []byte          `json:"signer"`
	Header   string          `json:"header"`
	Session  json.RawMessage `json:"session"`
	Bytes    int64           `json:"bytes"`
	Frames   int64           `json:"frames"`
	Chain    string          `json:"chain"`
	Complete bool            `json:"complete"`
	End      string          `json:"end,omitempty"`
	EndAt    int64           `json:"end_at,omitempty"`
	Entries  []entryForm     `json:"entries"`
}

type slotForm struct {
	ID  string `json:"id"`
	KEM int    `json:"kem"`
}

type entryForm struct {
	Kind    int    `json:"kind"`
	Name    string `json:"name"`
	At      int64  `json:"at"`
	Channel uint32 `json:"channel"`
	Data    []byte `json:"data"`
}

// maker makes one folder of vectors.
type maker struct {
	folder string
	keys   map[recording.KEM]*recording.PrivateKey
	signer ed25519.PrivateKey
}

func run(folder string) error {
	m := &maker{folder: folder, keys: map[recording.KEM]*recording.PrivateKey{}}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	var err error
	if _, m.signer, err = ed25519.GenerateKey(nil); err != nil {
		return err
	}
	if err := m.makeKeys(); err != nil {
		return err
	}
	for _, kem := range recording.KEMs() {
		if err := m.record(kem.String(), "sealed to one key of kind "+kem.String(), everyKind(), kem); err != nil {
			return err
		}
	}
	if err := m.record("mixed", "sealed to three keys of three kinds", everyKind(), recording.KEMs()...); err != nil {
		return err
	}
	if err := m.record("segments", "five segments, compressed frames, frames of the greatest size, frames that do not shrink", longSession(), recording.P256); err != nil {
		return err
	}
	return m.broken()
}

func (m *maker) makeKeys() error {
	var forms []keyForm
	for _, kem := range recording.KEMs() {
		key, err := recording.GenerateKey(kem, "vectors-"+kem.String())
		if err != nil {
			return err
		}
		m.keys[kem] = key
		private, err := key.Encode()
		if err != nil {
			return err
		}
		form := keyForm{ID: key.ID(), KEM: kem.String(), Label: key.Recipient().Label(), Recipient: key.Recipient().String(), Private: line(private)}
		locked, err := key.Encrypt([]byte(passphrase))
		if err != nil {
			return err
		}
		form.Locked, form.Passphrase = line(locked), passphrase
		forms = append(forms, form)
	}
	return m.writeJSON("keys.json", forms)
}

func line(text []byte) string { return string(bytes.TrimSuffix(text, []byte("\n"))) }

// step is what is done to a writer: an entry, or a flush, or a cut.
type step struct {
	entry      recording.Entry
	flush, cut bool
}

func (m *maker) record(name, about string, steps []step, kems ...recording.KEM) error {
	var recipients []recording.Recipient
	v := vector{About: about, Signer: m.signer.Public().(ed25519.PublicKey)}
	for _, kem := range kems {
		recipients = append(recipients, m.keys[kem].Recipient())
		v.Keys = append(v.Keys, m.keys[kem].ID())
	}
	f := &memory{}
	s := session(name)
	w, err := recording.NewWriter(f, recording.Header{Session: s}, recipients, m.signer)
	if err != nil {
		return err
	}
	var segments []recording.Segment
	for _, step := range steps {
		switch {
		case step.flush:
			err = w.Flush()
		case step.cut:
			var closed recording.Segment
			closed, err = w.Cut()
			segments = append(segments, closed)
		default:
			err = w.Append(step.entry)
		}
		if err != nil {
			return err
		}
	}
	summary, err := w.Close(recording.EndDone, 24*time.Hour)
	if err != nil {
		return err
	}
	index := recording.Manifest{
		Session: s.ID, Header: w.HeaderHash(), State: sekisho.RecordingClosed, Chain: summary.Chain, Segments: append(segments, w.Segment()),
	}
	text, err := index.Encode()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(m.folder, name+".manifest.json"), text, 0o644); err != nil {
		return err
	}
	return m.describe(name, v, f.Bytes(), m.keys[kems[0]])
}

// broken makes files that do not read to their end, out of those that do.
func (m *maker) broken() error {
	whole, err := os.ReadFile(filepath.Join(m.folder, "segments.rec"))
	if err != nil {
		return err
	}
	key := m.keys[recording.P256]
	v := vector{Signer: m.signer.Public().(ed25519.PublicKey), Keys: []string{key.ID()}}
	v.About, v.Error = "the same as segments, cut within a frame", "cut"
	if err := m.describe("cut", v, whole[:len(whole)*2/3], key); err != nil {
		return err
	}
	for name, version := range map[string]byte{"newer": 3, "older": 1} {
		other := bytes.Clone(whole[:2000])
		other[9] = version
		v.About, v.Error = fmt.Sprintf("says that it is of format %d", version), name+" version"
		if err := m.describe(name, v, other, key); err != nil {
			return err
		}
	}
	changed := bytes.Clone(whole)
	changed[len(changed)/2] ^= 1
	v.About, v.Error = "the same as segments, with one bit flipped", "invalid"
	return m.describe("changed", v, changed, key)
}

// describe writes a recording and what the reader here finds in it.
func (m *maker) describe(name string, v vector, file []byte, key *recording.PrivateKey) error {
	v.Entries = []entryForm{}
	err := v.read(file, key)
	if got := failure(err); got != v.Error {
		return fmt.Errorf("%s: reading gives %q (%w), not %q", name, got, err, v.Error)
	}
	if err := os.WriteFile(filepath.Join(m.folder, name+".rec"), file, 0o644); err != nil {
		return err
	}
	return m.writeJSON(name+".json", v)
}

func (v *vector) read(file []byte, key *recording.PrivateKey) error {
	report, err := recording.Verify(bytes.NewReader(file), recording.VerifyOptions{Key: key})
	v.Bytes, v.Frames, v.Chain, v.Complete = report.Bytes, report.Frames, report.Chain, report.Complete
	v.End, v.Header, v.Slots = string(report.End), report.Header.Hash, []slotForm{}
	if report.Complete {
		v.EndAt = report.Length.Microseconds()
	}
	for _, s := range report.Header.Slots {
		v.Slots = append(v.Slots, slotForm{s.ID, int(s.KEM)})
	}
	if report.Header.Hash == "" {
		return err
	}
	var failed error
	if v.Session, failed = json.Marshal(report.Header.Session); failed != nil {
		return failed
	}
	r, failed := recording.NewReader(bytes.NewReader(file), key)
	if failed != nil {
		return failed
	}
	for {
		e, failed := r.Next()
		if failed != nil {
			return err
		}
		v.Entries = append(v.Entries, entryForm{int(e.Kind), e.Kind.String(), e.At.Microseconds(), e.Channel, append([]byte{}, e.Data...)})
	}
}

// failure is the word for an error.
func failure(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, recording.ErrCut):
		return "cut"
	case errors.Is(err, recording.ErrVersion):
		return "newer version"
	case errors.Is(err, recording.ErrOld):
		return "older version"
	case errors.Is(err, recording.ErrInvalid):
		return "invalid"
	}
	return "other"
}

func (m *maker) writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(m.folder, name), append(text, '\n'), 0o644)
}

// memory is a sink.
type memory struct{ bytes.Buffer }

func (*memory) Sync() error { return nil }

func session(name string) sekisho.Session {
	return sekisho.Session{
		ID:            "ses_" + hex.EncodeToString([]byte(name)),
		SignIn:        "sin_bbbbbbbbbbbbbbbbbbbbbbbbbb",
		Identity:      sekisho.Identity{Subject: "alice@example.com", Issuer: "https://idp.example.com", Groups: []string{"ops"}},
		Target:        "web1",
		Login:         "root",
		Audit:         sekisho.AuditStrict,
		ClientAddress: "192.0.2.7",
		Gateway:       "tokyo",
		Started:       time.Date(2026, 3, 4, 5, 6, 7, 89, time.UTC),
	}
}
