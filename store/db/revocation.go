package db

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sekisho/sekisho"
)

// SaveRevocation writes the revocation, anew or over the one with its ID. One that was lifted stays as it is.
func (d *DB) SaveRevocation(ctx context.Context, r *sekisho.Revocation) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("save revocation: %w", err)
	}
	_, err = d.exec(ctx, `
		INSERT INTO revocations (id, seq, ends, lifted, body) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, ends = excluded.ends, lifted = excluded.lifted, body = excluded.body
		WHERE revocations.lifted IS NULL`,
		r.ID, r.Seq, nanos(r.Until), nanos(r.Lifted), string(body))
	if err != nil {
		return fmt.Errorf("save revocation: %w", err)
	}
	return nil
}

// Revocation gives the revocation, in force or not. The error wraps sekisho.ErrNotFound when there is none.
func (d *DB) Revocation(ctx context.Context, id string) (*sekisho.Revocation, error) {
	var body []byte
	if err := d.row(ctx, `SELECT body FROM revocations WHERE id = $1`, []any{id}, &body); err != nil {
		return nil, fmt.Errorf("read revocation: %w", err)
	}
	return decode[sekisho.Revocation](body)
}

// UnliftedRevocations gives all that nobody has lifted, the oldest first, those among them whose time is up.
func (d *DB) UnliftedRevocations(ctx context.Context) ([]*sekisho.Revocation, error) {
	bodies, err := d.bodies(ctx, `SELECT body FROM revocations WHERE lifted IS NULL ORDER BY seq`)
	if err != nil {
		return nil, fmt.Errorf("read revocations: %w", err)
	}
	return decodeAll[sekisho.Revocation](bodies)
}

// Revocations gives those that match, the newest first. An unknown Before matches none.
func (d *DB) Revocations(ctx context.Context, q sekisho.RevocationQuery) ([]*sekisho.Revocation, error) {
	var w where
	if !q.InForce.IsZero() {
		w.add(`lifted IS NULL AND (ends IS NULL OR ends > `, q.InForce.UnixNano(), `)`)
	}
	if q.Before != "" {
		w.add(`seq < (SELECT seq FROM revocations WHERE id = `, q.Before, `)`)
	}
	bodies, err := d.bodies(ctx, `SELECT body FROM revocations`+w.text()+` ORDER BY seq DESC LIMIT `+w.arg(limit(q.Limit)), w.args...)
	if err != nil {
		return nil, fmt.Errorf("read revocations: %w", err)
	}
	return decodeAll[sekisho.Revocation](bodies)
}
