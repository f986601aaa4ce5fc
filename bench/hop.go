package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// hop is one way to a shell.
type hop struct {
	name string
	args []string // of ssh, before the host
	host string
	env  []string
	pids []int // processes of the middle that stay
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

func (h hop) command(ctx context.Context, flags []string, command string) *exec.Cmd {
	args := append(append(append([]string{}, h.args...), flags...), h.host, command)
	cmd := exec.CommandContext(ctx, "ssh", args...)
	cmd.Env = append(os.Environ(), h.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// taken is what one run took.
type taken struct {
	wall   time.Duration
	middle time.Duration // CPU of the processes between client and target
}

// run runs ssh once. Its helpers (sekisho connect, the ssh of -J) are children that it does not wait for; they come
// to us, their adopted parent, and what they used is the middle's.
func (h hop) run(cmd *exec.Cmd) (taken, error) {
	before := cpuOf(h.pids)
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return taken{}, fmt.Errorf("%s: %s: %w", h.name, strings.Join(cmd.Args, " "), err)
	}
	helpers := reapGroup(cmd.Process.Pid)
	return taken{wall, cpuOf(h.pids) - before + helpers}, nil
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
	port := append([]string{"-F", "none", "-i", key, "-o", "CertificateFile=" + key + "-cert.pub", "-p", fmt.Sprint(s.house.SSHPort)}, trusting...)
	return []hop{
		s.direct,
		s.bastion,
		{name: "web1: pass door", args: []string{"-F", mei.SSHConfig}, host: login + "web1", env: env, pids: s.house.pids()},
		{name: "db1: audit door, recorded", args: []string{"-F", mei.SSHConfig}, host: login + "db1", env: env, pids: s.house.pids()},
		{name: "db1: SSH port, recorded", args: port, host: s.house.Login + "%db1@127.0.0.1", pids: s.house.pids()},
	}, nil
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
