package main

import (
	"context"
	"fmt"
)

// curve25519 is the one key exchange that every sshd and gateway here speaks.
const curve25519 = "KexAlgorithms=curve25519-sha256,curve25519-sha256@libssh.org"

// latency measures ssh host true, with one key exchange on all hops and with each client's own choice.
func latency(ctx context.Context, s *street, p plan) error {
	p = p.or(plan{n: 25})
	hops, err := s.hops(ctx)
	if err != nil {
		return err
	}
	for _, kex := range []struct {
		title   string
		options []string
	}{{"curve25519 on all hops", []string{curve25519}}, {"the client's own key exchange", nil}} {
		same, err := each(hops, s.dir, kex.options...)
		if err != nil {
			return err
		}
		if err := compareConnecting(ctx, "ssh host true, "+kex.title, same, p.n); err != nil {
			return err
		}
	}
	return nil
}

// compareConnecting connects n times by every hop in turn.
func compareConnecting(ctx context.Context, title string, hops []hop, n int) error {
	walls, cpus := make([][]float64, len(hops)), make([]float64, len(hops))
	for round := range n + 1 { // the first warms up
		for i, h := range hops {
			t, err := h.run(h.command(ctx, []string{"-T"}, "true"))
			if err != nil {
				return err
			}
			if round > 0 {
				walls[i] = append(walls[i], ms(t.wall))
				cpus[i] += ms(t.spent.all())
			}
		}
	}
	table(fmt.Sprintf("%s, %d rounds", title, n), "hop", "ms p50", "ms p99", "ratio to direct", "added ms", "middle CPU ms each")
	for i, h := range hops {
		p50 := median(walls[i])
		row(h.name, f("%.0f", p50), f("%.0f", quantile(walls[i], 0.99)), f("%.2f", median(ratios(walls[i], walls[0]))),
			f("%.0f", p50-median(walls[0])), f("%.1f", cpus[i]/float64(n)))
	}
	return nil
}
