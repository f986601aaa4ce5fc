package db

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"

	"github.com/sekisho/sekisho"
)

// saveAddresses makes the target's addresses those by which it is found, and no others.
func saveAddresses(ctx context.Context, tx *sql.Tx, t *sekisho.Target) error {
	if _, err := tx.ExecContext(ctx, rebind(`DELETE FROM target_addresses WHERE target = $1`), t.Name); err != nil {
		return err
	}
	for _, text := range t.Addresses {
		prefix, err := sekisho.ParseAddress(text)
		if err != nil {
			return err
		}
		first, last := ends(prefix)
		res, err := tx.ExecContext(ctx, rebind(`
			INSERT INTO target_addresses (first, last, target) VALUES ($1, $2, $3) ON CONFLICT (first, last) DO NOTHING`), first, last, t.Name)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("address %s is another target's: %w", text, sekisho.ErrTaken)
		}
	}
	return nil
}

// TargetAt gives the target that an IP address means: the one with the narrowest range that holds it. The error wraps
// sekisho.ErrNotFound when there is none.
func (d *DB) TargetAt(ctx context.Context, address netip.Addr) (*sekisho.Target, error) {
	at := address.As16()
	var body []byte
	// Ranges hold each other or are apart: of those that hold an address, the one that begins last is the narrowest,
	// and of those that begin together the one that ends first.
	err := d.row(ctx, `
		SELECT t.body FROM target_addresses a JOIN targets t ON t.name = a.target
		WHERE a.first <= $1 AND a.last >= $1 ORDER BY a.first DESC, a.last LIMIT 1`, []any{at[:]}, &body)
	if err != nil {
		return nil, fmt.Errorf("read target at %s: %w", address, err)
	}
	return decode[sekisho.Target](body)
}

// ends are the first and the last address of a range, as the columns hold them.
func ends(p netip.Prefix) (first, last []byte) {
	a, b := p.Addr().As16(), p.Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := bits; i < 128; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return a[:], b[:]
}
