package audit

import (
	"context"
	"fmt"

	"github.com/sekisho/sekisho"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Inclusion shows that one line is in the log: with the verifier key alone, it convinces anyone.
type Inclusion struct {
	Seq  int64  `json:"seq"`
	Line string `json:"line"`
	// Proof is the RFC 6962 audit path from the line to the root that Checkpoint signs.
	Proof      []tlog.Hash `json:"proof"`
	Checkpoint string      `json:"checkpoint"`
}

// Prove makes the proof that the line with that sequence number is in the log. The error wraps sekisho.ErrNotFound when
// there is no such line.
func (l *Log) Prove(ctx context.Context, seq int64) (*Inclusion, error) {
	head, tree, err := l.head(ctx)
	if err != nil {
		return nil, fmt.Errorf("prove line %d: %w", seq, err)
	}
	if seq < 0 || seq >= tree.N {
		return nil, fmt.Errorf("prove line %d of %d: %w", seq, tree.N, sekisho.ErrNotFound)
	}
	leaves, err := l.cfg.Store.EventLeaves(ctx, seq, seq+1)
	if err != nil {
		return nil, fmt.Errorf("prove line %d: %w", seq, err)
	}
	if len(leaves) != 1 {
		return nil, changed(seq, "is missing")
	}
	proof, err := tlog.ProveRecord(tree.N, seq, l.hashes(ctx))
	if err != nil {
		return nil, fmt.Errorf("prove line %d: %w", seq, err)
	}
	if tlog.CheckRecord(proof, tree.N, tree.Hash, seq, tlog.RecordHash(leaves[0].Line)) != nil {
		return nil, changed(seq, "was changed after it was written")
	}
	return &Inclusion{Seq: seq, Line: string(leaves[0].Line), Proof: proof, Checkpoint: head}, nil
}

// CheckInclusion reports why the proof does not show that the line is in the log of that verifier key, and nil if it does.
func CheckInclusion(in *Inclusion, verifierKey string) error {
	v, err := note.NewVerifier(verifierKey)
	if err != nil {
		return fmt.Errorf("verifier key: %w", err)
	}
	tree, err := openCheckpoint(in.Checkpoint, v)
	if err != nil {
		return err
	}
	if err := checkLine([]byte(in.Line), in.Seq); err != nil {
		return err
	}
	if err := tlog.CheckRecord(in.Proof, tree.N, tree.Hash, in.Seq, tlog.RecordHash([]byte(in.Line))); err != nil {
		return fmt.Errorf("line %d: %w", in.Seq, err)
	}
	return nil
}
