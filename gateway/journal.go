package gateway

import (
	"context"
	"sync"

	"github.com/sekisho/sekisho"
)

// maxPending is how many events of one session may wait to be noted; whoever adds more waits.
const maxPending = 256

// journal is one session's way to the audit log. Events are noted in order, all together that came while the log took
// those before them. What need not be durable before what it tells goes on, because the recording has it already, is
// noted a moment later. When the log cannot take them, failed is called once.
type journal struct {
	note   func(context.Context, ...*sekisho.Event) error
	failed func(error)

	mu      sync.Mutex
	turn    sync.Cond
	pending []*sekisho.Event
	added   int // events so far, pending or not
	durable int // of these
	writing bool
	err     error
}

func newJournal(note func(context.Context, ...*sekisho.Event) error, failed func(error)) *journal {
	j := &journal{note: note, failed: failed}
	j.turn.L = &j.mu
	return j
}

// soon notes an event after everything before it.
func (j *journal) soon(ev *sekisho.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.add(ev)
}

// now notes events after everything before them; they are durable on return.
func (j *journal) now(events ...*sekisho.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.add(events...); err != nil {
		return err
	}
	return j.await(j.added)
}

// close returns when everything is noted that was to be.
func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.await(j.added)
}

// failure is why the log takes nothing more, or nil.
func (j *journal) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// add has events noted. The lock is held, but not while there is no room.
func (j *journal) add(events ...*sekisho.Event) error {
	for len(j.pending) >= maxPending && j.err == nil {
		j.turn.Wait()
	}
	if j.err != nil {
		return j.err
	}
	j.pending = append(j.pending, events...)
	j.added += len(events)
	if !j.writing {
		j.writing = true
		go j.write()
	}
	return nil
}

// await returns when as many events are durable. The lock is held, but not meanwhile.
func (j *journal) await(many int) error {
	for j.durable < many && j.err == nil {
		j.turn.Wait()
	}
	if j.durable >= many {
		return nil
	}
	return j.err
}

// write notes what is pending until nothing is; the lock is not held while the log takes it.
func (j *journal) write() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.pending) > 0 && j.err == nil {
		events := j.pending
		j.pending = nil
		j.mu.Unlock()
		err := j.note(context.Background(), events...) // the log bounds the time
		j.mu.Lock()
		if err != nil {
			j.err = &recordingError{err}
			go j.failed(j.err)
		} else {
			j.durable += len(events)
		}
		j.turn.Broadcast()
	}
	j.writing = false
}
