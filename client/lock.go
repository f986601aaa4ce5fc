package client

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// lock takes the lock of that name in run/, waiting for other processes. The lock goes away with the process.
func (h Home) lock(name string) (unlock func(), err error) {
	unlock, err = lockedfile.MutexAt(filepath.Join(h.run(), name+".lock")).Lock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return unlock, nil
}

// lockContext is lock for those who may have to wait long: it gives up with ctx.
func (h Home) lockContext(ctx context.Context, name string) (unlock func(), err error) {
	type result struct {
		unlock func()
		err    error
	}
	got := make(chan result)
	go func() {
		u, err := h.lock(name)
		select {
		case got <- result{u, err}:
		case <-ctx.Done():
			if err == nil {
				u()
			}
		}
	}()
	select {
	case r := <-got:
		return r.unlock, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
