package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"
)

// mode is a way of being recorded; each is that of another person, by policy.
type mode struct{ name, person, audit string }

var modes = []mode{
	{"not recorded", "hana", ""},
	{"bounded (1 MiB, 1 s)", "ken", `@audit("bounded")`},
	{"strict", "mei", `@audit("strict")`},
}

// writeModes puts the policies in force that say how each person is recorded, until lift is called.
func (s *street) writeModes() (lift func(), err error) {
	var text []byte
	for _, m := range modes {
		text = fmt.Appendf(text, "@id(\"mode-%s\") %s @ttl(\"1h\")\npermit (principal == Person::\"%s@example.com\", action == Action::\"connect\", resource)\n"+
			"when { (resource.labels.contains(\"env:modes\") || resource.labels.contains(\"env:dev\")) && resource.logins.contains(context.login) };\n",
			m.person, m.audit, m.person)
	}
	file := filepath.Join(s.house.Policies, "modes.cedar")
	const taken = 3 * time.Second // until policies are taken over
	lift = func() {
		os.Remove(file)
		time.Sleep(taken)
	}
	err = os.WriteFile(file, text, 0o644)
	time.Sleep(taken)
	return lift, err
}

// recorded measures what recording costs: the same sessions not recorded, bounded and strict, in turn.
func recorded(ctx context.Context, s *street, p plan) error {
	lift, err := s.writeModes()
	if err != nil {
		return err
	}
	defer lift()
	people := map[string]*person{"mei": s.mei}
	for _, m := range modes {
		if people[m.person] == nil {
			if people[m.person], err = signIn(ctx, s.house, m.person); err != nil {
				return err
			}
		}
	}
	if err := s.compareRecordedMoves(ctx, p, people); err != nil {
		return err
	}
	if _, err := s.lightTarget(ctx, "modes1", "--label", "env:modes"); err != nil {
		return err
	}
	counts := []int{1, 100, 1000}
	if p.n > 0 {
		counts = []int{p.n}
	}
	for _, n := range counts {
		if err := s.compareCrowds(ctx, p.or(plan{rounds: 2}).rounds, n, people); err != nil {
			return err
		}
	}
	return nil
}

// compareRecordedMoves downloads what compresses well, what compresses a little, and what does not, to each person.
func (s *street) compareRecordedMoves(ctx context.Context, p plan, people map[string]*person) error {
	p = p.or(plan{rounds: 5, mb: 256})
	hops := []hop{s.direct}
	for _, m := range modes {
		key, err := people[m.person].certify(ctx, "web1", s.house.Login, filepath.Join(s.dir, "modes-web1-"+m.person))
		if err != nil {
			return err
		}
		args := append([]string{"-F", "none", "-i", key, "-o", "CertificateFile=" + key + "-cert.pub", "-o", fmt.Sprintf("Port=%d", s.house.SSHPort)}, trusting...)
		hops = append(hops, hop{name: m.name, args: args, host: s.house.Login + "%web1@127.0.0.1",
			middle: middle{sekishod: s.house.pid("sekishod"), connectors: []int{s.house.pid("connector-web1")}}})
	}
	hops, err := each(hops, s.dir, curve25519, gcm)
	if err != nil {
		return err
	}
	random, err := s.file(int64(p.mb) * 1e6)
	if err != nil {
		return err
	}
	text, err := s.listing(int64(p.mb) * 1e6)
	if err != nil {
		return err
	}
	for _, what := range []struct{ title, command string }{
		{"random bytes", "cat " + random}, {"a listing of files", "cat " + text}, {"zeros", fmt.Sprintf("head -c %d /dev/zero", int64(p.mb)*1e6)},
	} {
		if err := s.compareMoving(ctx, p, "SSH port, down, "+what.title, hops, move{"down", says(what.command)}); err != nil {
			return err
		}
	}
	return nil
}

// listing gives a file of size bytes with what find prints.
func (s *street) listing(size int64) (string, error) {
	return s.kept(fmt.Sprintf("listing-%d", size), size, func(w io.Writer) (err error) {
		out, left := bufio.NewWriter(w), size
		for left > 0 && err == nil {
			err = fs.WalkDir(os.DirFS("/usr"), ".", func(name string, _ fs.DirEntry, _ error) error {
				line := "/usr/" + name + "\n"
				line = line[:min(int64(len(line)), left)]
				left -= int64(len(line))
				if _, err := out.WriteString(line); err != nil || left == 0 {
					return cmp.Or(err, fs.SkipAll)
				}
				return nil
			})
		}
		return errors.Join(err, out.Flush())
	})
}

// crowd of people who type.
type typing struct {
	keys         []float64 // times, ms
	cpu          time.Duration
	wall         time.Duration
	syncs, ahead float64
	pss          int // KiB, of sekishod, which has served the sessions before as well
}

// compareCrowds has n sessions typed in at once, by each mode in turn.
func (s *street) compareCrowds(ctx context.Context, rounds, n int, people map[string]*person) error {
	all := make([]typing, len(modes))
	middles := make([][]float64, len(modes))
	for range rounds {
		for i, m := range modes {
			t, err := s.crowdOf(ctx, n, people[m.person], m.person)
			if err != nil {
				return fmt.Errorf("%s, %d sessions: %w", m.name, n, err)
			}
			middles[i] = append(middles[i], median(t.keys))
			a := &all[i]
			a.keys, a.cpu, a.wall, a.syncs, a.ahead, a.pss = append(a.keys, t.keys...), a.cpu+t.cpu, a.wall+t.wall, a.syncs+t.syncs, max(a.ahead, t.ahead), max(a.pss, t.pss)
		}
	}
	table(fmt.Sprintf("%d sessions at the SSH port, each typing, %d rounds", n, rounds),
		"mode", "keys/s", "p50 ms", "p99 ms", "ratio of p50", "sekishod CPU ms a key", "fsyncs/s", "most bytes ahead", "sekishod PSS MiB")
	for i, m := range modes {
		a := all[i]
		row(m.name, f("%.0f", float64(len(a.keys))/a.wall.Seconds()), f("%.2f", quantile(a.keys, 0.5)), f("%.2f", quantile(a.keys, 0.99)),
			f("%.2f", median(ratios(middles[i], middles[0]))), f("%.2f", ms(a.cpu)/float64(len(a.keys))), f("%.0f", a.syncs/a.wall.Seconds()),
			f("%.0f", a.ahead), f("%.0f", float64(a.pss)/1024))
	}
	return nil
}

// crowdOf opens n sessions of one person and types in all of them for a while.
func (s *street) crowdOf(ctx context.Context, n int, who *person, name string) (t typing, err error) {
	config, err := s.clientOf(ctx, who, "modes1", filepath.Join(s.dir, "modes-"+name))
	if err != nil {
		return t, err
	}
	daemon := []int{s.house.pid("sekishod")}
	open, err := s.openMany(ctx, []*ssh.ClientConfig{config}, n)
	defer func() {
		for _, o := range open {
			o.client.Close()
		}
		time.Sleep(2 * time.Second) // until they have ended
	}()
	if err != nil {
		return t, err
	}
	const while = 8 * time.Second
	pause := max(20*time.Millisecond, time.Duration(n)*time.Millisecond) // 50 keys a second of one, 1,000 of all
	const synced = "sekisho_recording_syncs_total"
	stop := s.house.sample("sekisho_recording_ahead_bytes", &t.ahead)
	cpu, syncs, begun := cpuOf(daemon), s.house.metric(synced), time.Now()
	t.keys, err = typeInAll(open, while, pause)
	t.wall, t.cpu, t.syncs = time.Since(begun), cpuOf(daemon)-cpu, s.house.metric(synced)-syncs
	stop()
	_, t.pss = memoryOf(daemon...)
	return t, err
}
