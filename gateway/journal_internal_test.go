package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sekisho/sekisho"
)

// slowLog takes events only as often as it is let.
type slowLog struct {
	let   chan error
	taken [][]string // in order, what came together
	fails int
}

func (l *slowLog) note(_ context.Context, events ...*sekisho.Event) error {
	if err := <-l.let; err != nil {
		return err
	}
	var kinds []string
	for _, ev := range events {
		kinds = append(kinds, ev.Kind)
	}
	l.taken = append(l.taken, kinds)
	return nil
}

func newSlowLog() (*slowLog, *journal) {
	l := &slowLog{let: make(chan error)}
	return l, newJournal(l.note, func(error) { l.fails++ })
}

func event(kind string) *sekisho.Event { return &sekisho.Event{Kind: kind} }

// What comes while the log takes something is noted next, all together and in order, and nobody waits longer than for that.
func TestJournalNotesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, j := newSlowLog()
		j.soon(event("first"))
		synctest.Wait()
		var over atomic.Int32
		for i := range 3 {
			go func() {
				if err := j.now(event(fmt.Sprint(i, "a")), event(fmt.Sprint(i, "b"))); err != nil {
					t.Error(err)
				}
				over.Add(1)
			}()
			synctest.Wait()
		}
		j.soon(event("then"))
		l.let <- nil
		synctest.Wait()
		j.soon(event("last"))
		if over.Load() > 0 {
			t.Error("now returns before its events are durable")
		}
		l.let <- nil
		synctest.Wait()
		if over.Load() != 3 {
			t.Errorf("%d of 3 have returned", over.Load())
		}
		l.let <- nil
		if err := j.close(); err != nil {
			t.Error(err)
		}
		want := [][]string{{"first"}, {"0a", "0b", "1a", "1b", "2a", "2b", "then"}, {"last"}}
		if !slices.EqualFunc(l.taken, want, slices.Equal) {
			t.Errorf("noted %q, want %q", l.taken, want)
		}
	})
}

// Who adds to a journal that is full waits, and hears it when the log takes no more, as everybody does who comes later.
func TestJournalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, j := newSlowLog()
		broken := errors.New("log is gone")
		j.soon(event("first"))
		synctest.Wait()
		for range maxPending {
			j.soon(event("pending"))
		}
		heard := make(chan error)
		go func() { heard <- j.soon(event("one too many")) }()
		synctest.Wait()
		l.let <- nil
		synctest.Wait()
		if err := <-heard; err != nil {
			t.Errorf("there was room: %v", err)
		}
		go func() { heard <- j.now(event("waits")) }()
		synctest.Wait()
		l.let <- broken
		if err := <-heard; !errors.Is(err, broken) {
			t.Errorf("now: %v", err)
		}
		for _, err := range []error{j.soon(event("late")), j.now(event("late")), j.close()} {
			if !errors.Is(err, broken) {
				t.Errorf("after that: %v", err)
			}
		}
		synctest.Wait()
		if l.fails != 1 || len(l.taken) != 1 {
			t.Errorf("failed %d times, noted %q", l.fails, l.taken)
		}
	})
}
