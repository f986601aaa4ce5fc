package spool_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/store/blob"
	"github.com/sekisho/sekisho/store/spool"
)

// stream makes the frames of a session, always the same ones for the same session.
type stream struct {
	noise *rand.ChaCha8
	begun bool
}

func newStream(session string) *stream {
	return &stream{noise: rand.NewChaCha8(sha256.Sum256([]byte(session)))}
}

func (s *stream) next() []byte {
	n := s.noise.Uint64()
	size := 37 + int(n%400)
	switch n >> 32 % 20 {
	case 0:
		size = 17_000 + int(n%48_000) // not in the journal
	case 1:
		size = 2_000 + int(n%14_000)
	}
	f := binary.BigEndian.AppendUint32(nil, uint32(size-5))
	f = append(f, make([]byte, size-4)...)
	s.noise.Read(f[5:])
	f[size-1] |= 1
	if s.begun {
		return f[:size]
	}
	s.begun = true
	h := append([]byte("sekisho\x00\x00\x02\x00\x00"), 0, 0, 0, 200)
	h = append(h, make([]byte, 264)...)
	s.noise.Read(h[16:])
	return append(h, f[:size]...)
}

// upto gives the frames of the first n bytes; whole says whether a frame ends there.
func (s *stream) upto(n int64) (b []byte, whole bool) {
	for int64(len(b)) < n {
		b = append(b, s.next()...)
	}
	return b[:n], int64(len(b)) == n
}

// busy writes sessions until stop, reports what Sync promised, and cuts and closes now and then.
func busy(s *spool.Spool, stop <-chan struct{}, report func(kind, session string, bytes int64)) error {
	for {
		session := sekisho.NewID("ses")
		f, err := s.Create(session)
		if err != nil {
			return err
		}
		frames, n := newStream(session), int64(0)
		for range 20 + rand.N(200) {
			select {
			case <-stop:
				return nil
			default:
			}
			p := frames.next()
			if _, err := f.Write(p); err != nil {
				return err
			}
			n += int64(len(p))
			if rand.N(4) == 0 {
				continue // more than one frame with one sync
			}
			if err := f.Sync(); err != nil {
				return err
			}
			report("synced", session, n)
			if rand.N(30) == 0 {
				if err := f.Cut([]byte("{}")); err != nil {
					return err
				}
			}
		}
		if err := f.Close([]byte("{}")); err != nil {
			return err
		}
		report("closed", session, n)
	}
}

// child is the gateway that gets killed.
func child(dir string) {
	blobs, err := blob.Open(filepath.Join(dir, "recordings"))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	s, err := spool.Open(context.Background(), spool.Config{Dir: filepath.Join(dir, "spool"), Blobs: blobs, JournalBytes: 256 << 10})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for _, l := range s.Left() {
		if rand.N(2) == 0 {
			if err := s.Settle(l.Session, []byte("{}")); err != nil {
				fmt.Println("error", err)
			}
		}
	}
	var work sync.WaitGroup
	for range 12 {
		work.Go(func() {
			err := busy(s, nil, func(kind, session string, n int64) { os.Stdout.WriteString(fmt.Sprintln(kind, session, n)) })
			fmt.Println("error", err)
		})
	}
	fmt.Println("ready - 0")
	work.Wait()
}

// promises is what was promised of each session, over several lives.
type promises struct {
	synced map[string]int64
	closed map[string]bool
}

func newPromises() *promises { return &promises{synced: map[string]int64{}, closed: map[string]bool{}} }

func (p *promises) take(kind, session string, n int64) {
	p.synced[session] = max(p.synced[session], n)
	p.closed[session] = p.closed[session] || kind == "closed"
}

// keep checks that a spool has all that was promised, byte for byte, and nothing torn.
func (p *promises) keep(t *testing.T, s *spool.Spool) {
	t.Helper()
	for session, n := range p.synced {
		r, _, err := s.Reader(context.Background(), session)
		if err != nil {
			t.Fatalf("%d bytes were promised: %v", n, err)
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		want, whole := newStream(session).upto(int64(len(got)))
		switch {
		case int64(len(got)) < n:
			t.Fatalf("%s: %d bytes were promised, %d are there", session, n, len(got))
		case !bytes.Equal(got, want):
			t.Fatalf("%s: something else was written", session)
		case !whole:
			t.Fatalf("%s: torn after %d bytes", session, len(got))
		case p.closed[session] && int64(len(got)) != n:
			t.Fatalf("%s was closed with %d bytes and has %d", session, n, len(got))
		}
		p.synced[session] = int64(len(got))
	}
	for _, l := range s.Left() {
		if p.closed[l.Session] {
			t.Errorf("%s was closed, and is left", l.Session)
		}
	}
}

// The gateway is killed at a random moment, again and again. Whatever it said was durable is there.
// SEKISHO_KILLS says how often; 60 times by default.
func TestKills(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	if n, err := strconv.Atoi(os.Getenv("SEKISHO_KILLS")); err == nil {
		rounds = n
	}
	const life = 6 // rounds on the same disk
	sessions, frames := 0, 0
	for round := 0; round < rounds; {
		dir, p := t.TempDir(), newPromises()
		for range min(life, rounds-round) {
			frames += kill(t, dir, p)
			cfg, _ := config(t, dir)
			s, err := spool.Open(context.Background(), cfg)
			ok(t, err)
			p.keep(t, s)
			ok(t, s.Close())
			if t.Failed() {
				t.Fatalf("round %d", round)
			}
			round++
		}
		sessions += len(p.synced)
		ok(t, os.RemoveAll(dir))
	}
	t.Logf("%d kills, %d sessions, %d syncs that were promised", rounds, sessions, frames)
}

// kill lets a child work for a moment.
func kill(t *testing.T, dir string, p *promises) (promised int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SPOOL_CHILD="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var kind, session string
		var n int64
		if _, err := fmt.Sscan(lines.Text(), &kind, &session, &n); err != nil || kind == "error" {
			t.Errorf("the child says %q", lines.Text())
			continue
		}
		if kind == "ready" {
			time.AfterFunc(rand.N(60*time.Millisecond), func() { cmd.Process.Signal(syscall.SIGKILL) })
			continue
		}
		promised++
		p.take(kind, session, n)
	}
	cmd.Wait()
	return promised
}

// power is a disk that can lose what was not synced.
type power struct {
	mu       sync.RWMutex // held by the crash
	notes    sync.Mutex
	synced   map[string]int64      // of segments' files
	unsynced map[string][][2]int64 // of the journal's
}

func (d *power) into(c *spool.Config) {
	c.SetDisk(func(f *os.File, p []byte, at int64) (int, error) {
		d.mu.RLock()
		defer d.mu.RUnlock()
		n, err := f.WriteAt(p, at)
		d.notes.Lock()
		defer d.notes.Unlock()
		d.unsynced[f.Name()] = append(d.unsynced[f.Name()], [2]int64{at, int64(n)})
		return n, err
	}, func(f *os.File) error {
		d.mu.RLock()
		defer d.mu.RUnlock()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		d.notes.Lock()
		defer d.notes.Unlock()
		d.synced[f.Name()] = info.Size()
		delete(d.unsynced, f.Name())
		return nil
	}, nil)
}

// crash copies what a disk may have after a loss of power. Files come in the order in which they are there last: what
// leaves the spool is in the store, and a recording's manifest leaves after its segments.
func (d *power) crash(from, to string) error {
	for _, part := range []string{"spool/journal", "spool/segments", "recordings", "recordings/*"} {
		files, err := filepath.Glob(filepath.Join(from, part, "*"))
		if err != nil {
			return err
		}
		for _, path := range slices.Backward(files) {
			place := filepath.Join(to, strings.TrimPrefix(path, from))
			content, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EISDIR) {
				continue
			}
			err = errors.Join(err, os.MkdirAll(filepath.Dir(place), 0o700), os.WriteFile(place, d.worn(path, content), 0o600))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// worn loses what was not synced of a file: all of it, its bytes, or some.
func (d *power) worn(path string, content []byte) []byte {
	if strings.Contains(path, "/spool/segments/") && strings.HasSuffix(path, ".seg") {
		synced := min(d.synced[path], int64(len(content)))
		switch rand.N(3) {
		case 0:
			return content[:synced]
		case 1:
			clear(content[synced:])
		case 2:
			return content[:synced+rand.Int64N(int64(len(content))-synced+1)]
		}
	}
	if strings.HasSuffix(path, ".log") {
		for _, r := range d.unsynced[path] {
			part := content[r[0] : r[0]+r[1]]
			clear(part[rand.IntN(len(part)+1):])
		}
	}
	return content
}

// The power fails: of what was not synced, anything may be missing. The journal has it.
func TestPowerLoss(t *testing.T) {
	rounds := 25
	if n, err := strconv.Atoi(os.Getenv("SEKISHO_KILLS")); err == nil {
		rounds = n
	}
	promised := 0
	for range rounds {
		dir, after := t.TempDir(), t.TempDir()
		d := &power{synced: map[string]int64{}, unsynced: map[string][][2]int64{}}
		h := open(t, dir, d.into)
		p, mu, stop := newPromises(), sync.Mutex{}, make(chan struct{})
		crashed := false
		var work sync.WaitGroup
		for range 8 {
			work.Go(func() {
				err := busy(h.Spool, stop, func(kind, session string, n int64) {
					mu.Lock()
					defer mu.Unlock()
					if !crashed {
						p.take(kind, session, n)
					}
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(rand.N(30 * time.Millisecond))
		mu.Lock() // what is said from here on was not promised before the crash
		crashed = true
		mu.Unlock()
		d.mu.Lock()
		err := d.crash(dir, after)
		d.mu.Unlock()
		ok(t, err)
		close(stop)
		work.Wait()
		h.close()
		cfg, _ := config(t, after)
		s, err := spool.Open(context.Background(), cfg)
		ok(t, err)
		p.keep(t, s)
		ok(t, s.Close())
		promised += len(p.synced)
		ok(t, errors.Join(os.RemoveAll(dir), os.RemoveAll(after)))
	}
	t.Logf("%d sessions", promised)
}
