package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/control"
)

// decide fills the gateway's Decide port: the sign-in must live, and the policies in force at this moment must allow.
func (h *house) decide(ctx context.Context, pass *sekisho.Pass, client netip.Addr) (*sekisho.Target, sekisho.Decision, error) {
	s := &sekisho.Session{SignIn: pass.SignIn, Identity: pass.Identity, Target: pass.Target, Login: pass.Login,
		Key: pass.Key, Request: pass.ID}
	return h.judge(ctx, h.store, s, client)
}

// known is what judging reads of the store.
type known interface {
	SignIn(context.Context, string) (*sekisho.SignIn, error)
	Target(context.Context, string) (*sekisho.Target, error)
}

func (h *house) judge(ctx context.Context, from known, s *sekisho.Session, client netip.Addr) (*sekisho.Target, sekisho.Decision, error) {
	now := time.Now()
	if err := h.revoked.Session(s); err != nil {
		return nil, sekisho.Decision{}, err
	}
	if err := checkLive(ctx, from, s.SignIn, now); err != nil {
		return nil, sekisho.Decision{}, err
	}
	target, err := from.Target(ctx, s.Target)
	exists := err == nil
	if err != nil && !errors.Is(err, sekisho.ErrNotFound) {
		return nil, sekisho.Decision{}, fmt.Errorf("read target: %w", err)
	}
	if !exists {
		target = &sekisho.Target{Name: s.Target}
	}
	who := control.Traveller{Identity: s.Identity, Address: client}
	return target, control.Judge(h.policies.inForce(), who, target, exists, s.Login, now), nil
}

// checkLive refuses who is not signed in any more.
func checkLive(ctx context.Context, from known, id string, now time.Time) error {
	signIn, err := from.SignIn(ctx, id)
	if errors.Is(err, sekisho.ErrNotFound) || err == nil && !signIn.Live(now) {
		return &sekisho.Refusal{Sentence: "Your sign-in has ended.", Next: "Run: sekisho login"}
	}
	if err != nil {
		return fmt.Errorf("read sign-in: %w", err)
	}
	return nil
}

// note writes events; when a sign-in has ended, so do its sessions.
func (h *house) note(ctx context.Context, events ...*sekisho.Event) error {
	if err := h.events.Append(ctx, events...); err != nil {
		return err
	}
	for _, ev := range events {
		if ev.Kind == sekisho.EventSignInEnded {
			h.gateway.End(func(s sekisho.Session) bool { return s.SignIn == ev.SignIn })
			h.changed.Ring()
		}
	}
	return nil
}

const (
	recheckPause = 100 * time.Millisecond
	expiryPause  = 30 * time.Second
)

// watchSessions judges open sessions again when the policies have changed, and every expiryPause for sign-ins whose
// time is up. Who may not any more is ended.
func (h *house) watchSessions(ctx context.Context) {
	last := time.Now()
	every(ctx, recheckPause, func() {
		if !h.recheck.CompareAndSwap(true, false) && time.Since(last) < expiryPause {
			return
		}
		last = time.Now()
		h.endUnallowed(ctx)
		h.changed.Ring()
	})
}

func (h *house) endUnallowed(ctx context.Context) {
	ended := map[string]bool{}
	live, deciding := h.gateway.Sessions()
	if deciding > 0 {
		h.recheck.Store(true) // by which policies those were decided is not known yet
	}
	from := &remembered{known: h.store, signIns: map[string]found[*sekisho.SignIn]{}, targets: map[string]found[*sekisho.Target]{}}
	for _, s := range live {
		client, _ := netip.ParseAddr(s.ClientAddress)
		_, decision, err := h.judge(ctx, from, &s.Session, client)
		if ctx.Err() != nil {
			return // going down: sessions are drained
		}
		var refused *sekisho.Refusal
		if err != nil && !errors.As(err, &refused) {
			// The database did not answer: what was allowed goes on until it does, a second later.
			h.log.Error("judge open session", "session", s.ID, "error", err)
			time.AfterFunc(time.Second, func() { h.recheck.Store(true) })
			continue
		}
		// A session cannot be recorded from the middle, nor be held to limits that it has perhaps overstepped already.
		if err != nil || decision.Effect != sekisho.Allow || !s.Limits.Within(decision.Limits) {
			h.log.Info("session may not go on", "session", s.ID, "policies", decision.Policies, "reason", decision.Reason, "error", err)
			ended[s.ID] = true
		}
	}
	if len(ended) > 0 {
		h.gateway.End(func(s sekisho.Session) bool { return ended[s.ID] })
	}
}

// remembered reads each sign-in and target once: there may be many sessions of each.
type remembered struct {
	known
	signIns map[string]found[*sekisho.SignIn]
	targets map[string]found[*sekisho.Target]
}

type found[T any] struct {
	what T
	err  error
}

func (r *remembered) SignIn(ctx context.Context, id string) (*sekisho.SignIn, error) {
	return once(ctx, r.signIns, id, r.known.SignIn)
}

func (r *remembered) Target(ctx context.Context, name string) (*sekisho.Target, error) {
	return once(ctx, r.targets, name, r.known.Target)
}

func once[T any](ctx context.Context, seen map[string]found[T], key string, read func(context.Context, string) (T, error)) (T, error) {
	f, ok := seen[key]
	if !ok {
		f.what, f.err = read(ctx, key)
		seen[key] = f
	}
	return f.what, f.err
}
