package login

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/sekisho/sekisho"
)

// FinishParams is what a client shows to get its token.
type FinishParams struct {
	// Request is from Begin.
	Request string
	// CodeVerifier is what Begin's challenge was made of.
	CodeVerifier string
	// Code is from the redirect; empty in the device flow.
	Code string
	// Thumbprint is the key's that the call's proof was made by.
	Thumbprint string
}

// Finish gives the sign-in token, to the key that began and only once. pending means that the person has not signed in
// yet; ask again after PollInterval. A wrong code or verifier ends the request.
func (d *Desk) Finish(ctx context.Context, p FinishParams) (token string, s *sekisho.SignIn, pending bool, err error) {
	if !sekisho.CheckID("req", p.Request) {
		return "", nil, false, refuse(goneSentence, again, errors.New("finish: malformed request"))
	}
	b, r := new(begun), new(ready)
	if err := d.get(ctx, keyBegun(p.Request), b); err != nil {
		return "", nil, false, gone(err, goneSentence, again)
	}
	if !same(p.Thumbprint, b.Thumbprint) {
		return "", nil, false, refuse("This sign-in was begun with another key.", again, errors.New("finish: another thumbprint"))
	}
	if !d.polls.allow(p.Request, d.cfg.Now()) {
		return "", nil, false, refuse("The client asks too often.", "Wait a few seconds.", fmt.Errorf("finish: %w", ErrSlowDown))
	}
	// Whoever takes the record goes on; a second call with the same code finds nothing.
	err = d.take(ctx, keyReady(p.Request), r)
	if errors.Is(err, sekisho.ErrNotFound) && b.byDevice() {
		return "", nil, true, nil
	}
	if err != nil {
		return "", nil, false, gone(err, goneSentence, again)
	}
	if err := d.take(ctx, keyBegun(p.Request), new(begun)); err != nil {
		return "", nil, false, gone(err, goneSentence, again)
	}
	if err := p.prove(b, r); err != nil {
		d.noteRefused(ctx, r.Identity, b, err)
		return "", nil, false, err
	}
	token, s, err = d.admit(ctx, b, r)
	return token, s, false, err
}

// prove checks that the client is the one that began (RFC 7636 §4.6) and, by the code, that the browser which the
// person signed in with was on its machine.
func (p *FinishParams) prove(b *begun, r *ready) error {
	if n := len(p.CodeVerifier); n < 43 || n > 128 || !same(digest(p.CodeVerifier), b.CodeChallenge) {
		return refuse("The client could not show that it began this sign-in.", again, errors.New("finish: wrong code verifier"))
	}
	if b.byDevice() {
		return nil
	}
	if len(p.Code) > maxCode || !same(digest(p.Code), r.Code) {
		return refuse("The client could not show that it began this sign-in.", again, errors.New("finish: wrong code"))
	}
	return nil
}

// admit keeps the sign-in and notes it; only then is there a token to hand out.
func (d *Desk) admit(ctx context.Context, b *begun, r *ready) (string, *sekisho.SignIn, error) {
	now := d.cfg.Now().UTC()
	id := sekisho.NewID("sin")
	token := id + "." + secret()
	hash := sha256.Sum256([]byte(token))
	s := &sekisho.SignIn{
		ID: id, Identity: r.Identity, Thumbprint: b.Thumbprint, TokenHash: hash[:], Device: b.Device,
		ClientAddress: b.ClientAddress, Created: now, Expires: now.Add(d.cfg.Lifetime),
	}
	if err := d.cfg.Store.SaveSignIn(ctx, s); err != nil {
		return "", nil, fmt.Errorf("save sign-in: %w", err)
	}
	// Asked once the sign-in is there: whoever is revoked meanwhile is either refused here or has it ended.
	err := d.cfg.Revoked(s.Identity.Subject, s.ID)
	if err == nil {
		err = d.noteSignIn(ctx, s)
	}
	if err != nil {
		// Nobody holds its token, so the record is dead already; ending it keeps lists honest.
		if _, end := d.cfg.Store.EndSignIn(ctx, id, now); end != nil {
			d.cfg.Log.Error("end a sign-in that could not be noted", "sign_in", id, "error", end)
		}
		return "", nil, err
	}
	return token, s, nil
}

func (d *Desk) noteSignIn(ctx context.Context, s *sekisho.SignIn) error {
	err := d.cfg.Note(ctx, &sekisho.Event{
		Kind: sekisho.EventSignIn, Actor: s.Identity.Subject, SignIn: s.ID, ClientAddress: s.ClientAddress,
		Detail: map[string]string{"device": s.Device, "issuer": s.Identity.Issuer},
	})
	if err != nil {
		return fmt.Errorf("note sign-in: %w", err)
	}
	return nil
}
