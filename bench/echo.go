package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync/atomic"
	"time"
)

// echo measures one keystroke there and back, with a terminal and nothing else going on.
func echo(ctx context.Context, s *street, p plan) error {
	p = p.or(plan{rounds: 5, n: 100})
	hops, err := s.hops(ctx)
	if err == nil {
		hops, err = each(hops, s.dir, curve25519, gcm)
	}
	if err != nil {
		return err
	}
	return compareTyping(ctx, p, "Keystroke echo, alone", hops, nil)
}

// beside measures keystrokes while a download takes the same way: held to some speed, and as fast as it goes.
func beside(ctx context.Context, s *street, p plan) error {
	p = p.or(plan{rounds: 3, n: 200})
	hops, err := s.hops(ctx)
	if err == nil {
		hops, err = each(hops, s.dir, curve25519, gcm)
	}
	if err != nil {
		return err
	}
	for _, b := range []*burden{{"a download held to 50 MB/s", 50e6}, {"a download at full speed", 0}} {
		if err := compareTyping(ctx, p, "Keystroke echo beside "+b.title, hops, b); err != nil {
			return err
		}
	}
	return nil
}

// burden is a download beside the keys.
type burden struct {
	title string
	rate  float64 // bytes a second; 0 is as fast as it goes
}

// compareTyping types p.n keys by every hop in turn, p.rounds times.
func compareTyping(ctx context.Context, p plan, title string, hops []hop, beside *burden) error {
	keys := make([][]float64, len(hops))  // all
	round := make([][]float64, len(hops)) // the median of each round
	speed := make([][]float64, len(hops)) // of the download, MB/s
	for range p.rounds {
		for i, h := range hops {
			times, mbs, err := h.typeBeside(ctx, p.n, beside)
			if err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			keys[i] = append(keys[i], times...)
			round[i] = append(round[i], median(times))
			speed[i] = append(speed[i], mbs)
		}
	}
	table(fmt.Sprintf("%s, %d keys in %d rounds", title, p.n*p.rounds, p.rounds),
		"hop", "p50 ms", "p99 ms", "ratio of p50 to direct", "ratio of p99", "download MB/s")
	slowest := quantile(keys[0], 0.99)
	for i, h := range hops {
		mbs := "-"
		if beside != nil {
			mbs = f("%.0f", median(speed[i]))
		}
		p99 := quantile(keys[i], 0.99)
		row(h.name, f("%.2f", quantile(keys[i], 0.5)), f("%.2f", p99), f("%.2f", median(ratios(round[i], round[0]))), f("%.2f", p99/slowest), mbs)
	}
	return nil
}

// typeBeside gives the times of n keys, and the speed of the download beside them.
func (h hop) typeBeside(ctx context.Context, n int, beside *burden) (times []float64, mbs float64, err error) {
	if beside == nil {
		times, err = h.keystrokes(ctx, n)
		return times, 0, err
	}
	d, err := h.download(ctx, beside.rate)
	if err != nil {
		return nil, 0, err
	}
	defer d.stop()
	time.Sleep(700 * time.Millisecond) // until it has its speed
	before, begun := d.n.Load(), time.Now()
	times, err = h.keystrokes(ctx, n)
	mbs = float64(d.n.Load()-before) / 1e6 / time.Since(begun).Seconds()
	if err == nil && d.n.Load() == before {
		err = errors.New("the download beside the keys stands still")
	}
	return times, mbs, err
}

// download is one that goes on until it is stopped.
type download struct {
	cmd  *exec.Cmd
	stop func()
	n    atomic.Int64 // bytes so far
}

func (h hop) download(ctx context.Context, rate float64) (*download, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	d := &download{cmd: h.command(ctx, []string{"-T"}, "exec cat /dev/zero")}
	out, err := d.cmd.StdoutPipe()
	if err == nil {
		err = h.start(d.cmd)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		d.read(out, rate)
	}()
	d.stop = func() {
		cancel()
		d.cmd.Wait()
		<-read
		reapGroup(d.cmd.Process.Pid)
	}
	return d, nil
}

// read takes the bytes, no faster than rate.
func (d *download) read(r io.Reader, rate float64) {
	buf := make([]byte, 64<<10)
	begun := time.Now()
	for {
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		if sum := d.n.Add(int64(n)); rate > 0 {
			time.Sleep(time.Until(begun.Add(time.Duration(float64(sum) / rate * float64(time.Second)))))
		}
	}
}

// keystrokes types n keys, each after the one before has come back and a little while.
func (h hop) keystrokes(ctx context.Context, n int) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// Newer ssh hides when keys are typed, by sending at fixed times: not what is measured here.
	open := []string{"-tt", "-o", "IgnoreUnknown=ObscureKeystrokeTiming", "-o", "ObscureKeystrokeTiming=no"}
	cmd := h.command(ctx, open, "stty raw -echo; echo ready; exec cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.start(cmd); err != nil {
		return nil, err
	}
	times, err := typeKeys(in, out, n)
	in.Close()
	cmd.Cancel() // with its helpers, which reapGroup waits for
	werr := cmd.Wait()
	reapGroup(cmd.Process.Pid)
	var exit *exec.ExitError
	if err == nil && werr != nil && !errors.As(werr, &exit) {
		err = werr
	}
	return times, err
}

func typeKeys(in io.Writer, out io.Reader, n int) ([]float64, error) {
	buf := make([]byte, 256)
	for seen := []byte{}; !bytes.Contains(seen, []byte("ready\n")); {
		n, err := out.Read(buf)
		if err != nil {
			return nil, fmt.Errorf("wait for the terminal: %w", err)
		}
		seen = append(seen, buf[:n]...)
	}
	const warm = 10
	times := make([]float64, 0, n)
	for i := range n + warm {
		time.Sleep(3 * time.Millisecond)
		start := time.Now()
		if _, err := in.Write([]byte{'a'}); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(out, buf[:1]); err != nil {
			return nil, err
		}
		if i >= warm {
			times = append(times, ms(time.Since(start)))
		}
	}
	return times, nil
}
