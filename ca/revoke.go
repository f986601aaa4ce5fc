package ca

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sekisho/sekisho"
)

// Revoke notes and keeps a revocation of which kind, value, reason and end are given (CheckRevocation). ev carries who does
// it and from where. Where the same is revoked already, and for as long, that revocation is given and nothing noted.
func (b *Revocations) Revoke(ctx context.Context, want *sekisho.Revocation, ev *sekisho.Event) (_ *sekisho.Revocation, made bool, err error) {
	ctx = context.WithoutCancel(ctx) // half a revocation is worse than one that nobody waits for
	b.changing.Lock()
	defer b.changing.Unlock()
	before := b.state.Load()
	if r := before.by[thing{want.Kind, want.Value}]; r != nil && r.InForce(b.cfg.Now()) && longer(r, want) == r {
		return r, false, nil
	}
	if len(before.all) >= MaxRevocations {
		return nil, false, &sekisho.Refusal{
			Sentence: fmt.Sprintf("There are %d revocations in force, and no more can be.", MaxRevocations),
			Next:     "Revoke the CA key behind the certificates and rotate it, or lift what is not needed any more.",
		}
	}
	r := *want
	r.ID, r.By = sekisho.NewID("rev"), ev.Actor
	under := maps.Clone(before.under)
	if under == nil {
		under = map[string][]string{}
	}
	if under[r.ID], err = b.requests(ctx, &r); err != nil {
		return nil, false, err
	}
	all := append(slices.Clone(before.all), &r)
	// From here on nothing is issued, so that no certificate gets a serial beyond the line and is signed all the same.
	b.state.Store(newRevoked(before.number, before.at, all, under))
	noteRevoked(ev, &r)
	if err := b.cfg.Note(ctx, ev); err != nil {
		b.state.Store(before)
		return nil, false, fmt.Errorf("note revocation: %w", err)
	}
	done := r
	done.At, done.Seq = ev.Time.UTC(), ev.Seq
	all = append(slices.Clone(before.all), &done)
	b.state.Store(newRevoked(ev.Seq, done.At, all, under))
	if err := b.cfg.Store.SaveRevocation(ctx, &done); err != nil {
		return nil, false, err // it holds here, and Load finds its line
	}
	return &done, true, nil
}

func noteRevoked(ev *sekisho.Event, r *sekisho.Revocation) {
	ev.Kind = sekisho.EventRevoked
	ev.Detail = map[string]string{"revocation": r.ID, "kind": string(r.Kind), "value": r.Value, "reason": r.Reason}
	if !r.Until.IsZero() {
		ev.Detail["until"] = r.Until.UTC().Format(time.RFC3339Nano)
	}
}

// Lift ends a revocation. One that has ended already is given as it is. The error wraps sekisho.ErrNotFound where there is
// none with that ID.
func (b *Revocations) Lift(ctx context.Context, id, reason string, ev *sekisho.Event) (*sekisho.Revocation, error) {
	ctx = context.WithoutCancel(ctx)
	b.changing.Lock()
	defer b.changing.Unlock()
	r, err := b.cfg.Store.Revocation(ctx, id)
	if err != nil || !r.Lifted.IsZero() {
		return r, err
	}
	ev.Kind = sekisho.EventRevocationLifted
	ev.Detail = map[string]string{"revocation": r.ID, "kind": string(r.Kind), "value": r.Value, "reason": reason}
	if err := b.cfg.Note(ctx, ev); err != nil {
		return nil, fmt.Errorf("note end of revocation: %w", err)
	}
	liftBy(r, ev)
	if err := b.cfg.Store.SaveRevocation(ctx, r); err != nil {
		return nil, err
	}
	s := b.state.Load()
	all := slices.DeleteFunc(slices.Clone(s.all), func(other *sekisho.Revocation) bool { return other.ID == id })
	under := maps.Clone(s.under)
	delete(under, id)
	b.state.Store(newRevoked(ev.Seq, r.Lifted, all, under))
	return r, nil
}

// Expire lifts those whose time is up, so that there are lists without them.
func (b *Revocations) Expire(ctx context.Context) error {
	now := b.cfg.Now()
	for _, r := range b.state.Load().all {
		if r.InForce(now) {
			continue
		}
		if _, err := b.Lift(ctx, r.ID, "its time is up", &sekisho.Event{Actor: "control"}); err != nil {
			return fmt.Errorf("lift revocation %s: %w", r.ID, err)
		}
	}
	return nil
}
