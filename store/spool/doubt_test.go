package spool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sekisho/sekisho/store/spool"
)

// lose is what a disk does that reports an error: pages that it could not take are dropped.
func lose(t *testing.T, dir, session string) {
	t.Helper()
	paths, _ := filepath.Glob(filepath.Join(dir, "spool", "segments", session+".*.seg"))
	for _, path := range paths {
		info, err := os.Stat(path)
		ok(t, err)
		ok(t, os.WriteFile(path, make([]byte, info.Size()), 0o600))
	}
}

// What the journal alone holds stays there when the segment's file could not be made durable at the end.
func TestJournalOutlivesFailedEnd(t *testing.T) {
	for name, end := range map[string]func(*spool.File) error{
		"close": func(f *spool.File) error { return f.Close([]byte("{}")) },
		"stop":  func(f *spool.File) error { return f.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var d faults
			h := open(t, dir, d.into)
			session, f := h.create()
			all := append(header(), frame(500, 0)...)
			write(t, f, all)
			ok(t, f.Sync()) // by the journal
			d.sync.Store(on(".seg", syscall.EIO))
			if err := end(f); !errors.Is(err, spool.ErrDisk) {
				t.Fatalf("ended with %v", err)
			}
			d.sync.Store(nil)
			_, other := h.create()
			write(t, other, header())
			for range 40 { // the journal turns over
				write(t, other, frame(15_000, 0))
				ok(t, other.Sync())
			}
			ok(t, other.Close([]byte("{}")))
			h.close()
			lose(t, dir, session)
			h = open(t, dir)
			same(t, "what was durable", h.read(session), all)
		})
	}
}

// A sync that fails while the end waits for it is not made good by one that the end makes.
func TestEndDuringFailingSync(t *testing.T) {
	var d faults
	h := open(t, t.TempDir(), d.into)
	_, f := h.create()
	write(t, f, header(), frame(50_000, 0))
	inside, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var calls atomic.Int64
	hook := func(file *os.File) (err error) {
		if !strings.HasSuffix(file.Name(), ".seg") {
			return nil
		}
		calls.Add(1)
		once.Do(func() {
			close(inside)
			<-release
			err = syscall.EIO
		})
		return err
	}
	d.sync.Store(&hook)
	synced := make(chan error, 1)
	go func() { synced <- f.Sync() }()
	<-inside
	closed := make(chan error, 1)
	go func() { closed <- f.Close([]byte("{}")) }()
	time.Sleep(20 * time.Millisecond)
	close(release)
	if err := <-synced; !errors.Is(err, spool.ErrDisk) {
		t.Errorf("sync: %v", err)
	}
	if err := <-closed; !errors.Is(err, spool.ErrDisk) {
		t.Errorf("closed with %v after %d syncs: the disk may have dropped what it could not take", err, calls.Load())
	}
	if objects, _ := h.blobs.List(context.Background(), ""); len(objects) != 0 {
		t.Errorf("stored %v", objects)
	}
}

// A write that hangs fails in time, and holds up nobody who writes elsewhere.
func TestWriteHangs(t *testing.T) {
	t.Parallel()
	var d faults
	h := open(t, t.TempDir(), d.into, func(c *spool.Config) { c.SyncTimeout = hangTime })
	session, f := h.create()
	all := append(header(), frame(500, 0)...)
	write(t, f, all)
	ok(t, f.Sync())
	_, g := h.create()
	release := make(chan struct{})
	hang := func(file *os.File) error {
		if strings.Contains(file.Name(), session) {
			<-release
		}
		return nil
	}
	d.write.Store(&hang)
	failed := make(chan error, 1)
	go func() {
		_, err := f.Write(frame(100, 0))
		failed <- err
	}()
	select {
	case err := <-failed:
		if !errors.Is(err, spool.ErrSlow) {
			t.Errorf("error %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for the disk for ever")
	}
	write(t, g, header(), frame(100, 0))
	ok(t, g.Sync())
	if err := f.Close([]byte("{}")); err == nil {
		t.Error("a file into which something may still be written is closed")
	}
	same(t, "what is durable", h.read(session), all)
	ok(t, g.Close([]byte("{}")))
	close(release)
	for begun := time.Now(); h.Stats().Stuck > 0 && time.Since(begun) < 10*time.Second; {
		time.Sleep(time.Millisecond)
	}
}

// Somebody may ask how far a recording is while it is closed.
func TestDurableWhileClosed(t *testing.T) {
	h := open(t, t.TempDir())
	for range 50 {
		session, f := h.create()
		write(t, f, header())
		var work sync.WaitGroup
		work.Go(func() {
			for open := true; open; {
				_, open = h.Durable(session)
			}
		})
		ok(t, f.Close([]byte("{}")))
		work.Wait()
	}
}

// What a batch that failed held is not durable because the next one is, however long it takes to tell all of the failure.
func TestLaterBatchDoesNotVouch(t *testing.T) {
	var d faults
	h := open(t, t.TempDir(), d.into)
	_, f := h.create()
	_, other := h.create()
	cuts := map[string]*spool.File{}
	for range 7 {
		session, x := h.create()
		write(t, x, header())
		cuts[session] = x
	}
	write(t, f, header(), frame(100, 0))
	flying, fails, cutting, cut := make(chan struct{}), make(chan struct{}), make(chan struct{}, 7), make(chan struct{})
	var once sync.Once
	hook := func(file *os.File) (err error) {
		session, _, _ := strings.Cut(filepath.Base(file.Name()), ".")
		switch {
		case strings.HasSuffix(file.Name(), ".log"):
			once.Do(func() {
				close(flying)
				<-fails
				err = syscall.EIO
			})
		case cuts[session] != nil:
			cutting <- struct{}{}
			<-cut
		}
		return err
	}
	d.sync.Store(&hook)
	synced := make(chan error, 1)
	go func() { synced <- f.Sync() }()
	<-flying
	write(t, f, frame(100, 0)) // into the next batch
	var work sync.WaitGroup
	for _, x := range cuts {
		work.Go(func() { x.Cut([]byte("{}")) })
	}
	for range cuts {
		<-cutting
	}
	close(fails)
	write(t, other, header())
	later := make(chan error, 1)
	go func() { later <- other.Sync() }()
	select {
	case err := <-later:
		later <- err
	case <-time.After(300 * time.Millisecond):
	}
	close(cut)
	work.Wait()
	if err := <-synced; !errors.Is(err, spool.ErrDisk) {
		t.Errorf("what was in the batch that failed is said to be durable: %v", err)
	}
	ok(t, <-later)
	f.Close([]byte("{}"))
	for _, x := range cuts {
		x.Close([]byte("{}"))
	}
	ok(t, other.Close([]byte("{}")))
}
