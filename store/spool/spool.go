// Package spool keeps what sessions recorded on the gateway's own disk until the blob store has it.
//
// A session writes whole frames into the file of its segment. Small frames go into a journal, too, which all sessions
// share: one write and one fdatasync make the last frames of all of them durable, however many wait. A large frame
// goes to its file alone, which is then synced itself. A segment that was cut is synced, sent to the blob store with
// the recording's manifest after it, and removed from here when both are durable there. So the journal is needed only
// for what the files may not hold yet; when it is full, they are synced and it is used again.
//
//	Create → Write → Sync (durable here) → Cut → stored → removed
//	                                       Close → the last segment, and the manifest that says so
//
// After a crash Open plays the journal back into the files, and tells by Left which recordings had no end; each is
// cut after its last whole frame. Nothing that Sync promised is missing then.
//
// What goes wrong is told to whoever waits for it by ErrFull, ErrSlow, ErrDisk or ErrStore. A sync that failed is never
// believed afterwards: who waited for it fails, and others go on in a new journal. Sealed frames are not opened or
// changed here.
//
//	DIR/journal/*.log            the journal, in files of Config.JournalBytes
//	DIR/segments/SESSION.N.seg   what was written, N having six digits
//	DIR/segments/SESSION.open    the manifest so far
//	DIR/segments/SESSION.closed  the manifest of a recording that is over
package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/sekisho/sekisho/store/blob"
)

// What a session can be told when its recording cannot go on. Each is wrapped, with the cause.
var (
	ErrFull   = fmt.Errorf("the disk for recordings is full: %w", syscall.ENOSPC)
	ErrSlow   = fmt.Errorf("the disk for recordings does not answer in time: %w", context.DeadlineExceeded)
	ErrDisk   = errors.New("the disk for recordings cannot be written")
	ErrStore  = errors.New("the store for recordings takes nothing, and the spool is at its limit")
	ErrClosed = errors.New("the recording is closed")
)

// Bounds on what waits in memory and in the kernel.
const (
	maxJournaled = 16 << 10 // bytes: a larger frame goes to its segment's file alone
	maxPending   = 8 << 20  // bytes that wait for the journal; what is beyond goes to the segments' files alone
	maxStuck     = 4        // syncs that never came back; with so many the disk is not asked any more
	maxRetry     = 64       // times Config.Retry between attempts to store
	uploaders    = 4        // recordings that are stored at once
)

// Config says where, how much and how patiently.
type Config struct {
	// Dir is the spool's own folder (0700); made when missing. Only one Spool may be open on it.
	Dir string
	// Blobs is where segments go.
	Blobs blob.Store
	// MinFree is how many bytes of the disk are kept for sessions that are open: below it Create refuses.
	MinFree int64
	// MaxBytes is how much may wait here for the store. Beyond it Create and Write give ErrStore. 0 is no limit.
	MaxBytes int64
	// SyncTimeout is how long the disk may take to make something durable; by default 10 s.
	SyncTimeout time.Duration
	// Retry is the first pause after an attempt to store that failed; it doubles up to 64 times that. By default 1 s.
	Retry time.Duration
	// JournalBytes is the size of a journal file; by default 16 MiB.
	JournalBytes int64
	Log          *slog.Logger

	disk *disk
}

// disk is what is asked of the kernel, so that tests can make it fail.
type disk struct {
	writeAt  func(*os.File, []byte, int64) (int, error)
	datasync func(*os.File) error
	free     func(dir string) (int64, error)
}

// Spool is an open spool. All methods may be called at once from many goroutines.
type Spool struct {
	cfg      Config
	disk     *disk
	segments string // folder
	journal  *journal
	counts   counts

	mu       sync.Mutex
	sessions map[string]*entry
	left     []Left
	queue    []string // sessions with something to store
	queued   *sync.Cond
	closing  bool
	bytes    int64 // in segments' files

	stop context.CancelFunc
	work sync.WaitGroup
}

// entry is what the spool knows of a session that it has something of.
type entry struct {
	file  *File // nil when it is over
	first int   // the lowest segment that is here, or was not made yet
	cut   int   // segments below it get no more bytes
	final bool  // the manifest is the last one

	queued, busy bool
	manifest     sync.Mutex // held while the manifest's file and cut change, so that both are seen together
}

// Open opens the spool, plays the journal back, and begins to store what is over.
func Open(ctx context.Context, cfg Config) (*Spool, error) {
	if cfg.SyncTimeout <= 0 {
		cfg.SyncTimeout = 10 * time.Second
	}
	if cfg.Retry <= 0 {
		cfg.Retry = time.Second
	}
	if cfg.JournalBytes <= 0 {
		cfg.JournalBytes = 16 << 20
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Spool{cfg: cfg, disk: cfg.disk, segments: filepath.Join(cfg.Dir, "segments"), sessions: map[string]*entry{}}
	if s.disk == nil {
		s.disk = &disk{writeAt: (*os.File).WriteAt, datasync: datasync, free: free}
	}
	s.queued = sync.NewCond(&s.mu)
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	for range uploaders {
		s.work.Go(func() { s.upload(working) })
	}
	return s, nil
}

func (s *Spool) open(ctx context.Context) error {
	folder := filepath.Join(s.cfg.Dir, "journal")
	for _, dir := range []string{s.cfg.Dir, s.segments, folder} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := errors.Join(syncDir(filepath.Dir(s.cfg.Dir)), syncDir(s.cfg.Dir)); err != nil {
		return err
	}
	if err := s.replay(ctx, folder); err != nil {
		return err
	}
	if err := s.survey(ctx); err != nil {
		return err
	}
	s.journal = newJournal(folder, s.cfg, s.disk, &s.counts)
	return s.journal.begin()
}

// Close stops storing and closes the journal. Files that are open must be closed before; what is not stored yet stays
// here for the next start.
func (s *Spool) Close() error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.stop()
	s.queued.Broadcast()
	s.work.Wait()
	return s.journal.close()
}

// named gives an error from the kernel the name by which people are told.
func named(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrFull), errors.Is(err, ErrSlow), errors.Is(err, ErrDisk), errors.Is(err, ErrStore), errors.Is(err, ErrClosed):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return fmt.Errorf("%w: %w", ErrDisk, err)
}

// timed runs what may hang in the kernel, and waits for it no longer than SyncTimeout. What is left running there ends
// by itself or never.
func (s *Spool) timed(work func() error) error {
	if s.counts.stuck.Load() >= maxStuck {
		return ErrSlow
	}
	done := make(chan error, 1)
	go func() { done <- work() }()
	timer := time.NewTimer(s.cfg.SyncTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		s.counts.stuck.Add(1)
		go func() {
			<-done
			s.counts.stuck.Add(-1)
		}()
		return ErrSlow
	}
}

// syncDir makes a folder's names durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// replaceFile gives a file new content, all of it or none, durably.
func replaceFile(path string, content []byte) error {
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		os.Remove(path + ".new")
		return err
	}
	return syncDir(filepath.Dir(path))
}
