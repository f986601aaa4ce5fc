package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// move is one way to move size bytes between the two ends of a hop.
type move struct {
	title string
	begin func(ctx context.Context, s *street, h hop, size int64) (*carriage, error)
}

var moves = []move{{"down", down}, {"up", up}, {"sftp get", get}, {"sftp put", put}}

// carriage is a client about to move bytes.
type carriage struct {
	cmd   *exec.Cmd
	meter *meter
	check func() error // whether all bytes arrived; cleans up
}

// down reads zeros that the other end's program writes.
func down(ctx context.Context, s *street, h hop, size int64) (*carriage, error) {
	return says(fmt.Sprintf("head -c %d /dev/zero", size))(ctx, s, h, size)
}

// says reads what a command at the other end writes, which is size bytes.
func says(command string) func(context.Context, *street, hop, int64) (*carriage, error) {
	return func(ctx context.Context, _ *street, h hop, size int64) (*carriage, error) {
		return h.listen(ctx, command, size), nil
	}
}

func (h hop) listen(ctx context.Context, command string, size int64) *carriage {
	c := &carriage{cmd: h.command(ctx, []string{"-T"}, command), meter: &meter{}}
	c.cmd.Stdout = c.meter
	c.check = func() error {
		if c.meter.n != size {
			return fmt.Errorf("%d bytes arrived of %d", c.meter.n, size)
		}
		return nil
	}
	return c
}

// up writes to the other end's program, which counts what it gets.
func up(ctx context.Context, _ *street, h hop, size int64) (*carriage, error) {
	c := &carriage{cmd: h.command(ctx, []string{"-T"}, "echo go; wc -c; echo done"), meter: newMeter()}
	zero, err := os.Open("/dev/zero")
	if err != nil {
		return nil, err
	}
	c.cmd.Stdin, c.cmd.Stdout = &gated{gate: c.meter.gate, Reader: io.LimitReader(zero, size)}, c.meter
	c.check = func() error {
		zero.Close()
		if want := fmt.Sprintf("go\n%d\ndone\n", size); string(c.meter.text) != want {
			return fmt.Errorf("the other end says %q, want %q", c.meter.text, want)
		}
		return nil
	}
	return c, nil
}

// gated gives nothing before its gate is closed.
type gated struct {
	gate chan struct{}
	io.Reader
}

func (g *gated) Read(p []byte) (int, error) {
	<-g.gate
	return g.Reader.Read(p)
}

func get(ctx context.Context, s *street, h hop, size int64) (*carriage, error) {
	return s.sftp(ctx, h, "get", size)
}

func put(ctx context.Context, s *street, h hop, size int64) (*carriage, error) {
	return s.sftp(ctx, h, "put", size)
}

// sftp moves a file that is in memory to where memory is, so that no disk is measured.
func (s *street) sftp(ctx context.Context, h hop, verb string, size int64) (*carriage, error) {
	source, err := s.file(size)
	if err != nil {
		return nil, err
	}
	copied := filepath.Join(s.memory, "copied")
	batch := filepath.Join(s.dir, "batch")
	if err := os.WriteFile(batch, fmt.Appendf(nil, "!echo go\n%s %s %s\n!echo done\n", verb, source, copied), 0o600); err != nil {
		return nil, err
	}
	c := &carriage{cmd: h.program(ctx, "sftp", "-q", "-b", batch, h.host), meter: newMeter()}
	c.cmd.Stdout = c.meter
	c.check = func() error {
		defer os.Remove(copied)
		switch info, err := os.Stat(copied); {
		case err != nil:
			return err
		case info.Size() != size:
			return fmt.Errorf("%d bytes arrived of %d", info.Size(), size)
		case c.meter.ended.IsZero():
			return fmt.Errorf("sftp says %q", c.meter.text)
		}
		return nil
	}
	return c, nil
}

// file gives a file of size bytes that cannot be compressed.
func (s *street) file(size int64) (string, error) {
	return s.kept(fmt.Sprint(size), size, func(w io.Writer) error {
		_, err := io.CopyN(w, rand.NewChaCha8([32]byte{}), size)
		return err
	})
}

// kept gives a file of size bytes, which is filled for the first one who asks.
func (s *street) kept(name string, size int64, fill func(io.Writer) error) (string, error) {
	path := filepath.Join(s.memory, name)
	if info, err := os.Stat(path); err == nil && info.Size() == size {
		return path, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	return path, errors.Join(fill(f), f.Close())
}

// meter times what moves, without the log-in before it: from the first byte to the last, or between lines that say go
// and done.
type meter struct {
	began        func() // when it begins
	gate         chan struct{}
	begun, ended time.Time
	n            int64
	text         []byte // what was said, where lines are awaited
}

// newMeter waits for lines.
func newMeter() *meter { return &meter{gate: make(chan struct{})} }

func (m *meter) Write(p []byte) (int, error) {
	m.n += int64(len(p))
	if m.gate == nil {
		m.begin()
		m.ended = time.Now()
		return len(p), nil
	}
	m.text = append(m.text, p...)
	lines := bytes.Split(m.text, []byte("\n"))
	said := func(word string) bool {
		return slices.ContainsFunc(lines[:len(lines)-1], func(line []byte) bool { return string(line) == word })
	}
	if m.begun.IsZero() && said("go") {
		m.begin()
		close(m.gate)
	}
	if m.ended.IsZero() && said("done") {
		m.ended = time.Now()
	}
	return len(p), nil
}

func (m *meter) begin() {
	if m.begun.IsZero() {
		m.began()
		m.begun = time.Now()
	}
}

// carry moves size bytes once. The CPU of sekisho connect and of -J's second ssh includes their log-in.
func (s *street) carry(ctx context.Context, h hop, m move, size int64) (taken, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	c, err := m.begin(ctx, s, h, size)
	if err != nil {
		return taken{}, err
	}
	var before spent
	c.meter.began = func() { before = h.middle.spent() }
	err = h.finish(c.cmd, h.start(c.cmd))
	if cerr := c.check(); err == nil && cerr != nil {
		err = fmt.Errorf("%s: %s: %w", h.name, m.title, cerr)
	}
	if err != nil {
		return taken{}, err
	}
	helpers := reapGroup(c.cmd.Process.Pid)
	return taken{c.meter.ended.Sub(c.meter.begun), h.middle.spent().since(before, helpers)}, nil
}

// compareMoving moves p.mb MB by every hop in turn, p.rounds times.
func (s *street) compareMoving(ctx context.Context, p plan, title string, hops []hop, m move) error {
	rates, cpus := make([][]float64, len(hops)), make([][3][]float64, len(hops))
	for range p.rounds {
		for i, h := range hops {
			t, err := s.carry(ctx, h, m, int64(p.mb)*1e6)
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], float64(p.mb)/t.wall.Seconds())
			for k, d := range []time.Duration{t.spent.all(), t.spent.sekishod, t.spent.connectors} {
				cpus[i][k] = append(cpus[i][k], d.Seconds()/float64(p.mb)*1000)
			}
		}
	}
	table(fmt.Sprintf("%s, %d MB, medians of %d rounds", title, p.mb, p.rounds),
		"hop", "MB/s", "ratio to direct", "middle CPU s/GB", "of it sekishod", "connector")
	for i, h := range hops {
		parts := []string{"-", "-", "-"}
		for k, list := range cpus[i] {
			if h.middle.sekishod != 0 || (k == 0 && h.middle.others != nil) {
				parts[k] = f("%.2f", median(list))
			}
		}
		row(append([]string{h.name, f("%.0f", median(rates[i])), f("%.2f", median(ratios(rates[i], rates[0])))}, parts...)...)
	}
	return nil
}
