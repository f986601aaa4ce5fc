package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/sekisho/sekisho/store/blob"
)

// enqueue lets a session be stored; s.mu is held.
func (s *Spool) enqueue(session string, e *entry) {
	if !e.queued {
		e.queued = true
		s.queue = append(s.queue, session)
		s.queued.Signal()
	}
}

// next waits for a session that has something to store and that nobody stores; nil at the end.
func (s *Spool) next() (string, *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closing {
		for i, session := range s.queue {
			e := s.sessions[session]
			if e != nil && e.busy {
				continue
			}
			s.queue = slices.Delete(s.queue, i, i+1)
			if e == nil { // discarded meanwhile
				break
			}
			e.queued, e.busy = false, true
			return session, e
		}
		if !s.ready() {
			s.queued.Wait()
		}
	}
	return "", nil
}

// ready tells whether something of the queue can be taken; s.mu is held.
func (s *Spool) ready() bool {
	return slices.ContainsFunc(s.queue, func(session string) bool { e := s.sessions[session]; return e == nil || !e.busy })
}

// upload stores one session's segments after the other until the context ends.
func (s *Spool) upload(ctx context.Context) {
	pause := s.cfg.Retry
	for {
		session, e := s.next()
		if e == nil {
			return
		}
		err := s.store(ctx, session, e)
		s.mu.Lock()
		e.busy = false
		if err != nil {
			s.enqueue(session, e)
		}
		s.queued.Broadcast()
		s.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		s.told(session, err)
		if err == nil {
			pause = s.cfg.Retry
			continue
		}
		if !rest(ctx, pause) {
			return
		}
		pause = min(2*pause, maxRetry*s.cfg.Retry)
	}
}

// rest waits between half the time and all of it, so that not all come back at once.
func rest(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// told logs when the store stops taking segments and when it takes them again, not each attempt.
func (s *Spool) told(session string, err error) {
	if err != nil {
		s.counts.failures.Add(1)
		s.counts.note(err)
	}
	if was := s.counts.down.Swap(err != nil); was == (err != nil) {
		return
	}
	if err != nil {
		s.cfg.Log.Error("the store for recordings takes nothing; they wait in the spool", "session", session, "error", err)
	} else {
		s.cfg.Log.Info("the store for recordings takes them again")
	}
}

// store sends what is closed of a session, then the manifest, then removes what was sent.
func (s *Spool) store(ctx context.Context, session string, e *entry) error {
	e.manifest.Lock()
	s.mu.Lock()
	first, cut, final := e.first, e.cut, e.final
	s.mu.Unlock()
	manifest, err := os.ReadFile(s.manifestPath(session, final))
	e.manifest.Unlock()
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	for n := first; n < cut; n++ {
		if err := s.storeSegment(ctx, session, n); err != nil {
			return err
		}
	}
	if err := s.cfg.Blobs.Put(ctx, blob.Manifest(session), bytes.NewReader(manifest), int64(len(manifest))); err != nil {
		return err
	}
	for n := first; n < cut; n++ {
		s.removeSegment(session, n)
	}
	s.mu.Lock()
	e.first = cut
	s.mu.Unlock()
	if final {
		os.Remove(s.manifestPath(session, false))
		os.Remove(s.manifestPath(session, true))
		s.drop(session)
	}
	return nil
}

// storeSegment links the file where the store can take it over, or sends it. One that is gone was stored before: it is
// removed only then.
func (s *Spool) storeSegment(ctx context.Context, session string, n int) error {
	path, name := s.path(session, n), blob.Segment(session, n)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if l, ok := s.cfg.Blobs.(blob.Linker); ok {
		if err := l.Link(ctx, name, path); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return s.cfg.Blobs.Put(ctx, name, file, info.Size())
}
