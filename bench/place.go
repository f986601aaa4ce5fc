package main

import (
	"os/exec"
	"runtime"
)

// place is a thread that starts processes. They get its namespaces, and Pdeathsig tells them of its end, which ours
// brings about as well.
type place struct{ jobs chan func() }

// newPlace makes a thread and lets it enter what it is for.
func newPlace(enter func() error) (*place, error) {
	p := &place{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		for job := range p.jobs {
			job()
		}
	}()
	err := p.do(enter)
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// do runs a job on the thread.
func (p *place) do(job func() error) error {
	done := make(chan error)
	p.jobs <- func() { done <- job() }
	return <-done
}

func (p *place) start(cmd *exec.Cmd) error { return p.do(cmd.Start) }

func (p *place) close() { close(p.jobs) }
