package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/policy"
)

// policies keeps the set in force: the last one in the folder that could be loaded.
type policies struct {
	dir  string
	note func(context.Context, ...*sekisho.Event) error
	// changed is called when another set has come into force.
	changed func()
	log     *slog.Logger
	set     atomic.Pointer[policy.Set]
	seen    string // digest of the folder's last state, good or bad
}

const (
	maxPolicyFiles = 1000
	maxPolicyBytes = 16 << 20
)

// inForce is the set to judge by.
func (p *policies) inForce() *policy.Set { return p.set.Load() }

// load takes over the folder's state if it changed. A bad one is refused, noted, and leaves the old set in force.
func (p *policies) load(ctx context.Context) error {
	files, err := readPolicies(p.dir)
	if err != nil {
		return err
	}
	state := fmt.Sprint(files)
	if state == p.seen {
		return nil
	}
	p.seen = state
	set, err := policy.Load(files)
	if err != nil {
		ev := &sekisho.Event{Kind: sekisho.EventPolicyRefused, Actor: "control", Error: err.Error()}
		if nerr := p.note(ctx, ev); nerr != nil {
			return nerr
		}
		return fmt.Errorf("policies refused:\n%w", err)
	}
	ev := &sekisho.Event{Kind: sekisho.EventPolicyLoaded, Actor: "control", Detail: map[string]string{
		"policies": strconv.Itoa(len(set.Policies())), "digest": set.Digest()}}
	if err := p.note(ctx, ev); err != nil {
		return err
	}
	p.set.Store(set)
	p.changed()
	p.log.Info("policies loaded", "policies", len(set.Policies()), "digest", set.Digest())
	return nil
}

// watch looks at the folder every second until ctx is done.
func (p *policies) watch(ctx context.Context) {
	every(ctx, time.Second, func() {
		if err := p.load(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("policies not taken over; the old ones stay in force", "error", err)
		}
	})
}

func readPolicies(dir string) ([]policy.File, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.cedar"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	if len(names) > maxPolicyFiles {
		return nil, fmt.Errorf("policies: %d files in %s, more than %d", len(names), dir, maxPolicyFiles)
	}
	files, total := make([]policy.File, 0, len(names)), 0
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("policies: %w", err)
		}
		if total += len(text); total > maxPolicyBytes {
			return nil, fmt.Errorf("policies: more than %d MiB in %s", maxPolicyBytes>>20, dir)
		}
		files = append(files, policy.File{Name: filepath.Base(name), Text: text})
	}
	return files, nil
}
