package gateway

import (
	"sync"
	"time"

	"github.com/sekisho/sekisho/recording"
)

// tape makes a Tape strict: whoever waits for an entry returns only when it is durable. All channels of a session
// share one tape; entries that arrive while the disk is busy become durable together with the next Sync.
type tape struct {
	out   Tape
	clock func() time.Duration // since the session started

	mu       sync.Mutex
	turn     sync.Cond
	appended uint64 // entries handed to out
	durable  uint64 // entries known to be on disk
	syncing  bool
	closed   bool
	err      error
}

func newTape(out Tape, clock func() time.Duration) *tape {
	t := &tape{out: out, clock: clock}
	t.turn.L = &t.mu
	return t
}

// append gives an entry its time, hands it to the recording and returns its number, to wait for.
func (t *tape) append(e recording.Entry) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return 0, t.err
	}
	if t.closed {
		return 0, errTapeClosed
	}
	e.At = max(t.clock(), 0)
	if err := t.out.Append(e); err != nil {
		t.fail(err)
		return 0, t.err
	}
	t.appended++
	return t.appended, nil
}

// wait returns when that entry is durable. The first to come syncs for all that was appended so far.
func (t *tape) wait(n uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.durable < n && t.err == nil {
		if t.syncing {
			t.turn.Wait()
			continue
		}
		t.sync()
	}
	return t.err
}

// sync makes everything appended so far durable; the lock is not held while the disk works.
func (t *tape) sync() {
	upto := t.appended
	if err := t.out.Flush(); err != nil {
		t.fail(err)
		return
	}
	t.syncing = true
	t.mu.Unlock()
	err := t.out.Sync()
	t.mu.Lock()
	t.syncing = false
	if err != nil {
		t.fail(err)
		return
	}
	t.durable = max(t.durable, upto)
	t.turn.Broadcast()
}

func (t *tape) fail(err error) {
	if t.err == nil {
		t.err = &recordingError{err}
	}
	t.turn.Broadcast()
}

// put appends an entry and returns when it is durable.
func (t *tape) put(e recording.Entry) error {
	n, err := t.append(e)
	if err != nil {
		return err
	}
	return t.wait(n)
}

func (t *tape) close(end recording.End) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.syncing {
		t.turn.Wait()
	}
	if t.closed {
		return nil
	}
	t.closed = true
	if t.err != nil {
		end = recording.EndFailed
	}
	return t.out.Close(end, max(t.clock(), 0))
}
