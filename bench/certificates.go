package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// certificates measures issuing over HTTPS: AccessService.Connect of the house, with proof of possession, policy, durable
// audit lines, certificate and token; CertificateService.Sign, which is the same without target and token; and in turn with
// them step-ca where it can be built. What makes the requests runs on the
// same cores; credentials are made before the clock starts, answers are looked at after it has stopped.
func certificates(ctx context.Context, s *street, p plan) error {
	p = p.or(plan{rounds: 5, n: 1000})
	loads, err := callersAtOnce()
	if err != nil {
		return err
	}
	if _, err := s.house.sekisho(ctx, "mei", "ca", "create", "bench"); err != nil {
		return err
	}
	issuers := []*issuer{s.connectIssuer(), s.signIssuer()}
	if peer, err := s.stepCA(ctx); err != nil {
		fmt.Printf("\nstep-ca is left out: %v\n", err)
	} else {
		issuers = append(issuers, peer)
	}
	for _, i := range issuers {
		if err := i.open(ctx, loads[len(loads)-1]); err != nil {
			return fmt.Errorf("%s: %w", i.name, err)
		}
		defer i.close()
	}
	loops, err := signingLoops()
	if err != nil {
		return err
	}
	for round := range p.rounds + 1 { // the first warms up
		if err := oneRound(ctx, loops, issuers, loads, p.n, round > 0); err != nil {
			return err
		}
	}
	tellLoops(loops, p)
	tellIssuers(issuers, loads, p)
	return nil
}

// oneRound lets loops and issuers take turns, and keeps what came of it if it counts.
func oneRound(ctx context.Context, loops []*loop, issuers []*issuer, loads []int, n int, counts bool) error {
	for _, l := range loops {
		if err := l.run(n); err != nil {
			return err
		}
	}
	for _, c := range loads {
		for _, i := range issuers {
			one, err := i.round(ctx, c, n)
			if err != nil {
				return fmt.Errorf("%s, %d callers: %w", i.name, c, err)
			}
			if counts {
				i.add(c, one)
			}
		}
	}
	return nil
}

// callersAtOnce is what CALLERS names, smallest first by habit.
func callersAtOnce() ([]int, error) {
	text := os.Getenv("CALLERS")
	if text == "" {
		return []int{1, 8, 64}, nil
	}
	var loads []int
	for one := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(one)
		if err != nil || n < 1 || n > 1000 || len(loads) > 0 && n <= loads[len(loads)-1] {
			return nil, fmt.Errorf("CALLERS %q: want numbers of callers, growing, up to 1000", text)
		}
		loads = append(loads, n)
	}
	return loads, nil
}

func tellIssuers(issuers []*issuer, loads []int, p plan) {
	table(fmt.Sprintf("Certificates over HTTPS, %d calls, medians of %d rounds, issuers in turn; ratios are to the last issuer", p.n, p.rounds),
		"issuer", "callers at once", "calls/s", "p50 ms", "p99 ms", "CPU ms each", "caller's CPU ms each", "RSS MiB", "calls/s, ratio", "CPU, ratio", "p99, ratio")
	yard := issuers[len(issuers)-1]
	for _, i := range issuers {
		for _, c := range loads {
			g, y := i.got[c], yard.got[c]
			cells := []string{i.name, fmt.Sprint(c), f("%.0f", median(g.rate)), f("%.2f", quantile(g.times, 0.5)), f("%.1f", quantile(g.times, 0.99)), f("%.2f", median(g.cpu)),
				f("%.2f", median(g.client)), f("%.0f", median(g.rss)), "", "", ""}
			if i != yard {
				cells[8], cells[9] = f("%.2f", median(ratios(g.rate, y.rate))), f("%.2f", median(ratios(g.cpu, y.cpu)))
				cells[10] = f("%.2f", quantile(g.times, 0.99)/quantile(y.times, 0.99))
			}
			row(cells...)
		}
	}
	table("Memory of the issuing process, MiB, all rounds together", "issuer", "resident after a round", "most resident")
	for _, i := range issuers {
		var all []float64
		for _, c := range loads {
			all = append(all, i.got[c].rss...)
		}
		row(i.name, f("%.0f", median(all)), f("%.0f", i.peak()))
	}
}

// loop is signing and nothing else.
type loop struct {
	name string
	ca   ssh.Signer
	cpu  []float64 // ms each
	rate []float64
}

func signingLoops() ([]*loop, error) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	var all []*loop
	for _, key := range []crypto.Signer{edwards, p256} {
		signer, err := ssh.NewSignerFromSigner(key)
		if err != nil {
			return nil, err
		}
		all = append(all, &loop{name: signer.PublicKey().Type(), ca: signer})
	}
	return all, nil
}

// run does the least that a certificate costs: fill in, sign, marshal.
func (l *loop) run(n int) error {
	before, start := ownCPU(), time.Now()
	for i := range n {
		c := &ssh.Certificate{Key: l.ca.PublicKey(), Serial: uint64(i), CertType: ssh.UserCert, KeyId: "bench", ValidPrincipals: []string{"root:db1"},
			ValidBefore: ssh.CertTimeInfinity, Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": ""}}}
		if err := c.SignCert(rand.Reader, l.ca); err != nil {
			return err
		}
		c.Marshal()
	}
	l.cpu = append(l.cpu, ms(ownCPU()-before)/float64(n))
	l.rate = append(l.rate, float64(n)/time.Since(start).Seconds())
	return nil
}

func tellLoops(loops []*loop, p plan) {
	table(fmt.Sprintf("Signing alone, in a loop: fill in, sign, marshal; %d certificates, medians of %d rounds", p.n, p.rounds), "CA key", "certificates/s", "CPU ms each")
	for _, l := range loops {
		row(l.name, f("%.0f", median(l.rate[1:])), f("%.3f", median(l.cpu[1:])))
	}
}

// share is how many of n things the i-th of some people does, so that they do all of them.
func share(n, people, i int) int {
	if i < n%people {
		return n/people + 1
	}
	return n / people
}
