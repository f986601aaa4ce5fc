package main

import (
	"context"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
)

// openRevocations reads what is revoked.
func (h *house) openRevocations(ctx context.Context) (err error) {
	h.revoked, err = ca.OpenRevocations(ctx, ca.RevocationsConfig{
		Store: h.store, Certificates: h.store.Certificates, Events: h.events.Query, Note: h.events.Append,
		CAs: func(context.Context) ([]*sekisho.CA, error) { return h.ca.CAs(), nil }, Now: time.Now,
	})
	return err
}

// refuse fills the CA's port.
func (h *house) refuse(id sekisho.KeyID, r *sekisho.CertificateRecord) error {
	return h.revoked.Refuse(id, r)
}

// barred fills control's port.
func (h *house) barred(_ context.Context, subject string) error { return h.revoked.Person(subject) }

// enforce fills control's port: sessions end first, since that takes no time, then sign-ins.
func (h *house) enforce(ctx context.Context, r *sekisho.Revocation) (signIns int, sessions []string, err error) {
	ctx = context.WithoutCancel(ctx)
	sessions = h.endRevoked()
	if r.Kind == sekisho.RevokedCA {
		more, e := h.endSignedBy(ctx, r.Value)
		sessions, err = append(sessions, more...), e
	}
	if err != nil {
		return 0, sessions, err
	}
	switch r.Kind {
	case sekisho.RevokedPerson:
		signIns, err = h.desk.EndFor(ctx, r.Value, "")
	case sekisho.RevokedSignIn:
		signIns, err = h.desk.EndFor(ctx, "", r.Value)
	}
	h.changed.Ring()
	return signIns, sessions, err
}

// endRevoked ends the sessions and visits that came in by what is revoked now.
func (h *house) endRevoked() (ended []string) {
	h.gateway.End(func(s sekisho.Session) bool {
		if h.revoked.Session(&s) == nil {
			return false
		}
		ended = append(ended, s.ID)
		return true
	})
	return ended
}

// endSignedBy ends the sessions whose user's certificate a CA key signed and the gateway did not see: those that it passes
// through. The inventory knows what was signed for their tokens.
func (h *house) endSignedBy(ctx context.Context, fingerprint string) (ended []string, err error) {
	live, _ := h.gateway.Sessions()
	signed := map[string]bool{}
	for _, s := range live {
		if s.CA != "" || s.Request == "" {
			continue
		}
		found, err := h.store.Certificates(ctx, sekisho.CertificateQuery{Request: s.Request, CA: fingerprint, Limit: 1})
		if err != nil {
			return nil, err
		}
		signed[s.ID] = len(found) > 0
	}
	h.gateway.End(func(s sekisho.Session) bool {
		if signed[s.ID] {
			ended = append(ended, s.ID)
		}
		return signed[s.ID]
	})
	return ended, nil
}

// revocationPause is how often is looked for revocations whose time is up, and for those of other processes.
const revocationPause = 500 * time.Millisecond

// watchRevocations keeps what this process knows of revocations in step with its clock and with the store.
func (h *house) watchRevocations(ctx context.Context) {
	every(ctx, revocationPause, func() {
		changed, err := h.revoked.Refresh(ctx)
		if err == nil {
			err = h.revoked.Expire(ctx)
		}
		if err != nil && ctx.Err() == nil {
			h.log.Error("keep revocations in step", "error", err)
		}
		if changed {
			h.endRevoked()
			h.changed.Ring()
		}
	})
}
