// Package audit remembers what happened: an append-only log of events in a Merkle tree.
//
// An event becomes one line of JSON, and that line is a leaf of an RFC 6962 tree. Callers of Append wait together:
// one of them has the turn, gathers whoever is waiting, writes all their lines, the tree's new hashes and a newly signed
// checkpoint in one transaction of the store, and each caller returns when its own line is durable. So a checkpoint
// is signed once for each group and the stored one always covers every stored line.
//
// Between two groups the log keeps the tree's right edge in memory. Where the store's checkpoint is not the
// one it left, another process has appended: the new checkpoint must then be signed by our key, agree with the
// stored hashes and extend the tree we knew. Otherwise, and likewise on Open, the log refuses to append.
//
// A reader needs no trust in the store or the server: Verify recomputes the root from exported lines, and a checkpoint
// remembered from an earlier visit shows a log that was cut or rewritten by someone who holds the key. FORMAT.md
// states lines, checkpoints and export files.
//
// The log never changes or deletes a line, and never gives out a sequence number before its line is durable.
package audit

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Bounds of the log.
const (
	// MaxLine is how many bytes a line has at the most.
	MaxLine = 64 << 10
	// maxText is where the value of a detail or an error is cut.
	maxText = 4 << 10
	// maxEvents is how many events one call of Append takes.
	maxEvents = 1000
	// queueLength is how many calls of Append wait in line; the next ones wait for a place.
	queueLength = 1024
	// groupEvents and groupBytes end the gathering of a group.
	groupEvents = 512
	groupBytes  = 4 << 20
)

// Errors that callers tell apart.
var (
	// ErrTampered says that the store does not hold what this log signed.
	ErrTampered = errors.New("audit log does not agree with its signed checkpoint")
	// ErrClosed says that the log takes no more events.
	ErrClosed = errors.New("audit log is closed")
)

// Config is what a log needs.
type Config struct {
	Store Store
	// Signer signs checkpoints; its public key is Ed25519.
	Signer crypto.Signer
	// Origin names the log in its checkpoints and is the name of its key, such as "sekisho.example.com/audit": no
	// spaces, no plus sign.
	Origin string
	Now    func() time.Time
	Log    *slog.Logger
}

// Log is an open log. Its methods may be called at the same time.
type Log struct {
	cfg      Config
	signer   note.Signer
	verifier note.Verifier
	key      string

	queue chan *call
	turn  chan struct{} // holds one element while somebody commits
	at    position      // of whoever has the turn

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // of Append, counted in under mu
}

// position is the tree as it was left by the last group.
type position struct {
	head string // the signed checkpoint
	tree tlog.Tree
	edge edge
}

// Open opens the log in the store. A new log gets a signed checkpoint of the empty tree.
// The error wraps ErrTampered when the stored tree is not the one that the last checkpoint signs, or when the
// checkpoint is not signed by this key.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Store == nil || cfg.Signer == nil || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("open audit log: store, signer, clock and logger are needed")
	}
	key, err := VerifierKey(cfg.Origin, cfg.Signer.Public())
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("open audit log: origin %q: %w", cfg.Origin, err)
	}
	l := &Log{
		cfg: cfg, key: key, verifier: verifier,
		signer: &signer{Verifier: verifier, key: cfg.Signer},
		queue:  make(chan *call, queueLength),
		turn:   make(chan struct{}, 1),
	}
	if err := l.load(ctx); err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return l, nil
}

// Close refuses new calls of Append and returns when those that wait have finished.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.calls.Wait()
	return nil
}

// VerifierKey is the public key that checks this log's checkpoints, in note format: NAME+HASH+KEY.
func (l *Log) VerifierKey() string { return l.key }

// load takes the tree from the store, or starts one.
func (l *Log) load(ctx context.Context) error {
	err := l.cfg.Store.CommitEvents(ctx, func(head string, hashes tlog.HashReader) (*Batch, error) {
		if head != "" {
			at, err := l.adopt(head, hashes)
			l.at = at
			return nil, err
		}
		empty := position{}
		head, tree, err := l.sign(&empty.edge)
		if err != nil {
			return nil, err
		}
		l.at = position{head: head, tree: tree}
		return &Batch{Checkpoint: head}, nil
	})
	if err != nil {
		return err
	}
	return l.checkLast(ctx)
}

// checkLast holds the newest line against its hash: the cheapest sign that lines were cut off or put on.
func (l *Log) checkLast(ctx context.Context) error {
	n := l.at.tree.N
	leaves, err := l.cfg.Store.EventLeaves(ctx, max(n-1, 0), n+1)
	if err != nil {
		return err
	}
	if n == 0 && len(leaves) == 0 {
		return nil
	}
	if len(leaves) == 0 || leaves[0].Seq != n-1 {
		return fmt.Errorf("%w: line %d is missing", ErrTampered, n-1)
	}
	if len(leaves) > 1 {
		// Another process may have appended since load; then the checkpoint has moved on as well.
		head, err := l.cfg.Store.EventHead(ctx)
		if err != nil {
			return err
		}
		if head == l.at.head {
			return fmt.Errorf("%w: line %d is not covered by it", ErrTampered, n)
		}
	}
	if len(leaves[0].Hashes) == 0 || tlog.RecordHash(leaves[0].Line) != leaves[0].Hashes[0] {
		return fmt.Errorf("%w: line %d was changed", ErrTampered, n-1)
	}
	return nil
}

// adopt gives the position that the store's head stands for. Unless it is the one we left, it must be signed by our
// key, agree with the stored hashes and extend the tree we knew.
func (l *Log) adopt(head string, hashes tlog.HashReader) (position, error) {
	if head == l.at.head && head != "" {
		return l.at, nil
	}
	tree, err := openCheckpoint(head, l.verifier)
	if err != nil {
		return position{}, fmt.Errorf("%w: %w", ErrTampered, err)
	}
	known := l.at.tree
	if tree.N < known.N {
		return position{}, fmt.Errorf("%w: it held %d lines and now holds %d", ErrTampered, known.N, tree.N)
	}
	e, err := loadEdge(tree.N, hashes)
	if err != nil {
		return position{}, fmt.Errorf("%w: read hashes: %w", ErrTampered, err)
	}
	if e.root() != tree.Hash {
		return position{}, fmt.Errorf("%w: the hashes of %d lines give another root", ErrTampered, tree.N)
	}
	if known.N > 0 {
		proof, err := tlog.ProveTree(tree.N, known.N, hashes)
		if err == nil {
			err = tlog.CheckTree(proof, tree.N, tree.Hash, known.N, known.Hash)
		}
		if err != nil {
			return position{}, fmt.Errorf("%w: it does not extend the tree of %d lines that was here before: %w", ErrTampered, known.N, err)
		}
	}
	return position{head: head, tree: tree, edge: *e}, nil
}

// sign makes the checkpoint of the tree with that edge.
func (l *Log) sign(e *edge) (string, tlog.Tree, error) {
	tree := tlog.Tree{N: e.size, Hash: e.root()}
	head, err := signCheckpoint(l.cfg.Origin, tree, l.signer)
	if err != nil {
		return "", tree, fmt.Errorf("sign checkpoint: %w", err)
	}
	return head, tree, nil
}
