package db

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sekisho/sekisho"
)

// SaveToken writes a new API token. The error wraps sekisho.ErrTaken when there is one with its ID.
func (d *DB) SaveToken(ctx context.Context, t *sekisho.Token) error {
	body, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("save API token: %w", err)
	}
	n, err := d.exec(ctx, `
		INSERT INTO tokens (id, expires, ended, hash, body) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING`,
		t.ID, t.Expires.UnixNano(), nanos(t.Ended), bytesOf(t.Hash), string(body))
	if err == nil && n == 0 {
		err = sekisho.ErrTaken
	}
	if err != nil {
		return fmt.Errorf("save API token: %w", err)
	}
	return nil
}

// Token gives the API token, live or not. The error wraps sekisho.ErrNotFound when there is none.
func (d *DB) Token(ctx context.Context, id string) (*sekisho.Token, error) {
	var ended sql.NullInt64
	var hash, body []byte
	err := d.row(ctx, `SELECT ended, hash, body FROM tokens WHERE id = $1`, []any{id}, &ended, &hash, &body)
	if err != nil {
		return nil, fmt.Errorf("read API token: %w", err)
	}
	return token(ended, hash, body)
}

// Tokens gives the live API tokens, the newest first.
func (d *DB) Tokens(ctx context.Context, now time.Time) ([]*sekisho.Token, error) {
	var all []*sekisho.Token
	err := d.rows(ctx, `SELECT ended, hash, body FROM tokens WHERE expires > $1 AND ended IS NULL`, []any{now.UnixNano()},
		func(rows *sql.Rows) error {
			var ended sql.NullInt64
			var hash, body []byte
			if err := rows.Scan(&ended, &hash, &body); err != nil {
				return err
			}
			t, err := token(ended, hash, body)
			all = append(all, t)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read API tokens: %w", err)
	}
	newestFirst(all)
	return all, nil
}

func newestFirst(all []*sekisho.Token) {
	slices.SortFunc(all, func(a, b *sekisho.Token) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
}

// EndToken ends the API token and says whether this call is the one that ended it.
func (d *DB) EndToken(ctx context.Context, id string, at time.Time) (bool, error) {
	n, err := d.exec(ctx, `UPDATE tokens SET ended = $2 WHERE id = $1 AND ended IS NULL`, id, at.UnixNano())
	if err != nil {
		return false, fmt.Errorf("end API token: %w", err)
	}
	return n == 1, nil
}

// UseToken keeps when the API token was used last, to the minute. An earlier time than the one kept changes nothing, nor
// does an unknown ID.
func (d *DB) UseToken(ctx context.Context, id string, at time.Time) error {
	at = at.UTC().Truncate(time.Minute)
	err := d.change(ctx, func(tx *sql.Tx) error {
		var body []byte
		err := tx.QueryRowContext(ctx, rebind(`SELECT body FROM tokens WHERE id = $1`), id).Scan(&body)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		t, err := decode[sekisho.Token](body)
		if err != nil || !at.After(t.Used) {
			return err
		}
		t.Used = at
		if body, err = json.Marshal(t); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, rebind(`UPDATE tokens SET body = $2 WHERE id = $1`), id, string(body))
		return err
	})
	if err != nil {
		return fmt.Errorf("keep use of API token: %w", err)
	}
	return nil
}

func token(ended sql.NullInt64, hash, body []byte) (*sekisho.Token, error) {
	t, err := decode[sekisho.Token](body)
	if err != nil {
		return nil, err
	}
	t.Ended, t.Hash = timeOf(ended), hash
	return t, nil
}
