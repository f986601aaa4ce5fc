package audit

import (
	"context"
	"time"

	"github.com/sekisho/sekisho"
	"golang.org/x/mod/sumdb/tlog"
)

// Store keeps the log's lines, hashes and last checkpoint. Leaves never change once committed.
type Store interface {
	// CommitEvents calls build inside a write transaction that no other writer's overlaps, in this process or
	// another, with the stored checkpoint ("" in a new store) and the stored hashes, and makes what build returns
	// durable before it returns itself. A nil batch or an error leaves the store as it was.
	CommitEvents(ctx context.Context, build func(head string, hashes tlog.HashReader) (*Batch, error)) error
	// EventHead gives the stored checkpoint, "" in a new store.
	EventHead(ctx context.Context) (string, error)
	// EventHashes gives the hashes at these indexes (tlog.StoredHashIndex), or an error that wraps sekisho.ErrNotFound.
	EventHashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error)
	// EventLeaves gives the leaves with from <= Seq < to that there are, in order; Seq, Line and Hashes are filled.
	EventLeaves(ctx context.Context, from, to int64) ([]Leaf, error)
	// QueryEvents gives the matching lines, newest first.
	QueryEvents(ctx context.Context, q sekisho.EventQuery) ([][]byte, error)
}

// Batch is what one commit writes: leaves in order, and the checkpoint of the tree that then holds them all.
type Batch struct {
	Leaves     []Leaf
	Checkpoint string
}

// Leaf is one line with the columns that queries look at.
type Leaf struct {
	Seq                          int64
	Time                         time.Time
	Kind, Actor, Target, Session string
	// Line is the event's JSON: what the tree hashes.
	Line []byte
	// Hashes are the leaf's own hash and then those of the subtrees that it completes, smallest first: the hashes that
	// stand from tlog.StoredHashIndex(0, Seq) on.
	Hashes []tlog.Hash
}

// Place says where a stored hash is kept: the leaf that completed it, and the place among that leaf's Hashes.
func Place(index int64) (seq int64, level int) {
	level, n := tlog.SplitStoredHashIndex(index)
	return (n+1)<<level - 1, level
}
