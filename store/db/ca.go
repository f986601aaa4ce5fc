package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/sekisho/sekisho"
)

// CAs gives all certificate authorities by name.
func (d *DB) CAs(ctx context.Context) ([]*sekisho.CA, error) {
	all, err := d.bodies(ctx, `SELECT body FROM cas ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("read CAs: %w", err)
	}
	return decodeAll[sekisho.CA](all)
}

// SaveCA keeps a certificate authority: a new one at revision 1, else over the one of the revision before. The error wraps
// sekisho.ErrTaken when there is another.
func (d *DB) SaveCA(ctx context.Context, c *sekisho.CA) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("save CA: %w", err)
	}
	var n int64
	if c.Revision == 1 {
		n, err = d.exec(ctx, `INSERT INTO cas (name, revision, body) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING`,
			c.Name, c.Revision, string(body))
	} else {
		n, err = d.exec(ctx, `UPDATE cas SET revision = $2, body = $3 WHERE name = $1 AND revision = $4`,
			c.Name, c.Revision, string(body), c.Revision-1)
	}
	if err == nil && n != 1 {
		err = fmt.Errorf("another revision than %d is %w", c.Revision-1, sekisho.ErrTaken)
	}
	if err != nil {
		return fmt.Errorf("save CA: %w", err)
	}
	return nil
}

// SaveHostReports keeps what connectors say of their hosts, each in place of the one before, all or none.
func (d *DB) SaveHostReports(ctx context.Context, reports []*sekisho.HostReport) error {
	err := d.change(ctx, func(tx *sql.Tx) error {
		for _, r := range reports {
			body, err := json.Marshal(r)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, rebind(`
				INSERT INTO host_reports (target, body) VALUES ($1, $2)
				ON CONFLICT (target) DO UPDATE SET body = excluded.body`), r.Target, string(body)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save host reports: %w", err)
	}
	return nil
}

// HostReports gives the last report on each target, by name.
func (d *DB) HostReports(ctx context.Context) ([]*sekisho.HostReport, error) {
	all, err := d.bodies(ctx, `SELECT body FROM host_reports ORDER BY target`)
	if err != nil {
		return nil, fmt.Errorf("read host reports: %w", err)
	}
	return decodeAll[sekisho.HostReport](all)
}
