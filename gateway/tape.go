package gateway

import (
	"io"
	"sync"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// tape holds what the user sees to what the policies say of the recording. All channels of a session share one.
//
// Every entry that is appended gets a place: how many bytes the tape has with it. What belongs to an entry is handed to
// the user by hand, which waits as the mode says:
//
//   - strict: until the entry is durable;
//   - bounded: while more than so many bytes up to it, or anything older than so long, are not durable;
//   - best-effort: never (lossy.go).
//
// One goroutine, the syncer, makes durable what there is, all of it at once; there is none while there is nothing to do.
// The bytes that were handed out and are not durable are counted as they are handed out, whatever the mode.
type tape struct {
	out      Tape
	clock    func() time.Duration // since the session started
	mode     sekisho.AuditMode
	bound    sekisho.Ahead
	patience time.Duration // for one Sync
	meter    *Meter

	mu       sync.Mutex
	turn     sync.Cond
	appended uint64 // the place of the last entry
	covered  uint64 // up to which a sync has begun
	durable  uint64 // up to which one has ended
	wanted   uint64 // up to which somebody waits
	waiting  int
	syncing  bool          // the syncer runs
	pausing  bool          // it waits for more to come
	due      bool          // it has waited for long enough
	started  time.Duration // when the first entry came that is covered and not durable
	next     time.Duration // when the first one came that is not covered
	ahead    struct{ covered, rest int64 }
	closed   bool
	err      error
	failed   func(error)
	lossy    *lossy // best-effort only
}

// Times and sizes of the syncer.
const (
	syncPatience = 30 * time.Second      // then the disk counts as too slow
	syncPause    = 50 * time.Millisecond // between two syncs while nobody waits for one
)

func newTape(out Tape, clock func() time.Duration, limits sekisho.Limits, meter *Meter) *tape {
	t := &tape{out: out, clock: clock, mode: limits.Audit, bound: limits.Ahead, patience: syncPatience + limits.Ahead.Time, meter: meter}
	t.turn.L = &t.mu
	if t.mode == sekisho.AuditBestEffort {
		t.lossy = &lossy{}
	}
	return t
}

// watch has failed called once the tape can take no more, and lost when a best-effort tape has lost something for the
// first time. Neither is waited for.
func (t *tape) watch(failed func(error), lost func(why error)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = failed
	if t.err != nil {
		go failed(t.err)
	}
	if t.lossy != nil {
		t.lossy.watch(lost)
	}
}

// append gives an entry its time, hands it to the recording and returns its place, which is 0 if it was dropped.
func (t *tape) append(e recording.Entry) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.err != nil:
		return 0, t.err
	case t.closed:
		return 0, errTapeClosed
	}
	e.At = max(t.clock(), 0)
	if t.lossy != nil {
		return t.hold(e), nil
	}
	if err := t.out.Append(e); err != nil {
		t.fail(err)
		return 0, t.err
	}
	t.place(e)
	if t.mode == sekisho.AuditBounded {
		t.work()
		t.hurry()
	}
	return t.appended, nil
}

// place counts an entry; each takes one byte more than its data, so that no two have the same place.
func (t *tape) place(e recording.Entry) {
	if t.appended == t.covered {
		t.next = e.At
	}
	t.appended += uint64(len(e.Data)) + 1
}

// put appends an entry and returns when what it tells of may go on.
func (t *tape) put(e recording.Entry) error {
	n, err := t.append(e)
	if err != nil || n == 0 {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.admit(n, 0)
}

// hand gives the user what belongs to the entry at a place, as soon as the mode lets it. Place 0 is none.
func (t *tape) hand(to io.Writer, p []byte, place uint64) error {
	if place != 0 {
		if err := t.handing(place, int64(len(p))); err != nil {
			return err
		}
	}
	_, err := to.Write(p)
	return err
}

func (t *tape) handing(place uint64, size int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.admit(place, size); err != nil {
		return err
	}
	switch {
	case place <= t.durable:
		return nil
	case place <= t.covered:
		t.ahead.covered += size
	default:
		t.ahead.rest += size
	}
	t.meter.addAhead(size)
	return nil
}

// admit returns when so many bytes that belong to the entry at a place may go on. The lock is held, but not meanwhile.
func (t *tape) admit(place uint64, size int64) error {
	for t.err == nil && !t.mayGo(place, size) {
		t.wanted = max(t.wanted, place)
		t.waiting++
		t.work()
		t.hurry()
		t.turn.Wait()
		t.waiting--
	}
	return t.err
}

func (t *tape) mayGo(place uint64, size int64) bool {
	switch {
	case place <= t.durable || t.mode == sekisho.AuditBestEffort:
		return true
	case t.mode != sekisho.AuditBounded:
		return false
	}
	ahead := max(int64(place-t.durable), t.ahead.covered+t.ahead.rest+size)
	return ahead <= t.bound.Bytes && t.clock()-t.oldest() <= t.bound.Time
}

// oldest is when the first entry came that is not durable.
func (t *tape) oldest() time.Duration {
	if t.durable < t.covered {
		return t.started
	}
	return t.next
}

// work lets the syncer run. The lock is held.
func (t *tape) work() {
	if !t.syncing {
		t.syncing = true
		go t.syncer()
	}
}

func (t *tape) syncer() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.err == nil && t.undone() {
		t.pause()
		t.sync()
	}
	t.syncing = false
	t.turn.Broadcast()
}

// undone reports whether there is something to make durable: for a strict tape what somebody waits for, for the others
// all there is.
func (t *tape) undone() bool {
	if t.mode == sekisho.AuditBounded || t.mode == sekisho.AuditBestEffort {
		return t.durable < t.appended
	}
	return t.durable < t.wanted
}

// pause leaves some time between two syncs, so that one does for many entries, unless somebody waits for one.
func (t *tape) pause() {
	pause := min(syncPause, t.bound.Time/4)
	if t.mode == sekisho.AuditBestEffort {
		pause = syncPause
	}
	if pause == 0 || t.pressing() {
		return
	}
	t.due, t.pausing = false, true
	timer := time.AfterFunc(pause, t.wake)
	for !t.due && !t.pressing() {
		t.turn.Wait()
	}
	timer.Stop()
	t.pausing = false
}

// pressing reports whether the next sync is not to be put off: somebody waits for it, or it has enough to do.
func (t *tape) pressing() bool {
	enough := uint64(t.bound.Bytes) / 2
	if t.mode == sekisho.AuditBestEffort {
		enough = maxHeld / 4
	}
	return t.waiting > 0 || t.closed || t.appended-t.durable >= enough
}

// hurry ends the syncer's pause if it must not go on. The lock is held.
func (t *tape) hurry() {
	if t.pausing && t.pressing() {
		t.turn.Broadcast()
	}
}

func (t *tape) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.due = true
	t.turn.Broadcast()
}

// sync makes durable what there is; the lock is not held while the disk works.
func (t *tape) sync() {
	if t.lossy != nil {
		t.syncHeld()
		return
	}
	if err := t.out.Flush(); err != nil {
		t.fail(err)
		return
	}
	t.cover()
	slow := time.AfterFunc(t.patience, t.tooSlow)
	t.mu.Unlock()
	err := t.out.Sync()
	t.mu.Lock()
	slow.Stop()
	if err != nil {
		t.fail(err)
		return
	}
	t.settle()
}

// cover says that a sync of all there is has begun.
func (t *tape) cover() {
	t.covered, t.started = t.appended, t.next
	t.ahead.covered, t.ahead.rest = t.ahead.covered+t.ahead.rest, 0
}

// settle says that the sync has ended.
func (t *tape) settle() {
	t.durable = t.covered
	t.meter.addAhead(-t.ahead.covered)
	t.ahead.covered = 0
	t.turn.Broadcast()
}

func (t *tape) tooSlow() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fail(errSlow)
}

func (t *tape) fail(err error) {
	if t.err == nil {
		t.err = &recordingError{err}
		t.meter.failures.Add(1)
		if t.failed != nil {
			go t.failed(t.err)
		}
	}
	t.turn.Broadcast()
}

// close ends the recording. A disk that does not answer holds it up for as long as one Sync may take.
func (t *tape) close(end recording.End) error {
	done := make(chan error, 1)
	go func() { done <- t.finish(end) }()
	timer := time.NewTimer(t.patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return &recordingError{errSlow}
	}
}

func (t *tape) finish(end recording.End) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	t.turn.Broadcast()
	for t.syncing {
		t.turn.Wait()
	}
	if t.err != nil || t.lossy != nil && t.endHeld() != nil {
		end = recording.EndFailed
	}
	err := t.shut(end)
	ahead := t.ahead.covered + t.ahead.rest
	t.meter.addAhead(-ahead)
	if err != nil {
		t.meter.lost.Add(ahead)
	}
	return err
}

// shut closes the recording; the lock is not held while the disk works, and no syncer runs.
func (t *tape) shut(end recording.End) error {
	at := max(t.clock(), 0)
	t.syncing = true
	t.mu.Unlock()
	err := t.out.Close(end, at)
	t.mu.Lock()
	t.syncing = false
	t.turn.Broadcast()
	return err
}
