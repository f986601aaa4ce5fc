package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/store/blob"
)

// Reader reads a recording as one stream: what the store has, then what is here, up to what was durable when it was
// opened. Absence wraps sekisho.ErrNotFound. It may be open while segments move to the store.
func (s *Spool) Reader(ctx context.Context, session string) (io.ReadCloser, error) {
	return opened(s.reader(ctx, session, 0, false))
}

func opened(r *reader, err error) (io.ReadCloser, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Follow reads a recording from the offset on, and when it has read all that is durable, waits for more until the
// recording is closed or ctx is done.
func (s *Spool) Follow(ctx context.Context, session string, offset int64) (io.ReadCloser, error) {
	return opened(s.reader(ctx, session, offset, true))
}

func (s *Spool) reader(ctx context.Context, session string, offset int64, follow bool) (*reader, error) {
	if !sekisho.CheckID("ses", session) || offset < 0 {
		return nil, fmt.Errorf("read recording: %.40q from byte %d on", session, offset)
	}
	r := &reader{s: s, ctx: ctx, session: session, skip: offset, follow: follow, upto: none}
	here := 0
	s.mu.Lock()
	if e := s.sessions[session]; e != nil {
		r.file, here = e.file, e.cut
	}
	s.mu.Unlock()
	if r.file != nil {
		r.file.mu.Lock()
		r.upto = r.file.durable()
		r.file.mu.Unlock()
		return r, nil
	}
	stored, err := s.stored(ctx, session)
	r.below = max(here, stored)
	if err != nil && here == 0 { // what is here can be read without the store, unless it begins there
		return nil, fmt.Errorf("read recording of %s: %w", session, err)
	}
	return r, nil
}

// stored counts the segments in the store. All below the last must be there.
func (s *Spool) stored(ctx context.Context, session string) (int, error) {
	names, err := s.cfg.Blobs.List(ctx, session+"/")
	if err != nil {
		return 0, err
	}
	below := 0
	for _, name := range names {
		_, n, err := blob.ParseName(name)
		if err == nil && n >= 0 {
			if n != below {
				return 0, fmt.Errorf("segment %d is missing", below)
			}
			below++
		}
	}
	if below == 0 {
		return 0, sekisho.ErrNotFound
	}
	return below, nil
}

// Size tells how many bytes of a recording there are: durable ones, when it is being written.
func (s *Spool) Size(ctx context.Context, session string) (int64, error) {
	r, err := s.reader(ctx, session, 0, false)
	if err != nil {
		return 0, err
	}
	if r.file != nil {
		return r.upto, nil
	}
	total := int64(0)
	for n := range r.below {
		size, err := s.segmentSize(ctx, session, n)
		if err != nil {
			return 0, fmt.Errorf("read recording of %s: %w", session, err)
		}
		total += size
	}
	return total, nil
}

func (s *Spool) segmentSize(ctx context.Context, session string, n int) (int64, error) {
	info, err := os.Stat(s.path(session, n))
	if errors.Is(err, fs.ErrNotExist) {
		return s.cfg.Blobs.Size(ctx, blob.Segment(session, n))
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// reader goes from segment to segment. Where a segment lies is found out when it comes to it: in the spool, or, once
// it is gone from there, in the store.
type reader struct {
	s       *Spool
	ctx     context.Context
	session string
	file    *File // nil when the recording is over
	follow  bool

	segment int           // the next to open
	below   int           // how many there are, when the recording is over
	in      io.ReadCloser // the segment that is read
	at      int64         // how far we are in the recording
	skip    int64         // where reading begins
	upto    int64         // how much may be read
}

func (r *reader) Read(p []byte) (int, error) {
	for {
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		if len(p) == 0 {
			return 0, nil
		}
		if r.at == r.upto || r.in == nil && r.file != nil && r.skip >= r.upto {
			if more, err := r.more(); err != nil || !more {
				return 0, orEOF(err)
			}
			continue
		}
		if r.in == nil {
			if r.file == nil && r.segment >= r.below {
				return 0, io.EOF
			}
			if err := r.next(); err != nil {
				return 0, fmt.Errorf("read recording of %s: %w", r.session, err)
			}
			continue
		}
		n, err := r.in.Read(p[:min(int64(len(p)), r.upto-r.at)])
		r.at += int64(n)
		if errors.Is(err, io.EOF) { // there is more, so it is in the next segment
			r.in.Close()
			r.in, err = nil, nil
			if n == 0 {
				continue
			}
		}
		return n, err
	}
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// more waits until more may be read; not when the recording is closed, or was to be read only as it was.
func (r *reader) more() (bool, error) {
	if !r.follow || r.file == nil {
		return false, nil
	}
	for {
		f := r.file
		f.mu.Lock()
		durable, over := f.durable(), f.closed || f.err != nil
		if durable > max(r.upto, r.skip) || over {
			f.mu.Unlock()
			r.upto = max(r.upto, durable)
			return r.upto > max(r.at, r.skip), nil
		}
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-r.ctx.Done():
			return false, r.ctx.Err()
		}
	}
}

// next opens the next segment, or passes it over when reading begins behind it.
func (r *reader) next() error {
	in, size, err := r.s.openSegment(r.ctx, r.session, r.segment, max(r.skip-r.at, 0))
	if err != nil {
		return err
	}
	r.segment++
	if in == nil {
		r.at += size
		return nil
	}
	r.in, r.at = in, max(r.at, r.skip)
	return nil
}

// openSegment opens a segment at the offset. One that is shorter is not opened; its size is given.
func (s *Spool) openSegment(ctx context.Context, session string, n int, offset int64) (io.ReadCloser, int64, error) {
	file, err := os.Open(s.path(session, n))
	if errors.Is(err, fs.ErrNotExist) {
		if offset > 0 {
			size, err := s.cfg.Blobs.Size(ctx, blob.Segment(session, n))
			if err != nil || offset >= size {
				return nil, size, err
			}
		}
		return s.cfg.Blobs.Get(ctx, blob.Segment(session, n), offset)
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && offset > 0 && offset >= info.Size() {
		return nil, info.Size(), file.Close()
	}
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// Close ends reading.
func (r *reader) Close() error {
	if r.in == nil {
		return nil
	}
	return r.in.Close()
}
