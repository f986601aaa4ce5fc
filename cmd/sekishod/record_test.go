package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/store/blob"
	"github.com/sekisho/sekisho/store/spool"
)

// shelf is an index in memory.
type shelf struct {
	all  map[string]sekisho.Recording
	fail error
}

func (s *shelf) SaveRecording(_ context.Context, r *sekisho.Recording) error {
	if s.fail == nil {
		s.all[r.Session.ID] = *r
	}
	return s.fail
}

func (s *shelf) Recordings(_ context.Context, q sekisho.RecordingQuery) (found []*sekisho.Recording, err error) {
	for _, r := range s.all {
		if (q.Session == "" || q.Session == r.Session.ID) && (q.State == "" || q.State == r.State) {
			found = append(found, &r)
		}
	}
	return found, nil
}

// studio is a recorder over a disk of its own.
type studio struct {
	*recorder
	t      *testing.T
	dir    string
	shelf  *shelf
	events []*sekisho.Event
	clock  time.Time
}

func newStudio(t *testing.T, dir string, index *shelf) *studio {
	t.Helper()
	cfg, err := loadWith(t, "recording: {recipients: ["+auditorKey(t, "auditors").String()+"]}\n")
	if err != nil {
		t.Fatal(err)
	}
	readers, _ := opened(t, cfg)
	_, signer, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.Open(filepath.Join(dir, "recordings"))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := spool.Open(t.Context(), spool.Config{Dir: filepath.Join(dir, "spool"), Blobs: blobs, JournalBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	s := &studio{t: t, dir: dir, shelf: index, clock: time.Now()}
	s.recorder = &recorder{spool: kept, index: index, recipients: readers, signer: signer, segmentTime: time.Minute, log: slog.New(slog.DiscardHandler),
		now: func() time.Time { return s.clock }, note: func(_ context.Context, evs ...*sekisho.Event) error { s.events = append(s.events, evs...); return nil }}
	return s
}

func (s *studio) session() sekisho.Session {
	return sekisho.Session{ID: sekisho.NewID("ses"), Gateway: gatewayName, Started: s.clock, Target: "db1", Login: "root"}
}

// say puts output onto a tape, durably.
func (s *studio) say(t *sealedTape, text string) {
	s.t.Helper()
	err := t.Append(recording.Entry{Kind: recording.Output, At: s.clock.Sub(t.entry.Session.Started), Data: []byte(text)})
	if err := errors.Join(err, t.Flush(), t.Sync()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *studio) start() *sealedTape {
	s.t.Helper()
	tape, err := s.record(s.t.Context(), s.session(), sekisho.Limits{})
	if err != nil {
		s.t.Fatal(err)
	}
	return tape.(*sealedTape)
}

func (s *studio) read(session string) []byte {
	s.t.Helper()
	in, size, err := s.open(s.t.Context(), session)
	if err != nil {
		s.t.Fatal(err)
	}
	defer in.Close()
	all, err := io.ReadAll(in)
	if err != nil || int64(len(all)) != size {
		s.t.Fatalf("%d bytes of %d: %v", len(all), size, err)
	}
	return all
}

// A recording in three segments is whole, and its manifest fits it.
func TestRecordSegments(t *testing.T) {
	s := newStudio(t, t.TempDir(), &shelf{all: map[string]sekisho.Recording{}})
	tape := s.start()
	for range 2 {
		s.say(tape, "hello")
		s.clock = s.clock.Add(2 * time.Minute)
		s.say(tape, "this one ends the segment")
	}
	s.say(tape, "and one more")
	if err := tape.Close(recording.EndDone, 5*time.Minute); err != nil {
		t.Fatal(err)
	}
	session := tape.entry.Session.ID
	if err := s.spool.Close(); err != nil {
		t.Fatal(err)
	}
	s = newStudio(t, s.dir, s.shelf)
	defer s.spool.Close()
	place := filepath.Join(s.dir, "recordings", blob.Manifest(session))
	var m recording.Manifest
	for begun := time.Now(); m.State != sekisho.RecordingClosed; time.Sleep(time.Millisecond) {
		text, _ := os.ReadFile(place)
		m, _ = recording.ParseManifest(text)
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("manifest %s", text)
		}
	}
	report, err := recording.Verify(bytes.NewReader(s.read(session)), recording.VerifyOptions{Manifest: &m, Chain: s.shelf.all[session].Chain})
	if err != nil || report.Segments != 3 || len(m.Segments) != 3 {
		t.Errorf("%d segments, %d in the manifest: %v", report.Segments, len(m.Segments), err)
	}
}

// A gateway that died leaves a recording that is marked, with how far it goes, and one that had not begun leaves nothing.
func TestRecoverWhatWasLeft(t *testing.T) {
	dir, index := t.TempDir(), &shelf{all: map[string]sekisho.Recording{}}
	s := newStudio(t, dir, index)
	tape := s.start()
	s.say(tape, "hello")
	want := s.read(tape.entry.Session.ID)
	refused, err := s.spool.Create(sekisho.NewID("ses")) // died before it was in the index
	if err != nil {
		t.Fatal(err)
	}
	_ = refused
	empty := s.session()
	if _, err := s.spool.Create(empty.ID); err != nil { // and before a byte of it was durable
		t.Fatal(err)
	}
	elsewhere := s.session()
	for _, session := range []sekisho.Session{empty, elsewhere} {
		index.all[session.ID] = sekisho.Recording{Session: session, State: sekisho.RecordingOpen}
	}
	s.spool.Close() // and nothing more is done

	s = newStudio(t, dir, index)
	defer s.spool.Close()
	if err := s.recover(t.Context(), gatewayName); err != nil {
		t.Fatal(err)
	}
	extent, err := recording.Intact(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	rec := index.all[tape.entry.Session.ID]
	if rec.State != sekisho.RecordingInterrupted || rec.Chain != extent.Chain || rec.Bytes != int64(len(want)) {
		t.Errorf("in the index: %+v", rec)
	}
	if got := s.read(rec.Session.ID); !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	told := map[string]string{}
	for _, ev := range s.events {
		if ev.Kind == sekisho.EventRecordingCut {
			told[ev.Session] = ev.Error
		}
		if ev.Session == rec.Session.ID && (ev.Detail["chain"] != extent.Chain || ev.Detail["frames"] != "2") {
			t.Errorf("noted %v", ev.Detail)
		}
	}
	for session, want := range map[string]string{rec.Session.ID: stoppedByItself, empty.ID: stoppedByItself + "; nothing of it was durable",
		elsewhere.ID: stoppedByItself + "; neither the spool of this gateway nor the store has anything of it"} {
		if told[session] != want {
			t.Errorf("told %q, want %q", told[session], want)
		}
	}
	for _, session := range []string{empty.ID, elsewhere.ID} {
		if index.all[session].State != sekisho.RecordingInterrupted {
			t.Errorf("in the index: %+v", index.all[session])
		}
		var gone *sekisho.Refusal
		if _, _, err := s.open(t.Context(), session); !errors.As(err, &gone) || errors.Is(err, sekisho.ErrNotFound) {
			t.Errorf("reading what is gone: %v", err)
		}
	}
	if _, _, err := s.open(t.Context(), sekisho.NewID("ses")); !errors.Is(err, sekisho.ErrNotFound) {
		t.Errorf("reading what never was: %v", err)
	}
}

// An index that is older than the spool, such as one from a backup, does not take what is recorded with it.
func TestRecoverWithoutIndex(t *testing.T) {
	dir := t.TempDir()
	s := newStudio(t, dir, &shelf{all: map[string]sekisho.Recording{}})
	tape, begun := s.start(), s.start()
	s.say(tape, "hello")
	want := s.read(tape.entry.Session.ID)
	s.spool.Close()

	s = newStudio(t, dir, &shelf{all: map[string]sekisho.Recording{}})
	defer s.spool.Close()
	if err := s.recover(t.Context(), gatewayName); err != nil {
		t.Fatal(err)
	}
	rec := s.shelf.all[tape.entry.Session.ID]
	if got := s.read(rec.Session.ID); !bytes.Equal(got, want) || rec.State != sekisho.RecordingInterrupted || rec.Chain == "" ||
		!rec.Session.Started.Equal(tape.entry.Session.Started) {
		t.Errorf("%d bytes of %d, in the index: %+v", len(got), len(want), rec)
	}
	if _, _, err := s.open(t.Context(), begun.entry.Session.ID); !errors.Is(err, sekisho.ErrNotFound) || len(s.shelf.all) != 1 {
		t.Errorf("what had not begun: %v; %d in the index", err, len(s.shelf.all))
	}
}

// A store that cannot be read at the start does not make a recording one that ends nowhere: the next start says where.
func TestRecoverWhileTheStoreIsGone(t *testing.T) {
	dir, index := t.TempDir(), &shelf{all: map[string]sekisho.Recording{}}
	s := newStudio(t, dir, index)
	tape := s.start()
	s.say(tape, "hello")
	session := tape.entry.Session.ID
	s.clock = s.clock.Add(2 * time.Minute)
	s.say(tape, "this one ends the segment")
	place := filepath.Join(dir, "recordings", session)
	for begun := time.Now(); s.spool.Stats().Waiting > 0; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatal("not stored")
		}
	}
	s.spool.Close()
	for _, err := range []error{os.RemoveAll(filepath.Join(dir, "spool")), os.Rename(place, place+".away"), os.WriteFile(place, nil, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s = newStudio(t, dir, index)
	if err := s.recover(t.Context(), gatewayName); err != nil {
		t.Fatal(err)
	}
	if rec := index.all[session]; rec.State != sekisho.RecordingOpen {
		t.Errorf("while nobody knows where it ends: %s, chain %q", rec.State, rec.Chain)
	}
	s.spool.Close()
	if err := errors.Join(os.Remove(place), os.Rename(place+".away", place)); err != nil {
		t.Fatal(err)
	}
	s = newStudio(t, dir, index)
	defer s.spool.Close()
	if err := s.recover(t.Context(), gatewayName); err != nil {
		t.Fatal(err)
	}
	if rec := index.all[session]; rec.State != sekisho.RecordingInterrupted || rec.Chain == "" {
		t.Errorf("afterwards: %s, chain %q", rec.State, rec.Chain)
	}
}

// A recording that is refused leaves nothing in the spool and no line in the index.
func TestRefusedRecording(t *testing.T) {
	index := &shelf{all: map[string]sekisho.Recording{}, fail: errors.New("no room")}
	s := newStudio(t, t.TempDir(), index)
	defer s.spool.Close()
	if _, err := s.record(t.Context(), s.session(), sekisho.Limits{}); !errors.Is(err, index.fail) {
		t.Fatalf("error %v", err)
	}
	s.note = func(context.Context, ...*sekisho.Event) error { return io.ErrShortWrite }
	index.fail = nil
	if _, err := s.record(t.Context(), s.session(), sekisho.Limits{}); !errors.Is(err, io.ErrShortWrite) {
		t.Fatalf("error %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(s.dir, "spool", "segments", "*"))
	if len(left) != 0 || len(index.all) != 0 {
		t.Errorf("left %q and %v", left, index.all)
	}
}

func TestStoreConfig(t *testing.T) {
	cfg, err := loadWith(t, "recording: {spool_limit: 2GiB, segment_time: 30s}\n")
	if err != nil || cfg.Recording.spoolLimit != 2<<30 || cfg.Recording.minFree != usualMinFree || cfg.Recording.segmentTime != 30*time.Second ||
		cfg.Recording.Store.Folder != filepath.Join(cfg.Data, "recordings") {
		t.Errorf("%+v, %v", cfg.Recording, err)
	}
	for _, text := range []string{"spool_limit: lots", "min_free: 5", "segment_time: 1ms", "store: {s3: {endpoint: 's3.example.com', bucket: b}}",
		"store: {folder: x, s3: {endpoint: 'https://s3.example.com', bucket: bucket}}", "store: {s4: {}}"} {
		if _, err := loadWith(t, "recording: {"+text+"}\n"); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}
