// Command bench measures the house on loopback, always beside plain OpenSSH: hops take turns within every round, so
// that whatever else the machine does falls on all of them alike, and ratios are medians of the rounds' pairs.
//
//	certificates  AccessService.Connect: policy, durable audit line, certificate and token
//	latency       ssh host true
//	bulk          bytes both ways
//	idle          what an idle recorded session keeps in memory
//	echo          one keystroke there and back
//
// It starts a house of its own (the demo), an sshd for the direct way and a bastion for ssh -J, prints Markdown
// tables, and asserts nothing about time. BENCH_ONLY names some of the sections (separated by commas), ROUNDS, MB
// and N set how much is done, CPU seconds are those of the middle: sekishod, the connectors and sekisho connect, or
// the bastion and the second ssh.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// section is one thing that is measured. n is what N sets, rounds what ROUNDS sets; 0 keeps the section's own.
type section struct {
	name    string
	measure func(context.Context, *street, plan) error
}

var sections = []section{
	{"certificates", certificates}, {"latency", latency}, {"bulk", bulk}, {"idle", idle}, {"echo", echo},
}

// plan says how much is done; zero means the section's own choice.
type plan struct{ rounds, n, mb int }

func (p plan) or(q plan) plan {
	if p.rounds == 0 {
		p.rounds = q.rounds
	}
	if p.n == 0 {
		p.n = q.n
	}
	if p.mb == 0 {
		p.mb = q.mb
	}
	return p
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "certificate":
		err = writeCertificate(ctx, os.Args[2])
	default:
		err = run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	p := plan{number("ROUNDS"), number("N"), number("MB")}
	var only []string
	if v := os.Getenv("BENCH_ONLY"); v != "" {
		only = strings.Split(v, ",")
	}
	if err := adoptOrphans(); err != nil {
		return err
	}
	s, err := openStreet(ctx, os.Getenv("BENCH_BIN"))
	if err != nil {
		return err
	}
	defer s.close()
	fmt.Printf("%s, %d cores, %s, %s\n", cpuModel(), runtime.NumCPU(), sshVersion(), runtime.Version())
	for _, section := range sections {
		if only != nil && !slices.Contains(only, section.name) {
			continue
		}
		begun := time.Now()
		if err := section.measure(ctx, s, p); err != nil {
			return fmt.Errorf("%s: %w", section.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %.0f s\n", section.name, time.Since(begun).Seconds())
	}
	return nil
}

func number(name string) int {
	n, _ := strconv.Atoi(os.Getenv(name))
	return max(n, 0)
}

// writeCertificate leaves a key, a certificate for db1 at the SSH port and what else a harness needs in a folder,
// for a house that runs already and whose demo.json is there.
func writeCertificate(ctx context.Context, demo string) error {
	h, err := readHouse(filepath.Join(demo, "demo.json"))
	if err != nil {
		return err
	}
	p, err := signIn(ctx, h, "mei")
	if err != nil {
		return err
	}
	for _, target := range []string{"web1", "db1"} {
		path, err := p.certify(ctx, target, h.Login, filepath.Join(demo, "bench-"+target))
		if err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}
