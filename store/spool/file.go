package spool

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/store/blob"
)

// none is where the first frame stands that only its file has, when there is no such frame.
const none = math.MaxInt64

// File is a recording being written. Write, Cut and Close are for one goroutine at a time; Sync may run beside them,
// and many times at once.
type File struct {
	s       *Spool
	session string

	mu      sync.Mutex
	out     *os.File // of the open segment; nil until something is written into it
	segment int
	base    int64 // where the open segment begins in the recording

	size      int64 // written, in whole calls of Write
	journaled int64 // durable in the journal up to here, but for frames that are not in it
	synced    int64 // durable in the segments' files up to here
	large     int64 // where the first frame begins that is in no journal and not synced
	larger    int64 // the same, of those written while the file is being synced
	syncing   chan struct{}
	batch     *batch // the last that has a frame of ours

	err     error
	doubt   bool // a sync of the file failed: what it holds is not known until the next start
	closed  bool
	changed chan struct{} // closed when there is more to read; nil while nobody waits
}

// Create begins the recording of a session. It refuses when the disk has too little room for one more, or too much
// waits for the store.
func (s *Spool) Create(session string) (*File, error) {
	f := &File{s: s, session: session, large: none, larger: none}
	if err := s.admit(session, f); err != nil {
		return nil, fmt.Errorf("create recording: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(); err != nil {
		s.drop(session)
		return nil, fmt.Errorf("create recording: %w", err)
	}
	return f, nil
}

func (s *Spool) admit(session string, f *File) error {
	if !sekisho.CheckID("ses", session) {
		return fmt.Errorf("%.40q is not a session ID", session)
	}
	var left int64
	err := s.timed(func() (err error) {
		left, err = s.disk.free(s.segments)
		return err
	})
	if err != nil {
		return named(err)
	}
	if left < s.cfg.MinFree {
		return fmt.Errorf("%w: %d bytes are free, and %d are kept for sessions that are open", ErrFull, left, s.cfg.MinFree)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return ErrClosed
	case s.sessions[session] != nil:
		return fmt.Errorf("%s is here already", session)
	case s.cfg.MaxBytes > 0 && s.bytes >= s.cfg.MaxBytes:
		return fmt.Errorf("%w: %d bytes wait", ErrStore, s.bytes)
	}
	s.sessions[session] = &entry{file: f}
	return nil
}

// path is where a segment lies.
func (s *Spool) path(session string, segment int) string {
	return filepath.Join(s.segments, fmt.Sprintf("%s.%06d%s", session, segment, segmentEnd))
}

func (s *Spool) manifestPath(session string, final bool) string {
	if final {
		return filepath.Join(s.segments, session+closedEnd)
	}
	return filepath.Join(s.segments, session+openEnd)
}

const (
	segmentEnd = ".seg"
	openEnd    = ".open"
	closedEnd  = ".closed"
)

// begin makes the file of the open segment, and its name durable.
func (f *File) begin() error {
	if f.segment > blob.MaxSegment {
		return fmt.Errorf("%w: it has %d segments", ErrFull, f.segment)
	}
	path := f.s.path(f.session, f.segment)
	made := make(chan *os.File, 1)
	err := f.s.timed(func() error {
		out, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(out.Sync(), syncDir(f.s.segments)); err != nil {
			return errors.Join(err, os.Remove(path), out.Close())
		}
		made <- out
		return nil
	})
	if err != nil {
		return named(err)
	}
	f.out = <-made
	return nil
}

// Write appends one or more whole frames. They are durable once a Sync that is called after it returns nil. After an
// error the recording ends before p.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.write(p); err != nil {
		f.fail(err)
		return 0, fmt.Errorf("write recording: %w", err)
	}
	return len(p), nil
}

func (f *File) write(p []byte) error {
	if f.err != nil || f.closed {
		return f.over()
	}
	if f.out == nil {
		if err := f.begin(); err != nil {
			return err
		}
	}
	if err := f.s.grow(int64(len(p))); err != nil {
		return err
	}
	at := f.size - f.base
	if err := f.put(p, at); err != nil {
		f.s.shrink(int64(len(p)))
		return named(err)
	}
	end := f.size + int64(len(p))
	var b *batch
	if len(p) <= maxJournaled {
		b = f.s.journal.add(f, record{f.session, f.segment, at, p}, end)
	}
	switch {
	case b != nil:
		f.batch = b
	case f.syncing != nil:
		f.larger = min(f.larger, f.size)
	default:
		f.large = min(f.large, f.size)
	}
	f.size = end
	return nil
}

// pieces lends what the kernel is given to write.
var pieces = sync.Pool{New: func() any { return new([]byte) }}

// put writes into the open segment's file. A write can hang like a sync: the kernel gets bytes of its own, for those of
// the caller are used again, and what it may still write when we have given up is found at the next start.
func (f *File) put(p []byte, at int64) error {
	out, own := f.out, pieces.Get().(*[]byte)
	*own = append((*own)[:0], p...)
	err := f.s.timed(func() error {
		_, err := f.s.disk.writeAt(out, *own, at)
		return err
	})
	if errors.Is(err, ErrSlow) {
		f.doubt = true
		return err
	}
	pieces.Put(own)
	return err
}

// over says why nothing more is taken.
func (f *File) over() error {
	if f.err != nil {
		return f.err
	}
	return ErrClosed
}

// grow and shrink count what is in the spool.
func (s *Spool) grow(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.MaxBytes > 0 && s.bytes+n > s.cfg.MaxBytes {
		return fmt.Errorf("%w: %d bytes wait", ErrStore, s.bytes)
	}
	s.bytes += n
	return nil
}

func (s *Spool) shrink(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= n
}

// durable is how much of the recording is on the disk for certain.
func (f *File) durable() int64 { return max(f.synced, min(f.journaled, f.large, f.larger)) }

// Sync returns when all that was written before is durable. An error is final: nothing more is taken.
func (f *File) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.sync(f.size); err != nil {
		return fmt.Errorf("sync recording: %w", err)
	}
	return nil
}

func (f *File) sync(upto int64) error {
	for f.err == nil && f.durable() < upto {
		if min(f.large, f.larger) < upto {
			f.syncFile()
			continue
		}
		b := f.batch
		f.mu.Unlock()
		err := f.s.journal.wait(b)
		f.mu.Lock()
		if err != nil && f.durable() < upto {
			f.fail(err)
		}
	}
	return f.err
}

// syncFile makes the open segment's file durable with what is written now, or waits for whoever does so.
func (f *File) syncFile() {
	if running := f.syncing; running != nil {
		f.mu.Unlock()
		<-running
		f.mu.Lock()
		return
	}
	running := make(chan struct{})
	f.syncing = running
	out, upto := f.out, f.size
	f.mu.Unlock()
	err := f.s.timed(func() error {
		f.s.counts.fsyncs.Add(1)
		return f.s.disk.datasync(out)
	})
	f.mu.Lock()
	f.syncing = nil
	if err != nil {
		f.doubt = true
		f.fail(named(err))
	} else {
		f.synced = max(f.synced, upto)
		f.large, f.larger = f.larger, none
		f.wake()
	}
	close(running)
}

// landed tells that a batch with frames of ours is durable up to end, or failed.
func (f *File) landed(end int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.journaled = max(f.journaled, end)
		f.wake()
		return
	}
	if f.durable() < end { // else the file has it
		f.fail(err)
	}
}

// fail ends the recording with its first error.
func (f *File) fail(err error) {
	if f.err == nil && !f.closed {
		f.err = named(err)
		f.s.counts.note(f.err)
	}
	f.wake()
}

// wake tells whoever follows the recording.
func (f *File) wake() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// settle makes the open segment's file durable, so that the journal is not needed for it.
func (f *File) settle() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.out == nil {
		if f.doubt {
			return f.over()
		}
		return nil
	}
	for upto := f.size; f.synced < upto; {
		if f.doubt {
			return f.err
		}
		f.syncFile()
	}
	return nil
}

// Size is how many bytes were written.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Segment is the number of the segment that is written, and its bytes so far.
func (f *File) Segment() (n int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.segment, f.size - f.base
}

// Manifest is what the last Cut gave; nothing before.
func (f *File) Manifest() ([]byte, error) {
	text, err := os.ReadFile(f.s.manifestPath(f.session, false))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// Cut ends the open segment: it is synced and goes to the store, with the manifest after it. The manifest must tell
// of this segment and all before. The next Write begins another one. Without anything in the segment nothing happens.
func (f *File) Cut(manifest []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.out == nil && f.err == nil && !f.closed {
		return nil
	}
	if err := f.cut(manifest, false); err != nil {
		f.fail(err)
		return fmt.Errorf("cut recording: %w", err)
	}
	return nil
}

// cut syncs and closes the open segment and writes the manifest.
func (f *File) cut(manifest []byte, final bool) error {
	if f.closed || f.err != nil && !final {
		return f.over()
	}
	if f.out != nil {
		if err := f.finish(); err != nil {
			return err
		}
	}
	f.s.mu.Lock()
	e := f.s.sessions[f.session]
	f.s.mu.Unlock()
	if err := f.s.cutEntry(f.session, e, manifest, f.segment, final); err != nil {
		return err
	}
	f.wake()
	return nil
}

// finish makes the open segment final: its frames, and nothing of one that was not written whole.
func (f *File) finish() error {
	for f.syncing != nil {
		f.syncFile()
	}
	if f.doubt { // also by the sync that was waited for: another one could go well and prove nothing
		return f.over()
	}
	out, size := f.out, f.size
	err := f.s.timed(func() error {
		f.s.counts.fsyncs.Add(1)
		return errors.Join(out.Truncate(size-f.base), f.s.disk.datasync(out))
	})
	if err != nil {
		f.doubt = true
		return named(err)
	}
	f.synced, f.large, f.larger = size, none, none
	f.out = nil
	f.base = size
	f.segment++
	out.Close()
	return nil
}

// release closes the open segment's file as it is.
func (f *File) release() {
	if f.out != nil {
		f.out.Close()
		f.out = nil
	}
}

// cutEntry writes the manifest and lets the segments below the number go to the store.
func (s *Spool) cutEntry(session string, e *entry, manifest []byte, below int, final bool) error {
	e.manifest.Lock()
	defer e.manifest.Unlock()
	err := s.timed(func() error { return replaceFile(s.manifestPath(session, final), manifest) })
	if err != nil {
		return named(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.cut = below
	if final {
		e.final, e.file = true, nil
	}
	s.enqueue(session, e)
	return nil
}

// Close ends the recording with its last manifest. After an error of Write or Sync what was written whole before is
// kept if the disk still takes it; if not, it is left as it is for the next start.
func (f *File) Close(manifest []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	err := f.cut(manifest, true)
	f.closed = true
	f.wake()
	if err != nil { // the journal may have what the file lost, so it is not forgotten there
		f.release()
		f.err = named(err)
		f.doubt = true
		return fmt.Errorf("close recording: %w", err)
	}
	f.s.journal.forget(f)
	return nil
}

// Stop ends a recording that cannot go on as if the gateway had died: what was written whole is made durable, and stays
// until Settle or Discard. When the disk does not even take that, it is left for the next start.
func (f *File) Stop() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	var err error
	if f.out != nil {
		err = f.finish()
	}
	f.closed = true
	f.wake()
	if err != nil { // as in Close
		f.release()
		return fmt.Errorf("stop recording: %w", err)
	}
	f.s.journal.forget(f)
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	e := f.s.sessions[f.session]
	e.file, e.cut = nil, f.segment
	return nil
}

// Discard ends a recording that was refused, as if it had never been.
func (f *File) Discard() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	for f.syncing != nil {
		f.syncFile()
	}
	f.closed = true
	f.release()
	f.s.journal.forget(f)
	f.wake()
	return f.s.Discard(f.session)
}

// Discard removes what the spool has of a session that is not open.
func (s *Spool) Discard(session string) error {
	s.mu.Lock()
	e, first := s.sessions[session], 0
	if e != nil {
		first = e.first
	}
	s.mu.Unlock()
	if e == nil {
		return fmt.Errorf("discard %s: %w", session, sekisho.ErrNotFound)
	}
	for n := first; s.removeSegment(session, n) == nil; n++ {
	}
	os.Remove(s.manifestPath(session, false))
	os.Remove(s.manifestPath(session, true))
	s.drop(session)
	return syncDir(s.segments)
}

// drop forgets a session.
func (s *Spool) drop(session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session)
}

// removeSegment removes a segment's file and counts it out.
func (s *Spool) removeSegment(session string, n int) error {
	path := s.path(session, n)
	info, err := os.Stat(path)
	if err == nil {
		err = os.Remove(path)
	}
	if err == nil {
		s.shrink(info.Size())
	}
	return err
}
