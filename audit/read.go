package audit

import (
	"context"
	"fmt"
	"slices"

	"github.com/sekisho/sekisho"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// pageLines is how many lines are read from the store at once, yieldBytes about how many bytes are yielded at once.
	pageLines  = 256
	yieldBytes = 512 << 10
	// maxQuery is how many lines one query gives at the most.
	maxQuery = 1000
)

// Query gives the matching events' lines, newest first, each exactly as the tree holds it.
func (l *Log) Query(ctx context.Context, q sekisho.EventQuery) ([][]byte, error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, maxQuery)
	lines, err := l.cfg.Store.QueryEvents(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("query audit log: %w", err)
	}
	return lines, nil
}

// Checkpoint gives the newest signed checkpoint.
func (l *Log) Checkpoint(ctx context.Context) (string, error) {
	head, err := l.cfg.Store.EventHead(ctx)
	if err != nil {
		return "", fmt.Errorf("read checkpoint: %w", err)
	}
	return head, nil
}

// Export yields every line from the sequence number on, in order and a few at a time, and returns the checkpoint of
// the tree that holds exactly these and the ones before. It holds no transaction while yield runs. On the way it
// recomputes the tree: the error is a refusal that names the first line that is not what was written, and wraps
// ErrTampered. An error of yield is returned as it is.
func (l *Log) Export(ctx context.Context, from int64, yield func(lines [][]byte) error) (string, error) {
	head, tree, err := l.head(ctx)
	if err != nil {
		return "", fmt.Errorf("export audit log: %w", err)
	}
	if from < 0 || from > tree.N {
		return "", &sekisho.Refusal{
			Sentence: fmt.Sprintf("The audit log has no line %d: it holds %d.", from, tree.N),
			Next:     "Ask for a smaller number.",
		}
	}
	e, err := loadEdge(from, l.hashes(ctx))
	if err != nil {
		return "", fmt.Errorf("export audit log: read hashes: %w", err)
	}
	for at := from; at < tree.N; {
		to := min(at+pageLines, tree.N)
		leaves, err := l.cfg.Store.EventLeaves(ctx, at, to)
		if err != nil {
			return "", fmt.Errorf("export audit log: %w", err)
		}
		lines, bad := checkPage(e, leaves, at, to)
		if err := yieldParts(lines, yield); err != nil {
			return "", err
		}
		if bad != nil {
			l.cfg.Log.Error("audit log was tampered with", "error", bad)
			return "", bad
		}
		at = to
	}
	if e.root() != tree.Hash {
		bad := rewritten(tree)
		l.cfg.Log.Error("audit log was tampered with", "error", bad)
		return "", bad
	}
	return head, nil
}

// checkPage adds the page to the tree and gives its lines up to the first one that is not what was written.
func checkPage(e *edge, leaves []Leaf, from, to int64) ([][]byte, error) {
	lines := make([][]byte, 0, len(leaves))
	var stored []tlog.Hash
	for seq := from; seq < to; seq++ {
		i := int(seq - from)
		if i >= len(leaves) || leaves[i].Seq != seq {
			return lines, changed(seq, "is missing")
		}
		stored = e.push(tlog.RecordHash(leaves[i].Line), stored[:0])
		if !slices.Equal(stored, leaves[i].Hashes) {
			return lines, changed(seq, "was changed after it was written")
		}
		lines = append(lines, leaves[i].Line)
	}
	return lines, nil
}

func changed(seq int64, how string) error {
	return &sekisho.Refusal{
		Sentence: fmt.Sprintf("Line %d of the audit log %s.", seq, how),
		Next:     "Keep the server's database as it is and compare it with a backup and earlier exports.",
		Cause:    fmt.Errorf("%w: line %d %s", ErrTampered, seq, how),
	}
}

func rewritten(tree tlog.Tree) error {
	return &sekisho.Refusal{
		Sentence: fmt.Sprintf("The %d lines of the audit log are not those that its checkpoint signs.", tree.N),
		Next:     "Keep the server's database as it is and compare it with a backup and earlier exports.",
		Cause:    fmt.Errorf("%w: %d lines give another root", ErrTampered, tree.N),
	}
}

// yieldParts hands the lines on in parts of about yieldBytes.
func yieldParts(lines [][]byte, yield func([][]byte) error) error {
	for len(lines) > 0 {
		n, size := 0, 0
		for n < len(lines) && size < yieldBytes {
			size += len(lines[n])
			n++
		}
		if err := yield(lines[:n:n]); err != nil {
			return err
		}
		lines = lines[n:]
	}
	return nil
}

// head reads and checks the stored checkpoint.
func (l *Log) head(ctx context.Context) (string, tlog.Tree, error) {
	head, err := l.cfg.Store.EventHead(ctx)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	tree, err := openCheckpoint(head, l.verifier)
	if err != nil {
		return "", tlog.Tree{}, fmt.Errorf("%w: %w", ErrTampered, err)
	}
	return head, tree, nil
}

func (l *Log) hashes(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		return l.cfg.Store.EventHashes(ctx, indexes)
	})
}
