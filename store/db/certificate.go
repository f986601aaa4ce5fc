package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/sekisho/sekisho"
)

// inventoryBatch is how many certificates one transaction brings into the inventory. The writer is let go between two, so
// that issuing never waits for more than one.
const inventoryBatch = 100

// Certificates gives the matching certificates' lines of the audit log as events, the newest first. It sees every
// certificate whose line was durable when it was called.
func (d *DB) Certificates(ctx context.Context, q sekisho.CertificateQuery) ([]*sekisho.Event, error) {
	lines, err := d.CertificateLines(ctx, q)
	if err != nil {
		return nil, err
	}
	return decodeAll[sekisho.Event](lines)
}

// CertificateLines is Certificates with each line exactly as the tree holds it.
func (d *DB) CertificateLines(ctx context.Context, q sekisho.CertificateQuery) ([][]byte, error) {
	if err := d.CatchUpCertificates(ctx); err != nil {
		return nil, err
	}
	w, none, err := d.certificateTerms(ctx, q)
	if err != nil || none {
		return nil, err
	}
	text := `SELECT l.line FROM certificates c JOIN audit_leaves l ON l.seq = c.serial`
	if q.Principal != "" {
		text = `SELECT l.line FROM certificate_principals p JOIN certificates c ON c.serial = p.serial JOIN audit_leaves l ON l.seq = p.serial`
	}
	text += w.text() + ` ORDER BY ` + w.serial + ` DESC LIMIT ` + w.arg(limit(q.Limit))
	lines, err := d.bodies(ctx, text, w.args...)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	return lines, nil
}

// certificateWhere are the conditions of a query; serial is the column that it walks down.
type certificateWhere struct {
	where
	serial string
	led    bool // one condition has been chosen to look by, by its index
}

// equal adds a condition. The planner does not know which values are rare: the first condition given is the one to look by,
// and of the others the indexes are not used.
func (w *certificateWhere) equal(column, v string) {
	switch {
	case v == "":
	case w.led:
		w.add(column+" || '' = ", v, "")
	default:
		w.led = true
		w.add(column+" = ", v, "")
	}
}

// certificateTerms turns a query into conditions, what picks fewest first; none says that nothing can match.
func (d *DB) certificateTerms(ctx context.Context, q sekisho.CertificateQuery) (w *certificateWhere, none bool, err error) {
	w = &certificateWhere{serial: "c.serial"}
	if q.Principal != "" {
		w.serial = "p.serial"
		w.equal("p.principal", q.Principal)
	}
	w.equal("c.request", q.Request)
	w.equal("c.sign_in", q.SignIn)
	w.equal("c.key", q.Key)
	if none, err := d.byTime(ctx, w, q); none || err != nil {
		return nil, none, err
	}
	w.equal("c.subject", q.Subject)
	w.equal("c.target", q.Target)
	w.equal("c.issuer", q.Issuer)
	w.equal("c.ca", q.CA)
	w.equal("c.type", q.Type)
	if q.Before > 0 {
		w.add(w.serial+" < ", q.Before, "")
	}
	return w, false, nil
}

// byTime adds the conditions on times. Serials go up with the time of issue, but for a clock that was set back: the bound
// on serials is taken from the nearest few rows, not from one.
func (d *DB) byTime(ctx context.Context, w *certificateWhere, q sekisho.CertificateQuery) (none bool, err error) {
	if !q.Since.IsZero() {
		n, first, err := d.fewCertificates(ctx, `MIN`, `issued >= $1 ORDER BY issued`, q.Since.UnixNano())
		if err != nil || n == 0 {
			return true, err
		}
		w.add(w.serial+" >= ", first, "")
		w.add("c.issued + 0 >= ", q.Since.UnixNano(), "")
	}
	if !q.Until.IsZero() {
		n, last, err := d.fewCertificates(ctx, `MAX`, `issued < $1 ORDER BY issued DESC`, q.Until.UnixNano())
		if err != nil || n == 0 {
			return true, err
		}
		w.add(w.serial+" <= ", last, "")
		w.add("c.issued + 0 < ", q.Until.UnixNano(), "")
	}
	if q.ValidAt.IsZero() {
		return false, nil
	}
	at := q.ValidAt.UnixNano()
	n, first, err := d.fewCertificates(ctx, `MIN`, `valid_before > $1`, at)
	if err != nil || n == 0 {
		return true, err
	}
	column := "c.valid_before + 0" // many are valid: the newest, which are walked anyway
	if n <= few {
		w.add(w.serial+" >= ", first, "")
		if !w.led {
			w.led, column = true, "c.valid_before"
		}
	}
	w.add(column+" > ", at, "")
	w.add("c.issued + 0 <= ", at, "")
	return false, nil
}

// fewCertificates counts the rows that meet the condition, to few+1 at the most, and gives the smallest or greatest serial
// among them.
func (d *DB) fewCertificates(ctx context.Context, which, condition string, arg any) (n, serial int64, err error) {
	text := fmt.Sprintf(`SELECT COUNT(*), COALESCE(%s(serial), 0) FROM (SELECT serial FROM certificates WHERE %s LIMIT %d) AS some`, which, condition, few+1)
	if err := d.row(ctx, text, []any{arg}, &n, &serial); err != nil {
		return 0, 0, fmt.Errorf("read certificates: %w", err)
	}
	return n, serial, nil
}

// CatchUpCertificates brings certificates into the inventory whose lines are in the audit log and not yet there. Lines that
// cannot be read are left out: audit verify tells them. Issuing does nothing for the inventory, and never waits for more than
// one batch of it.
func (d *DB) CatchUpCertificates(ctx context.Context) error {
	var newest int64
	err := d.row(ctx, `SELECT COALESCE(MAX(seq), 0) FROM audit_leaves WHERE kind = $1`, []any{sekisho.EventCertificate}, &newest)
	for err == nil && d.inventory.Load() < newest {
		err = d.catchUp(ctx)
	}
	if err != nil {
		return fmt.Errorf("bring certificates into the inventory: %w", err)
	}
	return nil
}

// catchUp brings the next batch. Batches are brought in order, each whole, so all certificates up to the greatest serial in
// the table are in it; several processes may do so at once, and write the same rows.
func (d *DB) catchUp(ctx context.Context) error {
	d.catching.Lock()
	defer d.catching.Unlock()
	last := d.inventory.Load()
	if last == 0 {
		if err := d.row(ctx, `SELECT COALESCE(MAX(serial), 0) FROM certificates`, nil, &last); err != nil {
			return err
		}
	}
	var rows []*certificateRow
	err := d.rows(ctx, `SELECT seq, line FROM audit_leaves WHERE kind = $1 AND seq > $2 ORDER BY seq LIMIT $3`,
		[]any{sekisho.EventCertificate, last, inventoryBatch}, func(r *sql.Rows) error {
			var line []byte
			if err := r.Scan(&last, &line); err != nil {
				return err
			}
			if row := readCertificateRow(last, line); row != nil {
				rows = append(rows, row)
			}
			return nil
		})
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		if err := d.insertCertificates(ctx, rows); err != nil {
			return err
		}
	}
	d.inventory.Store(last)
	return nil
}

// certificateRow is a certificate as the inventory looks for it.
type certificateRow struct {
	id     sekisho.KeyID
	event  sekisho.Event
	record *sekisho.CertificateRecord
}

// readCertificateRow reads a line of the audit log; nil where it tells of no certificate.
func readCertificateRow(seq int64, line []byte) *certificateRow {
	r := &certificateRow{}
	if json.Unmarshal(line, &r.event) != nil || r.event.Certificate == nil || r.event.Seq != seq {
		return nil
	}
	r.record = r.event.Certificate
	var err error
	r.id, err = sekisho.ParseKeyID(r.record.KeyID + "/" + strconv.FormatInt(seq, 10))
	if err != nil {
		return nil
	}
	return r
}

const (
	writeCertificate = `
		INSERT INTO certificates (serial, issued, valid_before, subject, issuer, type, sign_in, request, target, key, ca, principals)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (serial) DO NOTHING`
	writePrincipal = `
		INSERT INTO certificate_principals (principal, serial) VALUES ($1, $2) ON CONFLICT (principal, serial) DO NOTHING`
)

func (d *DB) insertCertificates(ctx context.Context, rows []*certificateRow) error {
	ctx = context.WithoutCancel(ctx) // the driver begins a goroutine for each statement that can be cancelled
	one, err := prepared(ctx, &d.writes, d.write, writeCertificate)
	if err != nil {
		return err
	}
	principal, err := prepared(ctx, &d.writes, d.write, writePrincipal)
	if err != nil {
		return err
	}
	return d.change(ctx, func(tx *sql.Tx) error {
		one, principal := tx.StmtContext(ctx, one), tx.StmtContext(ctx, principal)
		for _, r := range rows {
			if err := r.insert(ctx, one, principal); err != nil {
				return fmt.Errorf("certificate %d: %w", r.event.Seq, err)
			}
		}
		return nil
	})
}

func (r *certificateRow) insert(ctx context.Context, one, principal *sql.Stmt) error {
	c := r.record
	principals, err := json.Marshal(c.Principals)
	if err != nil {
		return err
	}
	_, err = one.ExecContext(ctx, r.event.Seq, r.event.Time.UnixNano(), c.ValidBefore.UnixNano(), r.id.Subject, c.Issuer, c.Type,
		text(r.id.SignIn), text(r.id.Request), text(r.event.Target), c.Key, c.CA, string(principals))
	for _, p := range c.Principals {
		if err != nil {
			return err
		}
		_, err = principal.ExecContext(ctx, p, r.event.Seq)
	}
	return err
}
