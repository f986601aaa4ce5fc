package main

import (
	"context"
	"crypto"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/gateway"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/store/spool"
)

// recorder opens recordings: sealed segments in the spool, a line in the index, and events.
type recorder struct {
	spool       *spool.Spool
	index       recordingIndex
	recipients  *recipients
	signer      crypto.Signer
	segmentTime time.Duration
	note        func(context.Context, ...*sekisho.Event) error
	now         func() time.Time
	log         *slog.Logger

	mu    sync.Mutex
	tapes map[*sealedTape]struct{} // open ones
}

type recordingIndex interface {
	SaveRecording(context.Context, *sekisho.Recording) error
	Recordings(context.Context, sekisho.RecordingQuery) ([]*sekisho.Recording, error)
}

// record fills the gateway's Record port. The opening is noted with the hash of the header before a byte flows. What is
// refused leaves nothing in the spool, and no open line in the index.
func (r *recorder) record(ctx context.Context, s sekisho.Session, limits sekisho.Limits) (gateway.Tape, error) {
	to, err := r.recipients.choose(limits.Recipients)
	if err != nil {
		return nil, err
	}
	file, err := r.spool.Create(s.ID)
	if err != nil {
		return nil, err
	}
	t := &sealedTape{file: file, recorder: r, entry: sekisho.Recording{Session: s, State: sekisho.RecordingOpen}}
	if err := r.begin(ctx, t, to); err != nil {
		return nil, errors.Join(err, file.Discard())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tapes == nil {
		r.tapes = map[*sealedTape]struct{}{}
	}
	r.tapes[t] = struct{}{}
	return t, nil
}

func (r *recorder) begin(ctx context.Context, t *sealedTape, to []recording.Recipient) (err error) {
	t.out, err = recording.NewWriter(unsynced{t}, recording.Header{Session: t.entry.Session}, to, r.signer)
	if err == nil {
		err = t.file.Sync()
	}
	if err != nil {
		return err
	}
	for _, recipient := range to {
		t.entry.Recipients = append(t.entry.Recipients, recipient.ID())
	}
	ev := t.event(sekisho.EventRecordingOpened)
	ev.Detail = map[string]string{"header": t.out.HeaderHash(), "recipients": strings.Join(t.entry.Recipients, " ")}
	if err := r.note(ctx, ev); err != nil {
		return err
	}
	if err := r.index.SaveRecording(ctx, &t.entry); err != nil {
		ev := t.event(sekisho.EventRecordingCut)
		ev.Error = "it could not be entered in the index, and was refused"
		return errors.Join(err, r.note(ctx, ev))
	}
	return nil
}

// sweep ends the segments of idle sessions whose time has come, until ctx is done.
func (r *recorder) sweep(ctx context.Context) {
	every(ctx, r.segmentTime/10, func() {
		r.mu.Lock()
		all := slices.Collect(maps.Keys(r.tapes))
		r.mu.Unlock()
		for _, t := range all {
			t.mu.Lock()
			err := t.cut()
			t.mu.Unlock()
			if err != nil { // the session hears of it with its next byte
				r.log.Error("cut recording", "session", t.entry.Session.ID, "error", err)
			}
		}
	})
}

// open fills control's OpenRecording port: of a recording that grows there is what is durable.
func (r *recorder) open(ctx context.Context, session string) (io.ReadCloser, int64, error) {
	in, size, err := r.spool.Reader(ctx, session)
	if err != nil {
		return nil, 0, r.gone(ctx, session, err)
	}
	return in, size, nil
}

// follow fills control's FollowRecording port: the sealed bytes from an offset on, as they become durable, until the
// recording is closed.
func (r *recorder) follow(ctx context.Context, session string, offset int64) (io.ReadCloser, int64, error) {
	in, size, err := r.spool.Follow(ctx, session, offset)
	if err != nil {
		return nil, 0, r.gone(ctx, session, err)
	}
	return in, size, nil
}

// gone tells a recording that the index has and the store has not from one that never was.
func (r *recorder) gone(ctx context.Context, session string, err error) error {
	if !errors.Is(err, sekisho.ErrNotFound) {
		return err
	}
	known, e := r.index.Recordings(ctx, sekisho.RecordingQuery{Session: session, Limit: 1})
	if e != nil || len(known) == 0 {
		return errors.Join(err, e)
	}
	return &sekisho.Refusal{
		Sentence: "That session was recorded, and its recording is gone from the store.",
		Next:     "sekisho audit list --session " + session + " shows what was noted of it. Ask whoever keeps the store.",
		Cause:    errors.New(err.Error()), // it is not one that never was
	}
}
