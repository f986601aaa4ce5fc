package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/policy"
)

// Bounds on watching. What a watcher does not take waits on the disk, not here.
const (
	maxWatches = 64               // that one person has at once
	watchPiece = 64 << 10         // bytes of one message
	watchPulse = 20 * time.Second // between messages while nothing happens
	cutTime    = time.Second      // for a watcher to take the last word, who may not watch any more
)

// watches counts who watches how much.
type watches struct {
	mu       sync.Mutex
	byPerson map[string]int
}

// enter takes one of a person's places; leave gives it back.
func (w *watches) enter(person string) (leave func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byPerson[person] >= maxWatches {
		return nil, as(connect.CodeResourceExhausted, &sekisho.Refusal{
			Sentence: fmt.Sprintf("You watch %d sessions already, and nobody can watch more.", maxWatches), Next: "Leave some of them.",
		})
	}
	if w.byPerson == nil {
		w.byPerson = map[string]int{}
	}
	w.byPerson[person]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.byPerson[person]--; w.byPerson[person] == 0 {
			delete(w.byPerson, person)
		}
	}, nil
}

// Why watching ends.
var (
	errLeft        = errors.New("left")
	errSessionOver = errors.New("session ended")
	errGoingDown   = &sekisho.Refusal{Sentence: "This house is going down.", Next: "Try again in a moment."}
	errFailed      = &sekisho.Refusal{
		Sentence: "The recording of this session cannot go on, or not be read, so there is nothing more to watch.",
		Next:     "sekisho sessions list shows whether the session still runs; the gateway's log says what is wrong.",
	}
)

// watch is somebody who sees a session live.
type watch struct {
	*door
	rights  *right
	session *sekisho.Live
	stream  *connect.ServerStream[apiv1.WatchSessionResponse]
	file    io.ReadCloser
	now     int64 // durable bytes when it began
	sent    int64
	over    chan struct{} // closed when nothing more is sent
}

// Watch decides, tells the user if the policy says so, notes, and only then sends.
func (d sessions) Watch(ctx context.Context, req *connect.Request[apiv1.WatchSessionRequest], stream *connect.ServerStream[apiv1.WatchSessionResponse]) error {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return err
	}
	w := &watch{door: d.door, rights: d.rightsOf(who), stream: stream, over: make(chan struct{})}
	if req.Msg.Offset < 0 {
		return malformed(errors.New("the offset is negative"))
	}
	if w.session, err = d.live(ctx, w.rights, req.Msg.Session); err != nil {
		return err
	}
	decision, err := w.rights.to(ctx, policy.WatchSessions, w.session)
	if err != nil {
		return err
	}
	if decision.Effect != sekisho.Allow {
		return d.noteDenied(ctx, w.rights, policy.WatchSessions, w.session, decision)
	}
	giveBack, err := d.watches.enter(who.Identity.Subject)
	if err != nil {
		return err
	}
	defer giveBack()
	told, leave, err := d.Live.Watch(ctx, w.session.ID, who.Identity.Subject)
	switch {
	case errors.Is(err, sekisho.ErrNotFound):
		return ended(w.session.ID, err)
	case err != nil:
		return as(connect.CodeFailedPrecondition, err)
	}
	defer leave()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.file, w.now, err = d.FollowRecording(ctx, w.session.ID, req.Msg.Offset)
	switch {
	case errors.Is(err, sekisho.ErrNotFound):
		return as(connect.CodeFailedPrecondition, &sekisho.Refusal{
			Sentence: "There is no recording of this session to watch.", Next: "If it has just begun, try again.", Cause: err,
		})
	case err != nil:
		return fmt.Errorf("follow recording: %w", err)
	}
	defer w.file.Close()
	ev := w.rights.event(sekisho.EventSessionWatched, w.session)
	ev.Decision = &decision
	ev.Detail["told"], ev.Detail["offset"] = strconv.Itoa(told), strconv.FormatInt(req.Msg.Offset, 10)
	if err := d.Note(ctx, ev); err != nil {
		return fmt.Errorf("note watching: %w", err)
	}
	return w.run(ctx, cancel)
}

// run sends until the session has ended, the watcher has left or may not watch any more, and notes which it was.
func (w *watch) run(ctx context.Context, cancel context.CancelCauseFunc) error {
	begun := w.Now()
	var work sync.WaitGroup
	pieces, failed := make(chan []byte), make(chan error, 1)
	work.Go(func() { failed <- w.read(ctx, pieces) })
	work.Go(func() { w.guard(ctx, cancel) })
	err := w.send(ctx, pieces, failed)
	close(w.over)
	cancel(nil)
	work.Wait()
	w.noteEnd(err, w.Now().Sub(begun))
	if errors.Is(err, errSessionOver) || errors.Is(err, errLeft) {
		return nil
	}
	return err
}

// read brings the recording in pieces. While one is sent the next is read.
func (w *watch) read(ctx context.Context, pieces chan<- []byte) error {
	var buffers [2][watchPiece]byte
	for i := 0; ; i = 1 - i {
		n, err := w.file.Read(buffers[i][:])
		if n > 0 {
			select {
			case pieces <- buffers[i][:n]:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err != nil {
			return err
		}
	}
}

// send passes on what there is. Its error says why there is nothing more.
func (w *watch) send(ctx context.Context, pieces <-chan []byte, failed <-chan error) error {
	pulse := time.NewTicker(watchPulse)
	defer pulse.Stop()
	m := &apiv1.WatchSessionResponse{Now: w.now}
	for {
		if err := w.stream.Send(m); err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		w.sent += int64(len(m.Data))
		select {
		case piece := <-pieces:
			m = &apiv1.WatchSessionResponse{Data: piece}
		case <-pulse.C:
			m = &apiv1.WatchSessionResponse{}
		case err := <-failed:
			return w.last(ctx, err)
		case <-ctx.Done():
			return w.last(ctx, nil)
		}
	}
}

// last says that the session has ended, if that is why there is nothing more to read.
func (w *watch) last(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return errors.Join(errSessionOver, w.stream.Send(&apiv1.WatchSessionResponse{Ended: true}))
	case ctx.Err() == nil:
		w.Log.Error("follow recording", "session", w.session.ID, "error", err)
		return as(connect.CodeUnavailable, fmt.Errorf("%w: %w", errFailed, err))
	case errors.Is(context.Cause(ctx), context.Canceled):
		return errLeft
	}
	return context.Cause(ctx)
}

// guard ends a watch that may not go on, within cutTime even where the watcher takes nothing.
func (w *watch) guard(ctx context.Context, cancel context.CancelCauseFunc) {
	for ctx.Err() == nil {
		changed := w.Changed()
		if err := w.judge(ctx); err != nil {
			cancel(err)
		}
		select {
		case <-changed:
		case <-w.Closing:
			cancel(as(connect.CodeUnavailable, errGoingDown))
		case <-ctx.Done():
		}
	}
	timer := time.NewTimer(cutTime)
	defer timer.Stop()
	select {
	case <-w.over:
	case <-timer.C:
		cut(ctx)
	}
}

// judge looks whether the watcher's sign-in lives and the policies in force allow what was allowed before.
func (w *watch) judge(ctx context.Context) error {
	who := w.rights.who
	signIn, err := w.Store.SignIn(ctx, who.ID)
	if errors.Is(err, sekisho.ErrNotFound) || err == nil && !signIn.Live(w.Now()) {
		return as(connect.CodeUnauthenticated, &sekisho.Refusal{Sentence: "Your sign-in has ended.", Next: "Run: sekisho login"})
	}
	if err != nil {
		return fmt.Errorf("read sign-in: %w", err)
	}
	decision, err := w.rightsOf(who).to(ctx, policy.WatchSessions, w.session)
	if err == nil && decision.Effect != sekisho.Allow {
		err = denied(decision)
	}
	return err
}

func (w *watch) noteEnd(cause error, lasted time.Duration) {
	ev := w.rights.event(sekisho.EventSessionUnwatched, w.session)
	ev.Detail["seconds"] = strconv.FormatFloat(lasted.Seconds(), 'f', 3, 64)
	ev.Detail["bytes"], ev.Detail["why"] = strconv.FormatInt(w.sent, 10), "connection lost"
	for _, known := range []error{errSessionOver, errLeft, errGoingDown, errFailed} {
		if errors.Is(cause, known) {
			ev.Detail["why"] = known.Error()
		}
	}
	if errors.Is(cause, context.Canceled) {
		ev.Detail["why"] = errLeft.Error()
	}
	if refusal(cause) && !errors.Is(cause, errGoingDown) && !errors.Is(cause, errFailed) {
		ev.Detail["why"] = "not allowed any more"
	}
	ctx, cancel := context.WithTimeout(context.Background(), sendTime)
	defer cancel()
	if err := w.Note(ctx, ev); err != nil {
		w.Log.Error("note end of watching", "session", w.session.ID, "error", err)
	}
}
