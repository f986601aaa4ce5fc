package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is one that the demo started and will end. One that dies by itself is started again, so that one can
// see how the house takes a crash.
type process struct {
	PID  int      `json:"pid"`
	Argv []string `json:"argv"`
	Log  string   `json:"log"`

	name     string
	mu       sync.Mutex
	stopping bool
	done     chan struct{} // closed when it will not be started again
}

func (h *house) run(name string, argv ...string) (*process, error) {
	p := &process{Argv: argv, name: name, Log: filepath.Join(h.Dir, "log", name+".log"), done: make(chan struct{})}
	cmd, err := p.launch()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	h.Processes[name] = p
	go func() {
		defer close(p.done)
		for cmd != nil {
			cmd.Wait()
			cmd = p.again(h)
		}
	}()
	return p, nil
}

func (p *process) launch() (*exec.Cmd, error) {
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(p.Argv[0], p.Argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.PID = cmd.Process.Pid
	return cmd, nil
}

// again starts a process that ended although nobody stopped it, after a while and until it stays up.
func (p *process) again(h *house) *exec.Cmd {
	for {
		time.Sleep(time.Second)
		cmd, over := p.onceMore(h)
		if cmd != nil || over {
			return cmd
		}
	}
}

// onceMore starts the process and tells so in the house's file, unless it is over: somebody stopped it meanwhile.
func (p *process) onceMore(h *house) (cmd *exec.Cmd, over bool) {
	h.restarts.Lock()
	defer h.restarts.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return nil, true
	}
	cmd, err := p.launch()
	if err != nil {
		return nil, false
	}
	fmt.Fprintf(os.Stderr, "%s had ended by itself; started again\n", p.name)
	h.save()
	return cmd, false
}

// stop ends the process and whatever it started in its group.
func (p *process) stop() {
	p.mu.Lock()
	p.stopping = true
	pid := p.PID
	p.mu.Unlock()
	syscall.Kill(-pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(8 * time.Second):
		syscall.Kill(-pid, syscall.SIGKILL)
		<-p.done
	}
}

// stop ends everything, doors before rooms.
func (h *house) stop() {
	var all sync.WaitGroup
	for _, name := range []string{"connector-web1", "connector-db1", "sekishod", "sshd-web1", "sshd-db1", "idp"} {
		if p := h.Processes[name]; p != nil {
			all.Go(p.stop)
		}
	}
	all.Wait()
}

// tool runs one of our programs to its end.
func (h *house) tool(ctx context.Context, stdin *os.File, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(h.Bin, name), args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = stdin
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), fmt.Errorf("%s %v: %w\n%s", name, args, err, exit.Stderr)
	}
	return string(out), err
}

// await asks until it is true, for at most twenty seconds.
func await(ctx context.Context, what string, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
