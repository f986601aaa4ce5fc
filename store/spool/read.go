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
// opened, which is size bytes. Absence wraps sekisho.ErrNotFound. It may be open while segments move to the store.
func (s *Spool) Reader(ctx context.Context, session string) (in io.ReadCloser, size int64, err error) {
	return opened(s.reader(ctx, session, 0, false))
}

// Follow reads a recording from the offset on, and when it has read all that is durable, waits for more until the
// recording is closed or ctx is done; the error says why, when it cannot go on. The size is what is durable now.
func (s *Spool) Follow(ctx context.Context, session string, offset int64) (in io.ReadCloser, size int64, err error) {
	return opened(s.reader(ctx, session, offset, true))
}

func opened(r *reader, err error) (io.ReadCloser, int64, error) {
	if err != nil {
		return nil, 0, fmt.Errorf("read recording: %w", err)
	}
	return r, r.size, nil
}

func (s *Spool) reader(ctx context.Context, session string, offset int64, follow bool) (*reader, error) {
	if !sekisho.CheckID("ses", session) || offset < 0 {
		return nil, fmt.Errorf("%.40q from byte %d on", session, offset)
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
		r.size = r.upto
		return r, nil
	}
	var err error
	r.stored, err = s.stored(ctx, session)
	r.below = max(here, len(r.stored))
	if err != nil && here == 0 { // what is here can be read without the store, unless it begins there
		return nil, fmt.Errorf("of %s: %w", session, err)
	}
	for n := range r.below {
		size, err := r.segmentSize(n)
		if err != nil {
			return nil, fmt.Errorf("of %s: %w", session, err)
		}
		r.size += size
	}
	return r, nil
}

// stored gives the sizes of the segments in the store. All below the last must be there.
func (s *Spool) stored(ctx context.Context, session string) ([]int64, error) {
	all, err := s.cfg.Blobs.List(ctx, session+"/")
	if err != nil {
		return nil, err
	}
	var sizes []int64
	for _, o := range all {
		_, n, err := blob.ParseName(o.Name)
		if err == nil && n >= 0 {
			if n != len(sizes) {
				return nil, fmt.Errorf("segment %d is missing", len(sizes))
			}
			sizes = append(sizes, o.Size)
		}
	}
	if len(sizes) == 0 {
		return nil, sekisho.ErrNotFound
	}
	return sizes, nil
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
	stored  []int64       // sizes of the first of those, which the store had when this began
	size    int64         // of all that there was then
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
		durable, closed, failed := f.durable(), f.closed, f.err
		if durable > max(r.upto, r.skip) || closed || failed != nil {
			f.mu.Unlock()
			r.upto = max(r.upto, durable)
			more := r.upto > max(r.at, r.skip)
			if !more && !closed {
				return false, failed
			}
			return more, nil
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
	if offset := r.skip - r.at; offset > 0 {
		size, err := r.segmentSize(r.segment)
		if err != nil {
			return err
		}
		if offset >= size {
			r.segment++
			r.at += size
			return nil
		}
	}
	in, err := r.openSegment(max(r.skip-r.at, 0))
	if err != nil {
		return err
	}
	r.segment++
	r.in, r.at = in, max(r.at, r.skip)
	return nil
}

func (r *reader) segmentSize(n int) (int64, error) {
	info, err := os.Stat(r.s.path(r.session, n))
	switch {
	case err == nil:
		return info.Size(), nil
	case !errors.Is(err, fs.ErrNotExist):
		return 0, err
	case n < len(r.stored):
		return r.stored[n], nil
	}
	return r.s.cfg.Blobs.Size(r.ctx, blob.Segment(r.session, n))
}

// openSegment opens the next segment at the offset, which is within it.
func (r *reader) openSegment(offset int64) (io.ReadCloser, error) {
	file, err := os.Open(r.s.path(r.session, r.segment))
	if errors.Is(err, fs.ErrNotExist) {
		in, _, err := r.s.cfg.Blobs.Get(r.ctx, blob.Segment(r.session, r.segment), offset)
		return in, err
	}
	if err != nil {
		return nil, err
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Close ends reading.
func (r *reader) Close() error {
	if r.in == nil {
		return nil
	}
	return r.in.Close()
}
