package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sekisho/sekisho"
)

// AddPublishedKey keeps a new published key. The error wraps sekisho.ErrTaken when there is one with its ID.
func (d *DB) AddPublishedKey(ctx context.Context, k *sekisho.PublishedKey) error {
	body, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("add published key: %w", err)
	}
	err = d.change(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, rebind(`
			INSERT INTO published_keys (id, published, expires, withdrawn, key, person, body)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING`),
			k.ID, k.Published.UnixNano(), k.Expires.UnixNano(), nanos(k.Withdrawn), k.Fingerprint, k.By.Subject, string(body))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return fmt.Errorf("%s: %w", k.ID, sekisho.ErrTaken)
		}
		for _, target := range k.Targets {
			_, err := tx.ExecContext(ctx, rebind(`
				INSERT INTO published_key_targets (target, id) VALUES ($1, $2) ON CONFLICT (target, id) DO NOTHING`), target, k.ID)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add published key: %w", err)
	}
	return nil
}

// WithdrawPublishedKey withdraws the key and says whether this call is the one that did.
func (d *DB) WithdrawPublishedKey(ctx context.Context, id, by string, at time.Time) (bool, error) {
	done := false
	err := d.change(ctx, func(tx *sql.Tx) error {
		var withdrawn sql.NullInt64
		var body []byte
		err := tx.QueryRowContext(ctx, rebind(`SELECT withdrawn, body FROM published_keys WHERE id = $1`), id).Scan(&withdrawn, &body)
		if errors.Is(err, sql.ErrNoRows) || withdrawn.Valid {
			return nil
		}
		if err != nil {
			return err
		}
		k, err := decode[sekisho.PublishedKey](body)
		if err != nil {
			return err
		}
		k.Withdrawn, k.WithdrawnBy = at, by
		if body, err = json.Marshal(k); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, rebind(`UPDATE published_keys SET withdrawn = $2, body = $3 WHERE id = $1`), id, at.UnixNano(), string(body))
		done = err == nil
		return err
	})
	if err != nil {
		return false, fmt.Errorf("withdraw published key: %w", err)
	}
	return done, nil
}

// PublishedKey gives the published key, in force or not. The error wraps sekisho.ErrNotFound when there is none.
func (d *DB) PublishedKey(ctx context.Context, id string) (*sekisho.PublishedKey, error) {
	var body []byte
	if err := d.row(ctx, `SELECT body FROM published_keys WHERE id = $1`, []any{id}, &body); err != nil {
		return nil, fmt.Errorf("read published key: %w", err)
	}
	return decode[sekisho.PublishedKey](body)
}

// PublishedKeys gives the publications of the key with that SHA256 fingerprint, in force or not, newest first; 1000 at most.
func (d *DB) PublishedKeys(ctx context.Context, fingerprint string) ([]*sekisho.PublishedKey, error) {
	return d.FindPublishedKeys(ctx, sekisho.PublishedKeyQuery{Fingerprint: fingerprint, Limit: maxLimit})
}

// FindPublishedKeys gives the published keys that a query picks, newest first. An unknown Before matches none.
func (d *DB) FindPublishedKeys(ctx context.Context, q sekisho.PublishedKeyQuery) ([]*sekisho.PublishedKey, error) {
	var w where
	w.equal("key", q.Fingerprint)
	w.equal("person", q.Person)
	if q.Target != "" {
		w.add(`id IN (SELECT id FROM published_key_targets WHERE target = `, q.Target, `)`)
	}
	if !q.InForceAt.IsZero() {
		w.add(`withdrawn IS NULL AND expires > `, q.InForceAt.UnixNano(), ``)
	}
	if q.Before != "" {
		w.add(`(published, id) < (SELECT published, id FROM published_keys WHERE id = `, q.Before, `)`)
	}
	text := `SELECT body FROM published_keys` + w.text() + ` ORDER BY published DESC, id DESC LIMIT ` + w.arg(limit(q.Limit))
	bodies, err := d.bodies(ctx, text, w.args...)
	if err != nil {
		return nil, fmt.Errorf("find published keys: %w", err)
	}
	return decodeAll[sekisho.PublishedKey](bodies)
}
