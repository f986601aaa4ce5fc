package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sekisho/sekisho"
)

// SaveSignIn writes the sign-in, anew or over the one with its ID. One that has ended stays ended.
func (d *DB) SaveSignIn(ctx context.Context, s *sekisho.SignIn) error {
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("save sign-in: %w", err)
	}
	_, err = d.exec(ctx, `
		INSERT INTO signins (id, subject, expires, ended, token_hash, body) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET subject = excluded.subject, expires = excluded.expires,
			ended = COALESCE(signins.ended, excluded.ended), token_hash = excluded.token_hash, body = excluded.body`,
		s.ID, s.Identity.Subject, s.Expires.UnixNano(), nanos(s.Ended), bytesOf(s.TokenHash), string(body))
	if err != nil {
		return fmt.Errorf("save sign-in: %w", err)
	}
	return nil
}

// SignIn gives the sign-in, live or not. The error wraps sekisho.ErrNotFound when there is none.
func (d *DB) SignIn(ctx context.Context, id string) (*sekisho.SignIn, error) {
	var ended sql.NullInt64
	var hash, body []byte
	err := d.row(ctx, `SELECT ended, token_hash, body FROM signins WHERE id = $1`, []any{id}, &ended, &hash, &body)
	if err != nil {
		return nil, fmt.Errorf("read sign-in: %w", err)
	}
	return signIn(ended, hash, body)
}

// SignIns gives the subject's live sign-ins, the one that lasts longest first.
func (d *DB) SignIns(ctx context.Context, subject string, now time.Time) ([]*sekisho.SignIn, error) {
	d.saw(now)
	var all []*sekisho.SignIn
	err := d.rows(ctx, `
		SELECT ended, token_hash, body FROM signins
		WHERE subject = $1 AND expires > $2 AND ended IS NULL ORDER BY expires DESC, id`,
		[]any{subject, now.UnixNano()}, func(rows *sql.Rows) error {
			var ended sql.NullInt64
			var hash, body []byte
			if err := rows.Scan(&ended, &hash, &body); err != nil {
				return err
			}
			s, err := signIn(ended, hash, body)
			if err == nil && s.Live(now) {
				all = append(all, s)
			}
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read sign-ins: %w", err)
	}
	return all, nil
}

// EndSignIn ends the sign-in and says whether this call is the one that ended it.
func (d *DB) EndSignIn(ctx context.Context, id string, at time.Time) (bool, error) {
	n, err := d.exec(ctx, `UPDATE signins SET ended = $2 WHERE id = $1 AND ended IS NULL`, id, at.UnixNano())
	if err != nil {
		return false, fmt.Errorf("end sign-in: %w", err)
	}
	return n == 1, nil
}

func signIn(ended sql.NullInt64, hash, body []byte) (*sekisho.SignIn, error) {
	s, err := decode[sekisho.SignIn](body)
	if err != nil {
		return nil, err
	}
	s.Ended, s.TokenHash = timeOf(ended), hash
	return s, nil
}

// bytesOf is b, but never nil: the columns hold no NULL.
func bytesOf(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
