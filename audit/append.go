package audit

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/sekisho/sekisho"
	"golang.org/x/mod/sumdb/tlog"
)

// call is one caller of Append, waiting.
type call struct {
	ctx    context.Context
	drafts []draft
	bytes  int

	// Written by whoever commits before done is closed.
	first int64
	time  time.Time
	err   error
	done  chan struct{}
}

// Append writes the events, all or none, with consecutive sequence numbers, and returns when they are durable; then
// Seq and Time of each are filled in. Texts longer than 4 KiB in Error and Detail are cut, with a mark; an event whose
// line would be longer than MaxLine is an error. When ctx ends first, the events may or may not have been written.
func (l *Log) Append(ctx context.Context, evs ...*sekisho.Event) error {
	if len(evs) == 0 {
		return nil
	}
	if err := l.enter(); err != nil {
		return fmt.Errorf("append to audit log: %w", err)
	}
	defer l.calls.Done()
	c, err := newCall(ctx, evs)
	if err != nil {
		return fmt.Errorf("append to audit log: %w", err)
	}
	if err := l.wait(ctx, c); err != nil {
		return fmt.Errorf("append to audit log: %w", err)
	}
	for i, ev := range evs {
		ev.Seq, ev.Time = c.first+int64(i), c.time
	}
	return nil
}

func newCall(ctx context.Context, evs []*sekisho.Event) (*call, error) {
	if len(evs) > maxEvents {
		return nil, fmt.Errorf("%d events at once, at most %d", len(evs), maxEvents)
	}
	c := &call{ctx: ctx, drafts: make([]draft, len(evs)), done: make(chan struct{})}
	for i, ev := range evs {
		d, err := newDraft(ev)
		if err != nil {
			return nil, err
		}
		c.drafts[i] = d
		c.bytes += len(d.rest)
	}
	return c, nil
}

// wait queues the call and waits until it is done or its context ends. Where nobody commits, it does so itself: a call
// that is alone needs no other goroutine to wake.
func (l *Log) wait(ctx context.Context, c *call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	queue := l.queue
	select {
	case queue <- c:
		queue = nil // it stands in line; nothing can be sent to what is nil
	default:
	}
	for {
		select {
		case queue <- c:
			queue = nil
		case l.turn <- struct{}{}:
			l.commitNext()
		case <-c.done:
			return c.err
		case <-ctx.Done():
			return c.end(ctx.Err())
		}
	}
}

// end is how the call ended, if it has, and otherwise says that its caller waits no longer.
func (c *call) end(otherwise error) error {
	select {
	case <-c.done:
		return c.err
	default:
		return otherwise
	}
}

// enter counts a call of Append in, unless the log is closed.
func (l *Log) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.calls.Add(1)
	return nil
}

// commitNext commits one group, if anybody is in line. The caller has the turn and gives it back here.
func (l *Log) commitNext() {
	defer func() { <-l.turn }()
	select {
	case c := <-l.queue:
		l.commit(l.gather(c))
	default:
	}
}

// gather takes whoever waits beside the first one. It sets no timer: while one group is being written, the next one
// comes together by itself. But it lets goroutines that are ready run first, since those whom the last group woke are
// about to come back; otherwise every other group would be the first of them alone.
func (l *Log) gather(first *call) []*call {
	group := []*call{first}
	events, size := len(first.drafts), first.bytes
	for yielded := false; events < groupEvents && size < groupBytes; {
		select {
		case c := <-l.queue:
			group = append(group, c)
			events += len(c.drafts)
			size += c.bytes
			yielded = false
		default:
			if yielded {
				return group
			}
			runtime.Gosched()
			yielded = true
		}
	}
	return group
}

// commit writes one group and wakes its callers.
func (l *Log) commit(group []*call) {
	live := group[:0:0]
	for _, c := range group {
		if c.err = c.ctx.Err(); c.err != nil {
			close(c.done)
			continue
		}
		live = append(live, c)
	}
	if len(live) == 0 {
		return
	}
	var next position
	// The group is of many callers, so no single caller's context may end it.
	err := l.cfg.Store.CommitEvents(context.Background(), func(head string, hashes tlog.HashReader) (*Batch, error) {
		at, err := l.adopt(head, hashes)
		if err != nil {
			return nil, err
		}
		next.edge = at.edge.clone()
		batch := l.build(live, &next.edge)
		next.head, next.tree, err = l.sign(&next.edge)
		batch.Checkpoint = next.head
		return batch, err
	})
	if err != nil {
		// l.at stays: should the store have committed after all, the next group finds its checkpoint and adopts it.
		l.cfg.Log.Error("audit log refuses events", "callers", len(live), "error", err)
	} else {
		l.at = next
	}
	for _, c := range live {
		c.err = err
		close(c.done)
	}
}

// build numbers the group's lines and adds them to the tree.
func (l *Log) build(group []*call, e *edge) *Batch {
	now := l.cfg.Now().UTC().Round(0) // without the monotonic reading, so that it equals what the line says
	batch := &Batch{}
	for _, c := range group {
		c.first, c.time = e.size, now
		for i := range c.drafts {
			d := &c.drafts[i]
			seq := e.size
			line := d.line(seq, now)
			batch.Leaves = append(batch.Leaves, Leaf{
				Seq: seq, Time: now, Kind: d.kind, Actor: d.actor, Target: d.target, Session: d.session,
				Line: line, Hashes: e.push(tlog.RecordHash(line), nil),
			})
		}
	}
	return batch
}
