package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// echo measures one keystroke there and back, with a terminal and nothing else going on.
func echo(ctx context.Context, s *street, p plan) error {
	p = p.or(plan{rounds: 5, n: 100})
	hops, err := s.hops(ctx)
	if err == nil {
		hops, err = each(hops, s.dir, curve25519, "Ciphers=aes128-gcm@openssh.com")
	}
	if err != nil {
		return err
	}
	keys := make([][]float64, len(hops))  // all
	round := make([][]float64, len(hops)) // the median of each round
	for range p.rounds {
		for i, h := range hops {
			times, err := h.keystrokes(ctx, p.n)
			if err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			keys[i] = append(keys[i], times...)
			round[i] = append(round[i], median(times))
		}
	}
	table(fmt.Sprintf("Keystroke echo, alone, %d keys in %d rounds", p.n*p.rounds, p.rounds), "hop", "p50 ms", "p99 ms", "ratio of p50 to direct")
	for i, h := range hops {
		row(h.name, f("%.2f", quantile(keys[i], 0.5)), f("%.2f", quantile(keys[i], 0.99)), f("%.2f", median(ratios(round[i], round[0]))))
	}
	return nil
}

// keystrokes types n keys, each after the one before has come back and a little while.
func (h hop) keystrokes(ctx context.Context, n int) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := h.command(ctx, []string{"-tt"}, "stty raw -echo; echo ready; exec cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	times, err := typeKeys(in, out, n)
	in.Close()
	cmd.Process.Kill()
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
