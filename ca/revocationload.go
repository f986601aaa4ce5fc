package ca

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sekisho/sekisho"
)

// catchUpEvents is how many lines are read at once to see whether one is missing in the store.
const catchUpEvents = 100

// Load reads what is in force from store and audit log.
func (b *Revocations) Load(ctx context.Context) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	return b.load(ctx)
}

// Refresh is Load where the audit log has a line that this process does not know of yet, since another one serves the
// same store. It says whether anything has changed.
func (b *Revocations) Refresh(ctx context.Context) (bool, error) {
	newest, err := b.newest(ctx)
	if err != nil || newest == nil || newest.Seq <= b.state.Load().number {
		return false, err
	}
	return true, b.Load(ctx)
}

func (b *Revocations) load(ctx context.Context) error {
	if err := b.catchUp(ctx); err != nil {
		return fmt.Errorf("catch up with revocations: %w", err)
	}
	newest, err := b.newest(ctx)
	if err != nil || newest == nil {
		return err
	}
	all, err := b.cfg.Store.UnliftedRevocations(ctx)
	if err != nil {
		return err
	}
	under := map[string][]string{}
	for _, r := range all {
		if under[r.ID], err = b.requests(ctx, r); err != nil {
			return err
		}
	}
	b.state.Store(newRevoked(newest.Seq, newest.Time, all, under))
	return nil
}

// newest is the line that makes the newest list; nil: there is none.
func (b *Revocations) newest(ctx context.Context) (*sekisho.Event, error) {
	var newest *sekisho.Event
	for _, kind := range []string{sekisho.EventRevoked, sekisho.EventRevocationLifted} {
		events, err := b.events(ctx, sekisho.EventQuery{Kind: kind, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(events) > 0 && (newest == nil || events[0].Seq > newest.Seq) {
			newest = events[0]
		}
	}
	return newest, nil
}

func (b *Revocations) events(ctx context.Context, q sekisho.EventQuery) ([]*sekisho.Event, error) {
	lines, err := b.cfg.Events(ctx, q)
	if err != nil {
		return nil, err
	}
	events := make([]*sekisho.Event, len(lines))
	for i, line := range lines {
		events[i] = new(sekisho.Event)
		if err := json.Unmarshal(line, events[i]); err != nil {
			return nil, fmt.Errorf("read line of the audit log: %w", err)
		}
	}
	return events, nil
}

// catchUp keeps what was noted and, since a process died, not kept.
func (b *Revocations) catchUp(ctx context.Context) error {
	for _, kind := range []string{sekisho.EventRevoked, sekisho.EventRevocationLifted} {
		var before int64
		for {
			events, err := b.events(ctx, sekisho.EventQuery{Kind: kind, Before: before, Limit: catchUpEvents})
			if err != nil {
				return err
			}
			missing := false
			for _, ev := range events {
				if missing, err = b.keepMissing(ctx, ev); err != nil {
					return err
				}
			}
			if len(events) < catchUpEvents || !missing {
				break
			}
			before = events[len(events)-1].Seq
		}
	}
	return nil
}

// keepMissing brings the store in step with a line, and says whether it was not.
func (b *Revocations) keepMissing(ctx context.Context, ev *sekisho.Event) (bool, error) {
	r, err := b.cfg.Store.Revocation(ctx, ev.Detail["revocation"])
	switch {
	case err != nil && !errors.Is(err, sekisho.ErrNotFound):
		return false, err
	case ev.Kind == sekisho.EventRevoked && err == nil, ev.Kind == sekisho.EventRevocationLifted && (err != nil || r.LiftedSeq != 0):
		return false, nil
	case ev.Kind == sekisho.EventRevoked:
		r = revocationOf(ev)
	default:
		liftBy(r, ev)
	}
	return true, b.cfg.Store.SaveRevocation(ctx, r)
}

// revocationOf is the revocation that a line notes.
func revocationOf(ev *sekisho.Event) *sekisho.Revocation {
	r := &sekisho.Revocation{
		ID: ev.Detail["revocation"], Kind: sekisho.RevocationKind(ev.Detail["kind"]), Value: ev.Detail["value"], By: ev.Actor,
		Reason: ev.Detail["reason"], At: ev.Time.UTC(), Seq: ev.Seq,
	}
	r.Until, _ = time.Parse(time.RFC3339Nano, ev.Detail["until"]) // absent: until it is lifted
	return r
}

func liftBy(r *sekisho.Revocation, ev *sekisho.Event) {
	r.Lifted, r.LiftedBy, r.LiftedSeq = ev.Time.UTC(), ev.Actor, ev.Seq
}
