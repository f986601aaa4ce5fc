package audit

import (
	"fmt"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// edge is the right edge of a tree: the roots of the complete subtrees that its size is made of, largest first.
// With it lines can be added and the root computed without the rest of the tree.
type edge struct {
	size  int64
	roots []tlog.Hash
}

// loadEdge reads the edge of the tree with that size.
func loadEdge(size int64, r tlog.HashReader) (*edge, error) {
	var indexes []int64
	for at, rest := int64(0), size; rest > 0; {
		level := bits.Len64(uint64(rest)) - 1
		indexes = append(indexes, tlog.StoredHashIndex(level, at>>level))
		at += 1 << level
		rest -= 1 << level
	}
	if len(indexes) == 0 {
		return &edge{}, nil
	}
	roots, err := r.ReadHashes(indexes)
	if err != nil {
		return nil, err
	}
	if len(roots) != len(indexes) {
		return nil, fmt.Errorf("%d hashes for %d indexes", len(roots), len(indexes))
	}
	return &edge{size: size, roots: roots}, nil
}

// push adds a leaf and appends to stored the hashes that a store keeps with it.
func (e *edge) push(leaf tlog.Hash, stored []tlog.Hash) []tlog.Hash {
	stored = append(stored, leaf)
	for n := e.size; n&1 == 1; n >>= 1 {
		last := len(e.roots) - 1
		leaf = tlog.NodeHash(e.roots[last], leaf)
		e.roots = e.roots[:last]
		stored = append(stored, leaf)
	}
	e.roots = append(e.roots, leaf)
	e.size++
	return stored
}

// root is the hash of the whole tree.
func (e *edge) root() tlog.Hash {
	if len(e.roots) == 0 {
		h, _ := tlog.TreeHash(0, nil) // reads nothing
		return h
	}
	last := len(e.roots) - 1
	h := e.roots[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(e.roots[i], h)
	}
	return h
}

func (e *edge) clone() edge { return edge{size: e.size, roots: slices.Clone(e.roots)} }
