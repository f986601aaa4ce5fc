package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// profiler asks sekishod and the connectors for profiles, if they were built for that (testdata/profile.go).
type profiler struct {
	dir   string // "": none are wanted
	house *house
}

func newProfiler(h *house) *profiler { return &profiler{os.Getenv("BENCH_PROFILE"), h} }

var profiled = []string{"sekishod", "connector-web1", "connector-db1"}

// start begins CPU profiles.
func (p *profiler) start() error {
	if p.dir == "" {
		return nil
	}
	for _, name := range profiled {
		if err := syscall.Kill(p.house.pid(name), syscall.SIGUSR1); err != nil {
			return fmt.Errorf("profile %s: %w", name, err)
		}
	}
	return nil
}

// stop ends the CPU profiles and names them after a section.
func (p *profiler) stop(section string) error { return p.collect(syscall.SIGUSR1, "cpu", section) }

// heap writes what the heaps hold now.
func (p *profiler) heap(moment string) error { return p.collect(syscall.SIGUSR2, "heap", moment) }

func (p *profiler) collect(ask syscall.Signal, kind, name string) error {
	if p.dir == "" {
		return nil
	}
	for _, process := range profiled {
		pid := p.house.pid(process)
		if err := syscall.Kill(pid, ask); err != nil {
			return fmt.Errorf("profile %s: %w", process, err)
		}
		written := filepath.Join(p.dir, fmt.Sprintf("%d.%s", pid, kind))
		there := func() bool { _, err := os.Stat(written); return err == nil }
		if err := await(context.Background(), 10*time.Second, there); err != nil {
			return fmt.Errorf("profile %s: %w", process, err)
		}
		if err := os.Rename(written, filepath.Join(p.dir, fmt.Sprintf("%s-%s.%s.pprof", name, process, kind))); err != nil {
			return err
		}
	}
	return nil
}
