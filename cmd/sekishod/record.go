package main

import (
	"context"
	"crypto"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/gateway"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/store/blob"
)

// recorder opens recordings: a sealed file, its line in the index, and its events.
type recorder struct {
	folder     *blob.Folder
	index      recordingIndex
	recipients *recipients
	signer     crypto.Signer
	note       func(context.Context, ...*sekisho.Event) error
	now        func() time.Time
	follows    follows
}

type recordingIndex interface {
	SaveRecording(context.Context, *sekisho.Recording) error
	Recordings(context.Context, sekisho.RecordingQuery) ([]*sekisho.Recording, error)
}

// record fills the gateway's Record port. The opening is noted with the hash of the header before a byte flows.
func (r *recorder) record(ctx context.Context, s sekisho.Session, limits sekisho.Limits) (gateway.Tape, error) {
	to, err := r.recipients.choose(limits.Recipients)
	if err != nil {
		return nil, err
	}
	file, err := r.folder.Create(s.ID)
	if err != nil {
		return nil, err
	}
	out := &later{File: file}
	w, err := recording.NewWriter(out, recording.Header{Session: s}, to, r.signer)
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	t := &sealedTape{Writer: w, file: out, recorder: r, growth: r.follows.begin(s.ID, out.written.Load()), entry: sekisho.Recording{Session: s, State: sekisho.RecordingOpen}}
	for _, recipient := range to {
		t.entry.Recipients = append(t.entry.Recipients, recipient.ID())
	}
	if err := r.index.SaveRecording(ctx, &t.entry); err != nil {
		t.shut()
		return nil, err
	}
	ev := t.event(sekisho.EventRecordingOpened)
	ev.Detail = map[string]string{"header": w.HeaderHash(), "recipients": strings.Join(t.entry.Recipients, " ")}
	if err := r.note(ctx, ev); err != nil {
		t.shut()
		return nil, err
	}
	return t, nil
}

// later leaves durability to whoever calls Sync on the file: the gateway does so without holding up the writer.
type later struct {
	*blob.File
	written atomic.Int64
}

func (*later) Sync() error { return nil }

func (l *later) Write(p []byte) (int, error) {
	n, err := l.File.Write(p)
	l.written.Add(int64(n))
	return n, err
}

// sealedTape is the gateway's Tape over a sealed file.
type sealedTape struct {
	*recording.Writer
	file     *later
	recorder *recorder
	growth   *growth
	entry    sekisho.Recording
}

// Sync makes what was flushed durable.
func (t *sealedTape) Sync() error {
	upto := t.file.written.Load()
	err := t.file.File.Sync()
	if err == nil {
		t.growth.grow(upto)
	}
	return err
}

// shut lets go of the file; who follows it comes to its end.
func (t *sealedTape) shut() {
	t.file.Close()
	t.recorder.follows.end(t.entry.Session.ID, t.growth)
}

// Close signs the end, makes it durable, and writes size and chain to index and log.
func (t *sealedTape) Close(end recording.End, at time.Duration) error {
	defer t.shut()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	summary, err := t.Writer.Close(end, at)
	if err == nil {
		err = t.Sync()
	}
	t.entry.Ended = t.recorder.now().UTC()
	if err != nil {
		t.entry.State = sekisho.RecordingInterrupted
		ev := t.event(sekisho.EventRecordingCut)
		ev.Error = err.Error()
		t.recorder.note(ctx, ev)
		t.recorder.index.SaveRecording(ctx, &t.entry)
		return fmt.Errorf("close recording: %w", err)
	}
	t.entry.State, t.entry.Bytes, t.entry.Chain = sekisho.RecordingClosed, summary.Bytes, summary.Chain
	ev := t.event(sekisho.EventRecordingClosed)
	ev.Detail = map[string]string{"chain": summary.Chain, "bytes": fmt.Sprint(summary.Bytes), "end": string(end)}
	if err := t.recorder.note(ctx, ev); err != nil {
		return err
	}
	return t.recorder.index.SaveRecording(ctx, &t.entry)
}

func (t *sealedTape) event(kind string) *sekisho.Event {
	return recordingEvent(kind, &t.entry.Session)
}

func recordingEvent(kind string, s *sekisho.Session) *sekisho.Event {
	return &sekisho.Event{Kind: kind, Actor: "gateway:" + s.Gateway, Session: s.ID, SignIn: s.SignIn, Target: s.Target, Login: s.Login}
}

// recover marks the recordings that this gateway left open when it died. What they hold up to their last durable
// frame can be read.
func (r *recorder) recover(ctx context.Context, gatewayName string) error {
	for {
		open, err := r.index.Recordings(ctx, sekisho.RecordingQuery{State: sekisho.RecordingOpen, Limit: 1000})
		if err != nil {
			return err
		}
		marked := 0
		for _, rec := range open {
			if rec.Session.Gateway != gatewayName {
				continue
			}
			if err := r.interrupted(ctx, rec); err != nil {
				return err
			}
			marked++
		}
		if marked == 0 {
			return nil
		}
	}
}

func (r *recorder) interrupted(ctx context.Context, rec *sekisho.Recording) error {
	rec.State, rec.Ended = sekisho.RecordingInterrupted, r.now().UTC()
	if file, err := r.folder.Open(rec.Session.ID); err == nil {
		rec.Bytes = file.Size()
		file.Close()
	}
	ev := recordingEvent(sekisho.EventRecordingCut, &rec.Session)
	ev.Error = "the gateway stopped without closing it"
	if err := r.note(ctx, ev); err != nil {
		return err
	}
	return r.index.SaveRecording(ctx, rec)
}
