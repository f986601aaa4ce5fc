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
// and N set how much is done. "bench certificate DEMO_DIR LOGIN" only writes a certificate for the SSH port. CPU seconds are those of the middle: sekishod, the connectors and sekisho connect, or
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

// section is one thing that is measured.
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
	case len(os.Args) == 4 && os.Args[1] == "certificate":
		err = writeCertificate(ctx, os.Args[2], os.Args[3])
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

// writeCertificate leaves a key and a certificate for db1 at the SSH port in the folder of a house that runs already,
// for a harness that knows nothing but ssh.
func writeCertificate(ctx context.Context, demo, login string) error {
	h, err := readHouse(filepath.Join(demo, "demo.json"))
	if err != nil {
		return err
	}
	p, err := signIn(ctx, h, "mei")
	if err != nil {
		return err
	}
	path, err := p.certify(ctx, "db1", login, filepath.Join(demo, "bench-db1"))
	fmt.Println(path)
	return err
}
