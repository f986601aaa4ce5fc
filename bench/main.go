// Command bench measures the house, always beside plain OpenSSH: hops take turns within every round, so that whatever
// else the machine does falls on all of them alike, and ratios are medians of the rounds' pairs. The one exception is the
// ratio of p99, which is of all rounds together: one round has too few of its slowest.
//
//	certificates  issuing over HTTPS, beside step-ca where it can be built, and beside signing alone
//	latency       ssh host true
//	bulk          bytes both ways, by a program at the other end
//	sftp          one big file both ways
//	compact       how large recordings are, beside asciicast through gzip
//	sealing       sealing a recording with nothing else to do
//	recording     the same bytes and keys not recorded, recorded bounded, and strictly
//	idle          what an idle recorded session keeps in memory, 300 of them, to a real sshd
//	idle2000      the same with 2,000, to a light target
//	echo          one keystroke there and back
//	echobulk      the same beside a download by the same way
//	delay         latency, bulk and sftp when the user is 100 ms away
//
// It starts a house of its own (the demo), an sshd for the direct way and a bastion for ssh -J, prints Markdown
// tables, and asserts nothing about time. BENCH_ONLY names some of the sections (separated by commas); ROUNDS, MB
// and N set how much is done, CALLERS how many ask for certificates at once. BENCH_STEPCA names a step-ca that is there, or
// says "no"; otherwise the go command builds one into the user's cache, where it stays. CPU
// seconds are those of the middle: sekishod, the connectors and sekisho connect, or the bastion and the second ssh.
//
// BENCH_PROFILE names a folder that gets profiles of sekishod and the connectors, made while each section runs; run.sh
// builds the programs for that. "bench certificate DEMO_DIR LOGIN" only writes a certificate for the SSH port.
package main

import (
	"context"
	"errors"
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
	fresh   bool // in a house of its own, where nothing has used memory before
	apart   bool // in a network namespace of its own, after all others
}

// leftOut is the error of a section that cannot be measured here: the reason.
type leftOut string

func (l leftOut) Error() string { return string(l) }

var sections = []section{
	{name: "idle", measure: idle, fresh: true}, {name: "idle2000", measure: crowd, fresh: true},
	{name: "certificates", measure: certificates}, {name: "latency", measure: latency}, {name: "bulk", measure: bulk}, {name: "sftp", measure: files},
	{name: "compact", measure: compact}, {name: "sealing", measure: sealing}, {name: "recording", measure: recorded}, {name: "echo", measure: echo}, {name: "echobulk", measure: beside},
	{name: "delay", measure: delay, apart: true},
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "certificate":
		err = writeCertificate(ctx, os.Args[2], os.Args[3])
	case len(os.Args) == 3 && os.Args[1] == "apart":
		err = runAlone(ctx, os.Args[2])
	default:
		err = run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// run measures what BENCH_ONLY names, or everything.
func run(ctx context.Context) error {
	var only []string
	if v := os.Getenv("BENCH_ONLY"); v != "" {
		only = strings.Split(v, ",")
	}
	for _, name := range only {
		if !slices.ContainsFunc(sections, func(s section) bool { return s.name == name }) {
			return fmt.Errorf("BENCH_ONLY: there is no section %q", name)
		}
	}
	fmt.Printf("%s, %d cores, %s, %s\n", cpuModel(), runtime.NumCPU(), sshVersion(), runtime.Version())
	var here, apart []string
	for _, s := range sections {
		switch {
		case only != nil && !slices.Contains(only, s.name):
		case s.fresh:
			if err := runHere(ctx, s.name); err != nil {
				return err
			}
		case s.apart:
			apart = append(apart, s.name)
		default:
			here = append(here, s.name)
		}
	}
	if here != nil {
		if err := runHere(ctx, here...); err != nil {
			return err
		}
	}
	for _, name := range apart {
		if err := runApart(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// runHere measures sections in one house.
func runHere(ctx context.Context, names ...string) error {
	if err := adoptOrphans(); err != nil {
		return err
	}
	defer reapAll()
	s, err := openStreet(ctx, os.Getenv("BENCH_BIN"))
	if err != nil {
		return err
	}
	defer s.close()
	for _, section := range sections {
		if !slices.Contains(names, section.name) {
			continue
		}
		if err := section.run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", section.name, err)
		}
	}
	return nil
}

func (s section) run(ctx context.Context, on *street) error {
	begun := time.Now()
	if err := on.profiler.start(); err != nil {
		return err
	}
	err := s.measure(ctx, on, plan{number("ROUNDS"), number("N"), number("MB")})
	var reason leftOut
	if errors.As(err, &reason) {
		fmt.Printf("\n%s is left out: %s\n", s.name, reason)
		err = nil
	}
	fmt.Fprintf(os.Stderr, "%s: %.0f s\n", s.name, time.Since(begun).Seconds())
	return errors.Join(err, on.profiler.stop(s.name))
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
	if err != nil {
		return err
	}
	fmt.Println(path)
	return nil
}
