package db

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/audit"
)

const (
	readHead   = `SELECT note FROM audit_checkpoint WHERE id = 1`
	readHashes = `SELECT hashes FROM audit_leaves WHERE seq = $1`
	writeLeaf  = `
		INSERT INTO audit_leaves (seq, hashes, time, kind, actor, target, session, line) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	writeHead = `
		INSERT INTO audit_checkpoint (id, note) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET note = excluded.note`
)

// CommitEvents is of audit.Store. The transaction takes the write lock before it reads, so the head that build sees is
// the last one until its batch is committed.
func (d *DB) CommitEvents(ctx context.Context, build func(string, tlog.HashReader) (*audit.Batch, error)) error {
	var stmts [4]*sql.Stmt
	for i, text := range []string{readHead, readHashes, writeLeaf, writeHead} {
		s, err := prepared(ctx, &d.writes, d.write, text)
		if err != nil {
			return fmt.Errorf("commit events: %w", err)
		}
		stmts[i] = s
	}
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("commit events: %w", err)
	}
	defer tx.Rollback() // does nothing once committed
	for i := range stmts {
		stmts[i] = tx.StmtContext(ctx, stmts[i])
	}
	head, err := scanHead(stmts[0].QueryRowContext(ctx))
	if err != nil {
		return fmt.Errorf("commit events: %w", err)
	}
	batch, err := build(head, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		return hashesBy(indexes, func(seq int64) *sql.Row { return stmts[1].QueryRowContext(ctx, seq) })
	}))
	if err != nil || batch == nil {
		return err
	}
	for i := range batch.Leaves {
		if err := insertLeaf(ctx, stmts[2], &batch.Leaves[i]); err != nil {
			return fmt.Errorf("commit event %d: %w", batch.Leaves[i].Seq, err)
		}
	}
	if _, err := stmts[3].ExecContext(ctx, batch.Checkpoint); err != nil {
		return fmt.Errorf("commit checkpoint: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit events: %w", err)
	}
	return nil
}

func insertLeaf(ctx context.Context, s *sql.Stmt, l *audit.Leaf) error {
	hashes := make([]byte, 0, len(l.Hashes)*tlog.HashSize)
	for i := range l.Hashes {
		hashes = append(hashes, l.Hashes[i][:]...)
	}
	_, err := s.ExecContext(ctx, l.Seq, hashes, l.Time.UnixNano(), l.Kind, text(l.Actor), text(l.Target), text(l.Session), string(l.Line))
	return err
}

// text is s as a column holds it: NULL where it is empty, which keeps it out of the indexes.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// EventHead is of audit.Store.
func (d *DB) EventHead(ctx context.Context) (string, error) {
	var head string
	err := d.row(ctx, readHead, nil, &head)
	if errors.Is(err, sekisho.ErrNotFound) {
		return "", nil
	}
	return head, err
}

func scanHead(row *sql.Row) (string, error) {
	var head string
	err := row.Scan(&head)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return head, err
}

// EventHashes is of audit.Store.
func (d *DB) EventHashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error) {
	s, err := prepared(ctx, &d.reads, d.read, readHashes)
	if err != nil {
		return nil, err
	}
	return hashesBy(indexes, func(seq int64) *sql.Row { return s.QueryRowContext(ctx, seq) })
}

// hashesBy gathers hashes from the rows that keep them.
func hashesBy(indexes []int64, row func(seq int64) *sql.Row) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index < 0 {
			return nil, fmt.Errorf("hash %d: %w", index, sekisho.ErrNotFound)
		}
		seq, level := audit.Place(index)
		var stored []byte
		err := row(seq).Scan(&stored)
		if errors.Is(err, sql.ErrNoRows) || err == nil && len(stored) < (level+1)*tlog.HashSize {
			err = sekisho.ErrNotFound
		}
		if err != nil {
			return nil, fmt.Errorf("hash %d of line %d: %w", level, seq, err)
		}
		all[i] = tlog.Hash(stored[level*tlog.HashSize:][:tlog.HashSize])
	}
	return all, nil
}

// EventLeaves is of audit.Store. A row whose hashes are no whole number of hashes is given without them.
func (d *DB) EventLeaves(ctx context.Context, from, to int64) ([]audit.Leaf, error) {
	var leaves []audit.Leaf
	err := d.rows(ctx, `SELECT seq, hashes, line FROM audit_leaves WHERE seq >= $1 AND seq < $2 ORDER BY seq`, []any{from, to},
		func(rows *sql.Rows) error {
			var leaf audit.Leaf
			var stored []byte
			if err := rows.Scan(&leaf.Seq, &stored, &leaf.Line); err != nil {
				return err
			}
			leaf.Hashes = make([]tlog.Hash, 0, len(stored)/tlog.HashSize)
			for r := bytes.NewReader(stored); r.Len() > 0; {
				var h tlog.Hash
				if n, _ := r.Read(h[:]); n < tlog.HashSize {
					leaf.Hashes = nil
					break
				}
				leaf.Hashes = append(leaf.Hashes, h)
			}
			leaves = append(leaves, leaf)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read lines: %w", err)
	}
	return leaves, nil
}

// QueryEvents is of audit.Store. The rows are wanted by number, newest first, and the planner cannot know how far it must
// walk for them. So it is told: where few rows are late enough, none before the first of them is looked at; where many
// rows are of a family of kinds, they are met soon and need no sorting.
func (d *DB) QueryEvents(ctx context.Context, q sekisho.EventQuery) ([][]byte, error) {
	var w where
	if prefix, ok := strings.CutSuffix(q.Kind, "."); ok {
		from, to := prefix+".", prefix+"/" // the byte after "."
		n, _, err := d.few(ctx, `kind >= $1 AND kind < $2`, from, to)
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		column := "kind"
		if n > few {
			column = "kind || ''" // which has no index
		}
		w.add(column+" >= ", from, "")
		w.add(column+" < ", to, "")
	} else {
		w.equal("kind", q.Kind)
	}
	w.equal("actor", q.Actor)
	w.equal("target", q.Target)
	w.equal("session", q.Session)
	if !q.Since.IsZero() {
		n, first, err := d.few(ctx, `time >= $1`, q.Since.UnixNano())
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		if n == 0 {
			return nil, nil
		}
		if n <= few {
			w.add("seq >= ", first, "")
		}
		w.add("time >= ", q.Since.UnixNano(), "")
	}
	if q.Before > 0 {
		w.add("seq < ", q.Before, "")
	}
	text := `SELECT line FROM audit_leaves` + w.text() + ` ORDER BY seq DESC LIMIT ` + w.arg(limit(q.Limit))
	lines, err := d.bodies(ctx, text, w.args...)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return lines, nil
}

// few is how many rows are worth looking at to learn how to look for the rest.
const few = 5000

// few counts the rows that meet the condition, to few+1 at the most, and gives the smallest number among them.
func (d *DB) few(ctx context.Context, condition string, args ...any) (n, first int64, err error) {
	text := fmt.Sprintf(`SELECT COUNT(*), COALESCE(MIN(seq), 0) FROM (SELECT seq FROM audit_leaves WHERE %s LIMIT %d) AS some`, condition, few+1)
	err = d.row(ctx, text, args, &n, &first)
	return n, first, err
}
