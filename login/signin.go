package login

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
)

// maxSignInToken is longer than any of our tokens: sin_ + 26, a dot, 43.
const maxSignInToken = 128

// Authenticate says whose call this is: the token's sign-in is alive, and its key made the proof for this request.
// url is the request's public URL. What is wrong with a token is never told apart to the caller.
func (d *Desk) Authenticate(ctx context.Context, token, proof, method, url, clientAddress string) (*sekisho.SignIn, error) {
	id, ok := SignInID(token)
	if !ok {
		return nil, refuse("You are not signed in.", again, errors.New("authenticate: no or malformed token"))
	}
	s, err := d.cfg.Store.SignIn(ctx, id)
	if errors.Is(err, sekisho.ErrNotFound) {
		return nil, refuse("You are not signed in.", again, fmt.Errorf("authenticate: %w", err))
	}
	if err != nil {
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	hash := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(hash[:], s.TokenHash) != 1 {
		return nil, refuse("You are not signed in.", again, fmt.Errorf("authenticate: wrong secret for %s", id))
	}
	if err := d.cfg.Revoked(s.Identity.Subject, s.ID); err != nil {
		return nil, err
	}
	now := d.cfg.Now()
	if !s.Live(now) {
		d.noteExpired(ctx, s, now)
		return nil, refuse("Your sign-in has ended.", again, fmt.Errorf("authenticate: %s has ended", id))
	}
	if err := d.proofs.CheckBy(s.Thumbprint, proof, method, url, token); err != nil {
		d.noteMisuse(ctx, s, clientAddress, now, err)
		return nil, err
	}
	return s, nil
}

// SignInID takes the ID out of a token of the form sin_ID.SECRET; it says nothing about whether the token is good.
func SignInID(token string) (string, bool) {
	if len(token) > maxSignInToken {
		return "", false
	}
	id, secret, ok := strings.Cut(token, ".")
	return id, ok && sekisho.CheckID("sin", id) && isDigest(secret)
}

// noteMisuse notes that somebody holds a token but does not have its key, or plays a proof again: the one sign of a
// stolen token. Bounded, so that the thief cannot fill the log.
func (d *Desk) noteMisuse(ctx context.Context, s *sekisho.SignIn, address string, now time.Time, cause error) {
	if errors.Is(cause, errProofTime) || !d.thefts.allow(s.ID, now) {
		return
	}
	err := d.cfg.Note(ctx, &sekisho.Event{
		Kind: sekisho.EventSignInRefused, Actor: s.Identity.Subject, SignIn: s.ID, ClientAddress: address, Error: cause.Error(),
	})
	if err != nil {
		d.cfg.Log.Error("note refused proof", "sign_in", s.ID, "error", err)
	}
}

// noteExpired notes the end of a sign-in that ran out, once, when it is first used after that.
func (d *Desk) noteExpired(ctx context.Context, s *sekisho.SignIn, now time.Time) {
	if !s.Ended.IsZero() || now.Before(s.Expires) {
		return
	}
	if _, err := d.end(ctx, s, now, "expired"); err != nil {
		d.cfg.Log.Error("end expired sign-in", "sign_in", s.ID, "error", err)
	}
}

func (d *Desk) end(ctx context.Context, s *sekisho.SignIn, now time.Time, why string) (bool, error) {
	ended, err := d.cfg.Store.EndSignIn(ctx, s.ID, now)
	if err != nil || !ended {
		return false, err
	}
	err = d.cfg.Note(ctx, &sekisho.Event{
		Kind: sekisho.EventSignInEnded, Actor: s.Identity.Subject, SignIn: s.ID, Detail: map[string]string{"why": why},
	})
	return true, err
}

// List gives a person's live sign-ins.
func (d *Desk) List(ctx context.Context, subject string) ([]*sekisho.SignIn, error) {
	all, err := d.cfg.Store.SignIns(ctx, subject, d.cfg.Now())
	if err != nil {
		return nil, fmt.Errorf("list sign-ins: %w", err)
	}
	return all, nil
}

// EndFor ends sign-ins because of a revocation: the one with that ID, or all of a person's. It says how many.
func (d *Desk) EndFor(ctx context.Context, subject, id string) (int, error) {
	now := d.cfg.Now()
	var all []*sekisho.SignIn
	if id != "" {
		s, err := d.cfg.Store.SignIn(ctx, id)
		if err != nil {
			return 0, fmt.Errorf("read sign-in: %w", err)
		}
		all = append(all, s)
	} else {
		var err error
		if all, err = d.List(ctx, subject); err != nil {
			return 0, err
		}
	}
	ended := 0
	var errs []error // each is ended, whatever becomes of the others
	for _, s := range all {
		if !s.Live(now) {
			continue
		}
		done, err := d.end(ctx, s, now, "revoked")
		if done {
			ended++
		}
		errs = append(errs, err)
	}
	return ended, errors.Join(errs...)
}

// End ends one of the caller's own sign-ins, the current one if id is empty, or all of them. It says how many.
func (d *Desk) End(ctx context.Context, caller *sekisho.SignIn, id string, everywhere bool) (int, error) {
	now := d.cfg.Now()
	if id == "" {
		id = caller.ID
	}
	own, err := d.List(ctx, caller.Identity.Subject)
	if err != nil {
		return 0, err
	}
	ended := 0
	for _, s := range own {
		if !everywhere && s.ID != id {
			continue
		}
		done, err := d.end(ctx, s, now, "logout")
		if done {
			ended++
		}
		if err != nil {
			return ended, fmt.Errorf("end sign-in %s: %w", s.ID, err)
		}
	}
	if ended == 0 {
		return 0, refuse("You have no such live sign-in.", "Run: sekisho status", fmt.Errorf("end sign-in %.40q: %w", id, sekisho.ErrNotFound))
	}
	return ended, nil
}
