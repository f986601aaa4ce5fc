package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// bulk measures bytes both ways: AES-GCM on all hops, and whatever the client prefers.
func bulk(ctx context.Context, s *street, p plan) error {
	p = p.or(plan{rounds: 5, mb: 256})
	hops, err := s.hops(ctx)
	if err != nil {
		return err
	}
	for _, ciphers := range []struct {
		title   string
		options []string
	}{{"AES-GCM on all hops", []string{curve25519, "Ciphers=aes128-gcm@openssh.com"}}, {"the client's own ciphers", []string{curve25519}}} {
		same, err := each(hops, s.dir, ciphers.options...)
		if err != nil {
			return err
		}
		for _, up := range []bool{false, true} {
			if err := s.carry(ctx, p, ciphers.title, same, up); err != nil {
				return err
			}
		}
	}
	return nil
}

// carry moves p.mb MB through every hop in turn, p.rounds times.
func (s *street) carry(ctx context.Context, p plan, title string, hops []hop, up bool) error {
	rates, cpus := make([][]float64, len(hops)), make([][]float64, len(hops))
	for range p.rounds {
		for i, h := range hops {
			t, err := h.carry(ctx, int64(p.mb)*1e6, up)
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], float64(p.mb)/t.wall.Seconds())
			cpus[i] = append(cpus[i], t.middle.Seconds()/float64(p.mb)*1000)
		}
	}
	way := "down"
	if up {
		way = "up"
	}
	table(fmt.Sprintf("Bulk %s, %s, %d MB, medians of %d rounds", way, title, p.mb, p.rounds), "hop", "MB/s", "ratio to direct", "middle CPU s/GB")
	for i, h := range hops {
		row(h.name, f("%.0f", median(rates[i])), f("%.2f", median(ratios(rates[i], rates[0]))), f("%.2f", median(cpus[i])))
	}
	return nil
}

// carry moves size bytes once. Connecting counts; it is small beside the rest and the same work for all.
func (h hop) carry(ctx context.Context, size int64, up bool) (taken, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if up {
		cmd := h.command(ctx, []string{"-T"}, "cat >/dev/null")
		zero, err := os.Open("/dev/zero")
		if err != nil {
			return taken{}, err
		}
		defer zero.Close()
		cmd.Stdin = io.LimitReader(zero, size)
		return h.run(cmd)
	}
	count := &counter{}
	cmd := h.command(ctx, []string{"-T"}, fmt.Sprintf("head -c %d /dev/zero", size))
	cmd.Stdout = count
	t, err := h.run(cmd)
	if err == nil && count.n != size {
		err = fmt.Errorf("%s: %d bytes arrived of %d", h.name, count.n, size)
	}
	return t, err
}

// counter takes bytes and only counts them.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
