package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/store/spool"
)

// segmentBytes is where a segment ends, if its time does not come first.
const segmentBytes = 8 << 20

// sealedTape is the gateway's Tape over a file of the spool.
type sealedTape struct {
	file     *spool.File
	recorder *recorder
	entry    sekisho.Recording

	mu    sync.Mutex // not held while the disk makes something durable, but where a segment ends
	out   *recording.Writer
	begun time.Time // when the open segment got its first bytes; zero while it has none
	done  bool
}

// unsynced is the sink of the recording's writer. It leaves durability to whoever calls Sync on the tape: the gateway
// does so without holding up the writer.
type unsynced struct{ *sealedTape }

func (unsynced) Sync() error { return nil }

func (u unsynced) Write(p []byte) (int, error) {
	if u.begun.IsZero() {
		u.begun = u.recorder.now()
	}
	return u.file.Write(p)
}

// Append seals an entry, or holds it until a frame is full.
func (t *sealedTape) Append(e recording.Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out.Append(e)
}

// Flush writes what was appended. A segment that is large or old enough ends here.
func (t *sealedTape) Flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.out.Flush(); err != nil {
		return err
	}
	return t.cut()
}

// Sync makes what was flushed durable.
func (t *sealedTape) Sync() error { return t.file.Sync() }

// cut ends the open segment if its time has come: the store gets it, and the manifest that names it.
func (t *sealedTape) cut() error {
	if t.done || t.begun.IsZero() {
		return nil
	}
	if _, size := t.file.Segment(); size < segmentBytes && t.recorder.now().Sub(t.begun) < t.recorder.segmentTime {
		return nil
	}
	closed, err := t.out.Cut()
	if err != nil || closed.Frames == 0 {
		return err
	}
	m, err := t.manifest()
	if err != nil {
		return err
	}
	m.Segments = append(m.Segments, closed)
	text, err := m.Encode()
	if err != nil {
		return err
	}
	t.begun = time.Time{}
	return t.file.Cut(text)
}

// manifest is the one so far. It is read from the disk: sessions are many, and long.
func (t *sealedTape) manifest() (recording.Manifest, error) {
	text, err := t.file.Manifest()
	if err != nil || text == nil {
		return recording.Manifest{Session: t.entry.Session.ID, Header: t.out.HeaderHash(), State: sekisho.RecordingOpen}, err
	}
	return recording.ParseManifest(text)
}

// Close signs the end, makes it durable, and writes size and chain to index and log.
func (t *sealedTape) Close(end recording.End, at time.Duration) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = true
	r := t.recorder
	r.mu.Lock()
	delete(r.tapes, t)
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	summary, err := t.end(end, at)
	if err != nil {
		return errors.Join(fmt.Errorf("close recording: %w", err), r.stopped(ctx, t, err))
	}
	t.entry.Ended = r.now().UTC()
	t.entry.State, t.entry.Bytes, t.entry.Chain = sekisho.RecordingClosed, summary.Bytes, summary.Chain
	ev := t.event(sekisho.EventRecordingClosed)
	ev.Detail = map[string]string{"chain": summary.Chain, "bytes": fmt.Sprint(summary.Bytes), "end": string(end)}
	if err := r.note(ctx, ev); err != nil {
		return err
	}
	return r.index.SaveRecording(ctx, &t.entry)
}

// end writes the end record and the last manifest.
func (t *sealedTape) end(end recording.End, at time.Duration) (recording.Summary, error) {
	summary, err := t.out.Close(end, at)
	if err == nil {
		err = t.file.Sync()
	}
	if err != nil {
		return summary, err
	}
	m, err := t.manifest()
	if err != nil {
		return summary, err
	}
	m.Segments, m.State, m.Chain = append(m.Segments, t.out.Segment()), sekisho.RecordingClosed, summary.Chain
	text, err := m.Encode()
	if err != nil {
		return summary, err
	}
	return summary, t.file.Close(text)
}

func (t *sealedTape) event(kind string) *sekisho.Event {
	return recordingEvent(kind, &t.entry.Session)
}

func recordingEvent(kind string, s *sekisho.Session) *sekisho.Event {
	return &sekisho.Event{Kind: kind, Actor: "gateway:" + s.Gateway, Session: s.ID, SignIn: s.SignIn, Target: s.Target, Login: s.Login}
}
