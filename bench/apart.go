package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// runApart measures a section in a process of its own, whose network namespace nobody else is in: its 127.0.0.1 is its
// own, and what it sets up goes when it ends, however it ends. Without root a user namespace gives the right to do so;
// nobody but us is in that, so that all runs as who we are.
func runApart(ctx context.Context, name string) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "apart", name)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN}
	}
	life, err := cmd.StdinPipe() // closes when we are gone
	if err != nil {
		return err
	}
	defer life.Close()
	if err := cmd.Start(); err != nil {
		fmt.Printf("\n%s is left out: no network namespace can be made: %v\n", name, err)
		return nil
	}
	return cmd.Wait()
}

// runAlone is what the process of runApart does.
func runAlone(ctx context.Context, name string) error {
	err := ip(ctx, "link", "set", "lo", "up")
	if errors.Is(err, exec.ErrNotFound) {
		err = leftOut("ip is missing (Debian package iproute2)")
	}
	if err != nil {
		fmt.Printf("\n%s is left out: %v\n", name, err)
		return nil
	}
	return runHere(withParent(ctx), name)
}

// withParent ends when standard input does.
func withParent(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}
