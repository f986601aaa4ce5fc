package gateway

import (
	"time"

	"github.com/sekisho/sekisho/recording"
)

// Bounds of a best-effort tape.
const (
	maxHeld     = 4 << 20  // bytes that the disk has not taken, a session
	heldReserve = 64 << 10 // of these, only for what is not a stream: how programs start and end
	heldEntry   = 64       // what an entry counts besides its data
	retryPause  = time.Second
)

// lossy is what a best-effort tape has besides: it holds entries until the disk takes them, and drops what comes while
// it holds too much or the disk has failed. Where something is missing, the recording says so as soon as the disk takes
// entries again.
type lossy struct {
	held  []heldEntryAt
	bytes []byte // data of held
	taken int    // of held and bytes, what the syncer has and the disk has not

	missing int64         // bytes dropped since the recording last said so
	gap     error         // why something was dropped since, the last time
	trouble error         // why the disk took nothing, the last time
	retry   time.Duration // when it is tried again
	total   int64         // bytes dropped, all together
	why     error         // of the first drop
	lost    func(why error)
}

// heldEntryAt is an entry whose data lie in lossy.bytes.
type heldEntryAt struct {
	entry      recording.Entry
	start, end int
	missing    int64 // what it says is missing before it
}

func (l *lossy) watch(lost func(error)) {
	l.lost = lost
	if l.why != nil {
		go lost(l.why)
	}
}

// loss says what is missing since the recording last said so.
func (l *lossy) loss() []byte {
	return recording.Loss{Bytes: uint64(l.missing), Why: trouble(l.gap)}.Encode()
}

func (l *lossy) holding() int { return len(l.bytes) + heldEntry*len(l.held) + l.taken }

// hold keeps an entry for the syncer and gives its place, or drops it. The lock is held.
func (t *tape) hold(e recording.Entry) uint64 {
	l, most := t.lossy, maxHeld
	if e.Kind.Stream() {
		most -= heldReserve
	}
	switch {
	case l.trouble != nil && e.At < l.retry:
		t.drop(l.trouble, e.Kind, len(e.Data))
		return 0
	case l.holding()+len(e.Data)+heldEntry > most:
		t.drop(errSlow, e.Kind, len(e.Data))
		return 0
	}
	if l.gap != nil {
		t.keep(recording.Entry{Kind: recording.Lost, At: e.At, Data: l.loss()}, l.missing)
		l.gap, l.missing = nil, 0
	}
	t.keep(e, 0)
	t.work()
	t.hurry()
	return t.appended
}

func (t *tape) keep(e recording.Entry, missing int64) {
	t.place(e)
	l := t.lossy
	start := len(l.bytes)
	l.bytes = append(l.bytes, e.Data...)
	e.Data = nil
	l.held = append(l.held, heldEntryAt{e, start, len(l.bytes), missing})
}

// drop counts an entry that is not recorded.
func (t *tape) drop(why error, kind recording.Kind, size int) {
	l := t.lossy
	l.gap = why
	if kind.Stream() {
		l.missing += int64(size)
		l.total += int64(size)
		t.meter.lost.Add(int64(size))
	}
	if l.why == nil {
		l.why = why
		t.meter.failures.Add(1)
		if l.lost != nil {
			go l.lost(why)
		}
	}
}

// syncHeld brings what is held to the disk; the lock is not held while it works.
func (t *tape) syncHeld() {
	l := t.lossy
	held, bytes := l.held, l.bytes
	l.taken = l.holding()
	l.held, l.bytes = nil, nil
	t.cover()
	t.mu.Unlock()
	err := t.write(held, bytes)
	t.mu.Lock()
	l.taken, l.trouble = 0, err
	if err != nil {
		l.retry = max(t.clock(), 0) + retryPause
		t.dropAll(err, held)
		held, l.held, l.bytes = l.held, nil, nil
		t.dropAll(err, held) // the disk has just failed: what came meanwhile goes the same way
		t.cover()
	}
	t.settle()
}

func (t *tape) write(held []heldEntryAt, bytes []byte) error {
	for _, h := range held {
		h.entry.Data = bytes[h.start:h.end]
		if err := t.out.Append(h.entry); err != nil {
			return err
		}
	}
	if err := t.out.Flush(); err != nil {
		return err
	}
	return t.out.Sync()
}

func (t *tape) dropAll(why error, held []heldEntryAt) {
	for _, h := range held {
		t.drop(why, h.entry.Kind, h.end-h.start)
		t.lossy.missing += h.missing
	}
}

// endHeld says on the tape what is missing at its end. The syncer has ended.
func (t *tape) endHeld() error {
	l := t.lossy
	if l.gap == nil {
		return nil
	}
	if err := t.out.Append(recording.Entry{Kind: recording.Lost, At: max(t.clock(), 0), Data: l.loss()}); err != nil {
		return err
	}
	return l.trouble
}

// losses is how many bytes a best-effort tape has lost, and why the first of them.
func (t *tape) losses() (bytes int64, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lossy == nil {
		return 0, nil
	}
	return t.lossy.total, t.lossy.why
}
