package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sekisho/sekisho"
)

// SaveTarget writes the target, anew or over the one with its name. The error wraps sekisho.ErrTaken when one of its
// addresses is another target's.
func (d *DB) SaveTarget(ctx context.Context, t *sekisho.Target) error {
	body, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("save target: %w", err)
	}
	err = d.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, rebind(`
			INSERT INTO targets (name, body) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET body = excluded.body`), t.Name, string(body))
		if err != nil {
			return err
		}
		return saveAddresses(ctx, tx, t)
	})
	if err != nil {
		return fmt.Errorf("save target: %w", err)
	}
	return nil
}

// Target gives the target. The error wraps sekisho.ErrNotFound when there is none.
func (d *DB) Target(ctx context.Context, name string) (*sekisho.Target, error) {
	var body []byte
	if err := d.row(ctx, `SELECT body FROM targets WHERE name = $1`, []any{name}, &body); err != nil {
		return nil, fmt.Errorf("read target: %w", err)
	}
	return decode[sekisho.Target](body)
}

// Targets gives all targets by name.
func (d *DB) Targets(ctx context.Context) ([]*sekisho.Target, error) {
	all, err := d.bodies(ctx, `SELECT body FROM targets ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("read targets: %w", err)
	}
	return decodeAll[sekisho.Target](all)
}

// SaveConnector writes the connector, anew or over the one with its ID. One that has ended stays ended.
func (d *DB) SaveConnector(ctx context.Context, c *sekisho.Connector) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("save connector: %w", err)
	}
	_, err = d.exec(ctx, `
		INSERT INTO connectors (id, ended, token_hash, body) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET ended = COALESCE(connectors.ended, excluded.ended),
			token_hash = excluded.token_hash, body = excluded.body`,
		c.ID, nanos(c.Ended), bytesOf(c.TokenHash), string(body))
	if err != nil {
		return fmt.Errorf("save connector: %w", err)
	}
	return nil
}

// Connector gives the connector, ended or not. The error wraps sekisho.ErrNotFound when there is none.
func (d *DB) Connector(ctx context.Context, id string) (*sekisho.Connector, error) {
	var ended sql.NullInt64
	var hash, body []byte
	err := d.row(ctx, `SELECT ended, token_hash, body FROM connectors WHERE id = $1`, []any{id}, &ended, &hash, &body)
	if err != nil {
		return nil, fmt.Errorf("read connector: %w", err)
	}
	return connector(ended, hash, body)
}

// Connectors gives all connectors, ended ones too, by ID.
func (d *DB) Connectors(ctx context.Context) ([]*sekisho.Connector, error) {
	var all []*sekisho.Connector
	err := d.rows(ctx, `SELECT ended, token_hash, body FROM connectors ORDER BY id`, nil, func(rows *sql.Rows) error {
		var ended sql.NullInt64
		var hash, body []byte
		if err := rows.Scan(&ended, &hash, &body); err != nil {
			return err
		}
		c, err := connector(ended, hash, body)
		all = append(all, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read connectors: %w", err)
	}
	return all, nil
}

// EndConnector ends the connector and says whether this call is the one that ended it.
func (d *DB) EndConnector(ctx context.Context, id string, at time.Time) (bool, error) {
	n, err := d.exec(ctx, `UPDATE connectors SET ended = $2 WHERE id = $1 AND ended IS NULL`, id, at.UnixNano())
	if err != nil {
		return false, fmt.Errorf("end connector: %w", err)
	}
	return n == 1, nil
}

func connector(ended sql.NullInt64, hash, body []byte) (*sekisho.Connector, error) {
	c, err := decode[sekisho.Connector](body)
	if err != nil {
		return nil, err
	}
	c.Ended, c.TokenHash = timeOf(ended), hash
	return c, nil
}

// bodies reads a column of bodies.
func (d *DB) bodies(ctx context.Context, text string, args ...any) ([][]byte, error) {
	var all [][]byte
	err := d.rows(ctx, text, args, func(rows *sql.Rows) error {
		var body []byte
		err := rows.Scan(&body)
		all = append(all, body)
		return err
	})
	return all, err
}

func decode[T any](body []byte) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(body, v); err != nil {
		return nil, fmt.Errorf("decode %T: %w", *v, err)
	}
	return v, nil
}

func decodeAll[T any](bodies [][]byte) ([]*T, error) {
	all := make([]*T, 0, len(bodies))
	for _, body := range bodies {
		v, err := decode[T](body)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
