package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/sekisho/sekisho"
)

// PutPending keeps a record until it is taken or expires, anew or over the one with its key. Now and then it removes
// what has expired.
func (d *DB) PutPending(ctx context.Context, key string, expires time.Time, body []byte) error {
	if err := d.sweep(ctx); err != nil {
		return fmt.Errorf("sweep pending records: %w", err)
	}
	_, err := d.exec(ctx, `
		INSERT INTO pending (key, expires, body) VALUES ($1, $2, $3)
		ON CONFLICT (key) DO UPDATE SET expires = excluded.expires, body = excluded.body`,
		key, expires.UnixNano(), bytesOf(body))
	if err != nil {
		return fmt.Errorf("put pending record: %w", err)
	}
	return nil
}

// Pending reads a record. The error wraps sekisho.ErrNotFound when there is none or it has expired.
func (d *DB) Pending(ctx context.Context, key string, now time.Time) ([]byte, error) {
	d.saw(now)
	var body []byte
	err := d.row(ctx, `SELECT body FROM pending WHERE key = $1 AND expires > $2`, []any{key, now.UnixNano()}, &body)
	if err != nil {
		return nil, fmt.Errorf("read pending record: %w", err)
	}
	return body, nil
}

// TakePending reads and removes a record in one step: of any number of callers at once, one gets it. The error wraps
// sekisho.ErrNotFound when there is none or it has expired.
func (d *DB) TakePending(ctx context.Context, key string, now time.Time) ([]byte, error) {
	d.saw(now)
	var body []byte
	var expires int64
	err := d.change(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, rebind(`DELETE FROM pending WHERE key = $1 RETURNING expires, body`), key).Scan(&expires, &body)
	})
	if errors.Is(err, sql.ErrNoRows) || err == nil && expires <= now.UnixNano() {
		err = sekisho.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("take pending record: %w", err)
	}
	return body, nil
}

// change runs a write transaction.
func (d *DB) change(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing once committed
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// sweep removes expired records, at most once in sweepEvery. The clock is the callers': the latest time they named.
func (d *DB) sweep(ctx context.Context) error {
	now, last := d.newest.Load(), d.swept.Load()
	if now-last < int64(sweepEvery) || !d.swept.CompareAndSwap(last, now) {
		return nil
	}
	_, err := d.exec(ctx, `
		DELETE FROM pending WHERE key IN (SELECT key FROM pending WHERE expires <= $1 ORDER BY expires LIMIT $2)`, now, sweepRows)
	return err
}
