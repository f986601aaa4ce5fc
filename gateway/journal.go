package gateway

import (
	"context"
	"sync"

	"github.com/sekisho/sekisho"
)

// maxPending is how many events of one session may wait to be noted; whoever adds more waits.
const maxPending = 256

// journal is one session's way to the audit log for events that need not be durable before what they tell goes on,
// because the recording has them already. They are noted in order, together, a moment later; when the log cannot take
// them, failed is called once.
type journal struct {
	note   func(context.Context, ...*sekisho.Event) error
	failed func(error)

	mu      sync.Mutex
	turn    sync.Cond
	pending []*sekisho.Event
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
	for len(j.pending) >= maxPending && j.err == nil {
		j.turn.Wait()
	}
	if j.err != nil {
		return j.err
	}
	j.pending = append(j.pending, ev)
	if !j.writing {
		j.writing = true
		go j.write()
	}
	return nil
}

// write notes what is pending until nothing is.
func (j *journal) write() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.pending) > 0 && j.err == nil {
		j.some(nil)
	}
	j.writing = false
	j.turn.Broadcast()
}

// some notes what is pending, and more after it; the lock is not held meanwhile.
func (j *journal) some(more []*sekisho.Event) {
	events := append(j.pending, more...)
	j.pending = nil
	j.mu.Unlock()
	err := j.note(context.Background(), events...) // the log bounds the time
	j.mu.Lock()
	if err != nil && j.err == nil {
		j.err = &recordingError{err}
		go j.failed(j.err)
	}
	j.turn.Broadcast()
}

// now notes events after everything before them; they are durable on return.
func (j *journal) now(events ...*sekisho.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.writing && j.err == nil {
		j.turn.Wait()
	}
	if j.err != nil {
		return j.err
	}
	j.writing = true
	j.some(events)
	j.writing = false
	if len(j.pending) > 0 && j.err == nil {
		j.writing = true
		go j.write()
	}
	j.turn.Broadcast()
	return j.err
}

// close returns when everything is noted that was to be.
func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for (j.writing || len(j.pending) > 0) && j.err == nil {
		j.turn.Wait()
	}
	return j.err
}
