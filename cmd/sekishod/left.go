package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/store/spool"
)

const stoppedByItself = "the gateway stopped without closing it"

// recover marks the recordings that this gateway left open when it died, and says how far each goes. What they hold up
// to their last durable frame can be read.
func (r *recorder) recover(ctx context.Context, gatewayName string) error {
	for _, left := range r.spool.Left() {
		if err := r.settle(ctx, left); err != nil {
			return err
		}
	}
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
			done, err := r.elsewhere(ctx, rec)
			if err != nil {
				return err
			}
			if done {
				marked++
			}
		}
		if marked == 0 {
			return nil
		}
	}
}

// settle marks a recording that the spool has without an end.
func (r *recorder) settle(ctx context.Context, left spool.Left) error {
	known, err := r.index.Recordings(ctx, sekisho.RecordingQuery{Session: left.Session, Limit: 1})
	if err != nil {
		return err
	}
	if len(known) == 0 {
		return r.unknown(ctx, left)
	}
	if left.First == 0 && left.Last <= 0 && left.Whole.Frames == 0 && left.Manifest == nil {
		if err := r.mark(ctx, known[0], recording.Extent{}, stoppedByItself+"; nothing of it was durable"); err != nil {
			return err
		}
		return r.spool.Discard(left.Session)
	}
	return r.finish(ctx, known[0], left.Manifest, stoppedByItself)
}

// unknown removes a recording that the index does not have because it was refused before a byte flowed: then there is its
// description alone. Of more than that the index was lost, and it gets a new line, with what can be read without a key.
func (r *recorder) unknown(ctx context.Context, left spool.Left) error {
	if left.First == 0 && left.Last <= 0 && left.Whole.Frames <= 1 && left.Manifest == nil {
		r.log.Warn("removed a recording that had not begun", "session", left.Session)
		return r.spool.Discard(left.Session)
	}
	rec := &sekisho.Recording{Session: sekisho.Session{ID: left.Session, Gateway: gatewayName}}
	if extent, err := r.extent(ctx, left.Session); err == nil {
		rec.Session.Started = extent.Header.Session.Started
	}
	return r.finish(ctx, rec, left.Manifest, stoppedByItself+"; the index had lost it")
}

// finish finds out how far a recording goes, and gives it its last manifest.
func (r *recorder) finish(ctx context.Context, rec *sekisho.Recording, manifest []byte, why string) error {
	extent, err := r.extent(ctx, rec.Session.ID)
	if err != nil { // such as a store that cannot be reached: it stays in the spool until the next start
		r.log.Error("look at a recording without an end", "session", rec.Session.ID, "error", err)
		return r.mark(ctx, rec, recording.Extent{}, why+"; how far it goes cannot be said: "+err.Error())
	}
	text, err := lastManifest(rec.Session.ID, manifest, extent)
	if err != nil {
		return err
	}
	if err := r.mark(ctx, rec, extent, why); err != nil {
		return err
	}
	return r.spool.Settle(rec.Session.ID, text)
}

// lastManifest adds to the one so far what stands behind the last segment that was closed.
func lastManifest(session string, sofar []byte, extent recording.Extent) ([]byte, error) {
	m := recording.Manifest{Session: session, Header: extent.Header.Hash}
	if sofar != nil {
		var err error
		if m, err = recording.ParseManifest(sofar); err != nil {
			return nil, err
		}
	}
	m.State, m.Chain = sekisho.RecordingInterrupted, extent.Chain
	if extent.Complete {
		m.State = sekisho.RecordingClosed
	}
	if s := extent.Segment; s.Frames > 0 && s.Index == len(m.Segments) {
		if s.Index > 0 { // its own times are sealed
			s.First, s.Last = m.Segments[s.Index-1].Last, m.Segments[s.Index-1].Last
		}
		m.Segments = append(m.Segments, s)
	}
	return m.Encode()
}

func (r *recorder) extent(ctx context.Context, session string) (recording.Extent, error) {
	in, _, err := r.spool.Reader(ctx, session)
	if err != nil {
		return recording.Extent{}, err
	}
	defer in.Close()
	return recording.Intact(in)
}

// mark writes how far a recording goes to log and index. One that has its signed end was only not marked as closed.
func (r *recorder) mark(ctx context.Context, rec *sekisho.Recording, extent recording.Extent, why string) error {
	if rec.Ended.IsZero() {
		rec.Ended = r.now().UTC()
	}
	rec.State, rec.Bytes, rec.Chain = sekisho.RecordingInterrupted, extent.Bytes, extent.Chain
	ev := recordingEvent(sekisho.EventRecordingCut, &rec.Session)
	ev.Error = why
	if extent.Complete {
		rec.State = sekisho.RecordingClosed
		ev = recordingEvent(sekisho.EventRecordingClosed, &rec.Session)
	}
	ev.Detail = map[string]string{"frames": fmt.Sprint(extent.Frames), "bytes": fmt.Sprint(extent.Bytes)}
	if extent.Chain != "" {
		ev.Detail["chain"] = extent.Chain
	}
	if err := r.note(ctx, ev); err != nil {
		return err
	}
	return r.index.SaveRecording(ctx, rec)
}

// stopped ends a recording that could not be closed, as far as it goes. If not even that can be written, the next start
// does it.
func (r *recorder) stopped(ctx context.Context, t *sealedTape, cause error) error {
	manifest, err := t.file.Manifest()
	if err == nil {
		err = t.file.Stop()
	}
	if err == nil {
		return r.finish(ctx, &t.entry, manifest, cause.Error())
	}
	return errors.Join(err, r.mark(ctx, &t.entry, recording.Extent{}, cause.Error()))
}

// elsewhere marks a recording that is open in the index and not in the spool: it was on another disk, or only its end was
// not marked. What the store has of it stays. While the store cannot be read nothing is marked: the next start does it,
// for without its last chain it could be cut further unseen.
func (r *recorder) elsewhere(ctx context.Context, rec *sekisho.Recording) (marked bool, err error) {
	extent, err := r.extent(ctx, rec.Session.ID)
	why := "the spool of this gateway has nothing of it, so only what the store has is left"
	switch {
	case errors.Is(err, sekisho.ErrNotFound):
		why = "neither the spool of this gateway nor the store has anything of it"
	case err != nil:
		r.log.Error("look at a recording without an end; the next start tries again", "session", rec.Session.ID, "error", err)
		return false, ctx.Err()
	}
	return true, r.mark(ctx, rec, extent, stoppedByItself+"; "+why)
}
