package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// hop is one way to a shell.
type hop struct {
	name   string
	args   []string // of ssh and sftp, before the host
	host   string
	env    []string
	middle middle
	from   *place // where its client runs; nil is here
	// config is an ssh_config that speaks of both legs, where options on the command line would reach only one.
	config string
}

// with gives the hop with options for every leg that the client negotiates, such as Ciphers=X.
func (h hop) with(dir string, options ...string) (hop, error) {
	if h.config == "" {
		h.args = append([]string{}, h.args...)
		for _, o := range options {
			h.args = append(h.args, "-o", o)
		}
		return h, nil
	}
	text, err := os.ReadFile(h.config)
	if err != nil {
		return h, err
	}
	f, err := os.CreateTemp(dir, "jump-*")
	if err != nil {
		return h, err
	}
	defer f.Close()
	var more strings.Builder
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		fmt.Fprintf(&more, "  %s %s\n", name, value)
	}
	_, err = f.WriteString(string(text) + more.String())
	h.args = []string{"-F", f.Name()}
	return h, err
}

// command is ssh with a command for the other end.
func (h hop) command(ctx context.Context, flags []string, command string) *exec.Cmd {
	return h.program(ctx, "ssh", append(flags, h.host, command)...)
}

// program is ssh or sftp; when ctx ends, so do it and its helpers.
func (h hop) program(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, slices.Concat(h.args, args)...)
	cmd.Env = append(os.Environ(), h.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func (h hop) start(cmd *exec.Cmd) error {
	if h.from != nil {
		return h.from.start(cmd)
	}
	return cmd.Start()
}

// taken is what one run took.
type taken struct {
	wall  time.Duration
	spent spent
}

// run runs a client once. Its helpers (sekisho connect, the ssh of -J) are children that it does not wait for; they
// come to us, their adopted parent, and what they used is the middle's.
func (h hop) run(cmd *exec.Cmd) (taken, error) {
	before := h.middle.spent()
	begun := time.Now()
	if err := h.finish(cmd, h.start(cmd)); err != nil {
		return taken{}, err
	}
	wall := time.Since(begun)
	helpers := reapGroup(cmd.Process.Pid)
	return taken{wall, h.middle.spent().since(before, helpers)}, nil
}

// finish waits for a client that was started.
func (h hop) finish(cmd *exec.Cmd, err error) error {
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", h.name, strings.Join(cmd.Args, " "), err)
	}
	return nil
}

// hops are the ways that are compared, the direct one first. At the SSH port a certificate is shown that was made
// beforehand, as a peer's would be.
func (s *street) hops(ctx context.Context) ([]hop, error) {
	mei := s.house.People["mei"]
	env := []string{"SEKISHO_HOME=" + mei.Home, "SEKISHO_BROWSER=/bin/false", "PATH=" + s.house.Bin + ":" + os.Getenv("PATH")}
	login := s.house.Login + "@"
	key, err := s.mei.certify(ctx, "db1", s.house.Login, filepath.Join(s.dir, "port-db1"))
	if err != nil {
		return nil, err
	}
	port := append([]string{"-F", "none", "-i", key, "-o", "CertificateFile=" + key + "-cert.pub", "-o", fmt.Sprintf("Port=%d", s.house.SSHPort)}, trusting...)
	doors := middle{sekishod: s.house.pid("sekishod"), connectors: []int{s.house.pid("connector-web1"), s.house.pid("connector-db1")}}
	return []hop{
		s.direct,
		s.bastion,
		{name: "web1: pass door", args: []string{"-F", mei.SSHConfig}, host: login + "web1", env: env, middle: doors},
		{name: "db1: audit door, recorded", args: []string{"-F", mei.SSHConfig}, host: login + "db1", env: env, middle: doors},
		{name: "db1: SSH port, recorded", args: port, host: s.house.Login + "%db1@127.0.0.1", middle: doors},
	}, nil
}

// audited leaves out the hops that the audit door is not compared with everywhere: the bastion and the pass door.
func audited(hops []hop) (list []hop) {
	for _, h := range hops {
		if h.config == "" && !strings.HasPrefix(h.name, "web1") {
			list = append(list, h)
		}
	}
	return list
}

// each gives all hops the same options.
func each(hops []hop, dir string, options ...string) ([]hop, error) {
	list := make([]hop, len(hops))
	for i, h := range hops {
		var err error
		if list[i], err = h.with(dir, options...); err != nil {
			return nil, err
		}
	}
	return list, nil
}
