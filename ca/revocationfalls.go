package ca

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/sekisho/sekisho"
)

// certificatePage is how many certificates are read at once.
const certificatePage = 1000

// requests are what the certificates were made for that fall under a revocation which names neither them nor whose they
// are.
func (b *Revocations) requests(ctx context.Context, r *sekisho.Revocation) (out []string, err error) {
	switch r.Kind {
	case sekisho.RevokedKeyID:
		if id, err := sekisho.ParseKeyID(r.Value); err == nil && id.Request != "" {
			out = append(out, id.Request)
		}
		return out, nil
	case sekisho.RevokedCertificate, sekisho.RevokedCA:
	default:
		return nil, nil
	}
	err = b.valid(ctx, r, b.cfg.Now(), 0, func(ev *sekisho.Event) {
		if id, err := sekisho.ParseKeyID(ev.Certificate.KeyID + "/0"); err == nil && id.Request != "" {
			out = append(out, id.Request)
		}
	})
	return out, err
}

// valid yields the certificates that fall under a revocation and are valid at a time, newest first; with a number, only
// those with smaller serials.
func (b *Revocations) valid(ctx context.Context, r *sekisho.Revocation, at time.Time, number int64, yield func(*sekisho.Event)) error {
	q := sekisho.CertificateQuery{ValidAt: at, Limit: certificatePage, Before: number}
	switch r.Kind {
	case sekisho.RevokedPerson:
		q.Subject, q.Type = r.Value, "user"
	case sekisho.RevokedSignIn:
		q.SignIn = r.Value
	case sekisho.RevokedKey:
		q.Key = r.Value
	case sekisho.RevokedCA:
		q.CA = r.Value
	case sekisho.RevokedCertificate, sekisho.RevokedKeyID:
		ev, err := b.issued(ctx, r)
		if ev != nil && at.Before(ev.Certificate.ValidBefore) {
			yield(ev)
		}
		return err
	default:
		return fmt.Errorf("revocation %s is of an unknown kind", r.ID)
	}
	if err := b.pages(ctx, q, yield); err != nil {
		return err
	}
	// Those that were issued at a later time, by a clock that was set back since, are valid all the same.
	q.ValidAt, q.Since = time.Time{}, at.Add(time.Nanosecond)
	return b.pages(ctx, q, yield)
}

func (b *Revocations) pages(ctx context.Context, q sekisho.CertificateQuery, yield func(*sekisho.Event)) error {
	for {
		page, err := b.cfg.Certificates(ctx, q)
		if err != nil {
			return fmt.Errorf("read certificates: %w", err)
		}
		for _, ev := range page {
			if ev.Certificate == nil {
				return fmt.Errorf("line %d is no certificate's", ev.Seq)
			}
			yield(ev)
		}
		if len(page) < certificatePage {
			return nil
		}
		q.Before = page[len(page)-1].Seq
	}
}

// issued finds the certificate that a revocation names by serial or Key ID; nil: none was issued here.
func (b *Revocations) issued(ctx context.Context, r *sekisho.Revocation) (*sekisho.Event, error) {
	text := r.Value
	if r.Kind == sekisho.RevokedKeyID {
		id, err := sekisho.ParseKeyID(r.Value)
		if err != nil {
			return nil, nil
		}
		text = strconv.FormatUint(id.Serial, 10)
	}
	serial, err := strconv.ParseInt(text, 10, 64)
	if err != nil || serial <= 0 {
		return nil, nil
	}
	ev, err := b.Issued(ctx, serial)
	if ev != nil && r.Kind == sekisho.RevokedKeyID && ev.Certificate.KeyID+"/"+text != r.Value {
		return nil, err
	}
	return ev, err
}

// Issued gives the line of the certificate with that serial; nil: none was issued.
func (b *Revocations) Issued(ctx context.Context, serial int64) (*sekisho.Event, error) {
	if serial <= 0 || serial+1 <= 0 {
		return nil, nil
	}
	events, err := b.events(ctx, sekisho.EventQuery{Before: serial + 1, Limit: 1})
	if err != nil || len(events) == 0 || events[0].Seq != serial || events[0].Certificate == nil {
		return nil, err
	}
	return events[0], nil
}

// Valid yields the certificates that fall under a revocation and are valid now.
func (b *Revocations) Valid(ctx context.Context, r *sekisho.Revocation, yield func(*sekisho.Event)) error {
	return b.valid(ctx, r, b.cfg.Now(), 0, yield)
}
