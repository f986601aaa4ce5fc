package db

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sekisho/sekisho/audit"
)

// commits are the audit log's own statements on the writer's connection. They go to the driver itself: a transaction of
// database/sql begins a goroutine that watches its context and, when it ends, wakes a thread for that, and somebody who asks
// for one certificate waits for both.
type commits struct {
	conn any // what they were prepared on
	begin, end, undo,
	readHead, readHashes, writeLeaf, writeHead driver.Stmt
}

// on prepares the statements, unless they are prepared on this connection.
func (c *commits) on(ctx context.Context, conn any) error {
	if c.conn == conn {
		return nil
	}
	p, ok := conn.(driver.ConnPrepareContext)
	if !ok {
		return fmt.Errorf("%T prepares nothing", conn)
	}
	*c = commits{conn: conn}
	for _, s := range []struct {
		stmt *driver.Stmt
		text string
	}{
		{&c.begin, `BEGIN IMMEDIATE`}, {&c.end, `COMMIT`}, {&c.undo, `ROLLBACK`},
		{&c.readHead, readHead}, {&c.readHashes, readHashes}, {&c.writeLeaf, writeLeaf}, {&c.writeHead, writeHead},
	} {
		var err error
		if *s.stmt, err = p.PrepareContext(ctx, rebind(s.text)); err != nil {
			return errors.Join(err, c.close())
		}
	}
	return nil
}

// close gives the statements back, which the driver allows only while their connection is open.
func (c *commits) close() error {
	var errs []error
	for _, s := range []driver.Stmt{c.begin, c.end, c.undo, c.readHead, c.readHashes, c.writeLeaf, c.writeHead} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	*c = commits{}
	return errors.Join(errs...)
}

// CommitEvents is of audit.Store. The transaction takes the write lock before it reads, so the head that build sees is
// the last one until its batch is committed.
func (d *DB) CommitEvents(ctx context.Context, build func(string, tlog.HashReader) (*audit.Batch, error)) error {
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return fmt.Errorf("commit events: %w", err)
	}
	defer conn.Close()
	var own error // of build, which is the caller's
	err = conn.Raw(func(c any) error {
		if err := d.commits.on(ctx, c); err != nil {
			return err
		}
		own, err = d.commits.commit(ctx, build)
		return err
	})
	if err != nil {
		return fmt.Errorf("commit events: %w", err)
	}
	return own
}

// endCommits gives the statements back before the writer is closed.
func (d *DB) endCommits() error {
	conn, err := d.write.Conn(context.Background())
	if err != nil {
		return nil // it has been closed before, or cannot be opened
	}
	defer conn.Close()
	return conn.Raw(func(c any) error {
		if d.commits.conn != c {
			return nil
		}
		return d.commits.close()
	})
}

// commit is one transaction. An error of build ends it and is given apart.
func (c *commits) commit(ctx context.Context, build func(string, tlog.HashReader) (*audit.Batch, error)) (own, err error) {
	if err := exec(ctx, c.begin); err != nil {
		return nil, err
	}
	done := false
	defer func() {
		if done {
			return
		}
		if undo := exec(context.WithoutCancel(ctx), c.undo); undo != nil {
			err = errors.Join(err, undo, c.close(), driver.ErrBadConn) // nobody knows what state the connection is in
		}
	}()
	var head string
	if err := one(ctx, c.readHead, &head); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	batch, own := build(head, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		return hashesBy(indexes, func(seq int64, into *[]byte) error { return one(ctx, c.readHashes, into, seq) })
	}))
	if own != nil || batch == nil {
		return own, nil
	}
	for i := range batch.Leaves {
		if err := exec(ctx, c.writeLeaf, leafRow(&batch.Leaves[i])...); err != nil {
			return nil, fmt.Errorf("line %d: %w", batch.Leaves[i].Seq, err)
		}
	}
	if err := exec(ctx, c.writeHead, batch.Checkpoint); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if err := exec(ctx, c.end); err != nil {
		return nil, err
	}
	done = true
	return nil, nil
}

func exec(ctx context.Context, s driver.Stmt, args ...driver.Value) error {
	_, err := s.(driver.StmtExecContext).ExecContext(ctx, named(args))
	return err
}

// one reads the one column of the one row that there is, or gives io.EOF.
func one[T string | []byte](ctx context.Context, s driver.Stmt, into *T, args ...driver.Value) error {
	rows, err := s.(driver.StmtQueryContext).QueryContext(ctx, named(args))
	if err != nil {
		return err
	}
	defer rows.Close()
	row := make([]driver.Value, 1)
	if err := rows.Next(row); err != nil {
		return err
	}
	v, ok := row[0].(T)
	if !ok {
		return fmt.Errorf("a column holds a %T", row[0])
	}
	*into = v
	return nil
}

func named(args []driver.Value) []driver.NamedValue {
	all := make([]driver.NamedValue, len(args))
	for i, v := range args {
		all[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return all
}
