package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// certificates measures AccessService.Connect as a client calls it: proof of possession, policy, a durable audit
// line, certificate and token. The load runs on the same cores.
func certificates(ctx context.Context, s *street, p plan) error {
	p = p.or(plan{rounds: 5, n: 1000})
	floor, err := signing(p.n)
	if err != nil {
		return err
	}
	table(fmt.Sprintf("Certificates: AccessService.Connect, %d calls, medians of %d rounds. Signing alone, in a loop: %.3f ms CPU each.", p.n, p.rounds, ms(floor)),
		"callers at once", "calls/s", "p50 ms", "p99 ms", "sekishod CPU ms each", "sekishod RSS MiB")
	loads := []int{1, 8, 64}
	got := map[int]*certified{}
	pid := s.house.pid("sekishod")
	for range p.rounds + 1 { // the first warms up
		for _, c := range loads {
			one, err := s.certifyMany(ctx, c, p.n, pid)
			if err != nil {
				return err
			}
			if got[c] == nil {
				got[c] = &certified{}
				continue
			}
			got[c].add(one)
		}
	}
	for _, c := range loads {
		g := got[c]
		row(fmt.Sprint(c), f("%.0f", median(g.rate)), f("%.2f", median(g.p50)), f("%.1f", median(g.p99)), f("%.2f", median(g.cpu)), f("%.0f", median(g.rss)))
	}
	return nil
}

// certified is what rounds gave: calls a second, milliseconds, CPU milliseconds each, MiB.
type certified struct{ rate, p50, p99, cpu, rss []float64 }

func (c *certified) add(d *certified) {
	c.rate, c.p50, c.p99 = append(c.rate, d.rate...), append(c.p50, d.p50...), append(c.p99, d.p99...)
	c.cpu, c.rss = append(c.cpu, d.cpu...), append(c.rss, d.rss...)
}

func (s *street) certifyMany(ctx context.Context, callers, calls, pid int) (*certified, error) {
	list := make([]*caller, callers)
	for i := range list {
		c, err := s.mei.caller("db1", s.house.Login)
		if err != nil {
			return nil, err
		}
		defer c.http.CloseIdleConnections()
		if _, err := c.connect(ctx); err != nil { // opens the connection
			return nil, err
		}
		list[i] = c
	}
	times := make([][]float64, callers)
	errs := make(chan error, callers)
	var all sync.WaitGroup
	before, start := cpuOf([]int{pid}), time.Now()
	for i, c := range list {
		all.Go(func() {
			for range share(calls, callers, i) {
				begun := time.Now()
				if _, err := c.connect(ctx); err != nil {
					errs <- err
					return
				}
				times[i] = append(times[i], ms(time.Since(begun)))
			}
		})
	}
	all.Wait()
	took, used := time.Since(start), cpuOf([]int{pid})-before
	select {
	case err := <-errs:
		return nil, err
	default:
	}
	var flat []float64
	for _, t := range times {
		flat = append(flat, t...)
	}
	n := float64(len(flat))
	rss, _ := memoryOf(pid)
	return &certified{[]float64{n / took.Seconds()}, []float64{quantile(flat, 0.5)}, []float64{quantile(flat, 0.99)},
		[]float64{ms(used) / n}, []float64{float64(rss) / 1024}}, nil
}

// share is how many of n things the i-th of some people does, so that they do all of them.
func share(n, people, i int) int {
	if i < n%people {
		return n/people + 1
	}
	return n / people
}

// signing is the least a certificate costs: fill in, sign, marshal.
func signing(n int) (cpu time.Duration, err error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return 0, err
	}
	ca, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return 0, err
	}
	before := ownCPU()
	for i := range n {
		c := &ssh.Certificate{Key: ca.PublicKey(), Serial: uint64(i), CertType: ssh.UserCert, KeyId: "bench", ValidPrincipals: []string{"root:db1"},
			ValidBefore: ssh.CertTimeInfinity, Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": ""}}}
		if err := c.SignCert(rand.Reader, ca); err != nil {
			return 0, err
		}
		c.Marshal()
	}
	return (ownCPU() - before) / time.Duration(n), nil
}
