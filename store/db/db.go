// Package db keeps the house's state in an SQL database: sign-ins, pending one-time records, targets, connectors, the
// index of recordings and the audit log.
//
// The statements are written by hand in PostgreSQL's dialect and stand beside the method that uses them; for SQLite
// only the parameters are spelled anew ($1 becomes ?1). One connection writes, each transaction taking the write lock
// at its start, and a pool of read-only connections reads what is committed. Every commit is on disk before it is
// reported (synchronous=FULL), because certificates and one-time codes hang on it. Several processes may have one
// file open.
//
// The package knows rows and nothing of what they mean: it decides no access and checks no token.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/audit"
)

// DB is an open database. Its methods may be called at the same time.
type DB struct {
	write, read *sql.DB
	// Prepared statements by text: of the writer, and of the readers.
	writes, reads sync.Map

	// newest is the latest time any caller has named, swept the one at the last sweep (nanoseconds).
	newest, swept atomic.Int64

	// inventory is the serial up to which all certificates are in the table; held while more are brought there.
	inventory atomic.Int64
	catching  sync.Mutex
}

var _ audit.Store = (*DB)(nil)

const (
	// busyTimeout is how long to wait for another process's transaction.
	busyTimeout = 10 * time.Second
	// readers is how many read-only connections there are at the most.
	readers = 4
	// sweepEvery is how far apart two sweeps of expired records are, sweepRows how many rows one removes.
	sweepEvery = time.Minute
	sweepRows  = 1000
	// A query gives defaultLimit rows where it names no limit, and maxLimit at the most.
	defaultLimit = 100
	maxLimit     = 1000
)

// Open opens the SQLite database at path, makes it (0600, in a 0700 directory) when it is not there, and brings its
// tables up to date.
func Open(ctx context.Context, path string) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := prepareFile(path); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	write, err := sql.Open("sqlite", dsn(path, "rwc"))
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	if err := migrate(ctx, write); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, errors.Join(err, write.Close()))
	}
	read, err := sql.Open("sqlite", dsn(path, "ro"))
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, errors.Join(err, write.Close()))
	}
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	return &DB{write: write, read: read}, nil
}

// Close closes the database.
func (d *DB) Close() error { return errors.Join(d.read.Close(), d.write.Close()) }

// prepareFile makes the file before SQLite does, so that nobody else can read it at any moment. SQLite gives its side
// files the same mode.
func prepareFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

func dsn(path, mode string) string {
	q := url.Values{"mode": {mode}, "_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
	}}
	if mode != "ro" {
		q["_pragma"] = append(q["_pragma"], "journal_mode(WAL)", "synchronous(FULL)", "journal_size_limit(67108864)", "foreign_keys(1)")
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	return u.String()
}

// prepared gives the statement for a text, prepared once. Call it for the writer before a transaction begins: the
// writer has one connection, which the transaction holds.
func prepared(ctx context.Context, cache *sync.Map, db *sql.DB, text string) (*sql.Stmt, error) {
	if s, ok := cache.Load(text); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := db.PrepareContext(ctx, rebind(text))
	if err != nil {
		return nil, err
	}
	if other, loaded := cache.LoadOrStore(text, s); loaded {
		return other.(*sql.Stmt), s.Close()
	}
	return s, nil
}

// exec runs one statement as its own transaction and gives the number of rows it changed.
func (d *DB) exec(ctx context.Context, text string, args ...any) (int64, error) {
	s, err := prepared(ctx, &d.writes, d.write, text)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// row reads one row, or gives an error that wraps sekisho.ErrNotFound.
func (d *DB) row(ctx context.Context, text string, args []any, into ...any) error {
	s, err := prepared(ctx, &d.reads, d.read, text)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// A row is there before a goroutine that watches the context would have begun, and there would be two of them.
	err = s.QueryRowContext(context.WithoutCancel(ctx), args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return sekisho.ErrNotFound
	}
	return err
}

// rows reads all rows, giving each to scan.
func (d *DB) rows(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) error {
	s, err := prepared(ctx, &d.reads, d.read, text)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// saw notes a time that a caller named, for the sweeping of expired records.
func (d *DB) saw(now time.Time) {
	for n := now.UnixNano(); ; {
		old := d.newest.Load()
		if n <= old || d.newest.CompareAndSwap(old, n) {
			return
		}
	}
}

func limit(n int) int {
	if n <= 0 {
		return defaultLimit
	}
	return min(n, maxLimit)
}

// nanos is a time as a column holds it: NULL for the zero time.
func nanos(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixNano()
}

func timeOf(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.Unix(0, n.Int64).UTC()
}
