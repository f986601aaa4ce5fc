package recording

import (
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sekisho/sekisho"
)

// Reader opens one recording, frame by frame. What Next returned was sealed by whoever made the file; that this was
// a gateway follows only from the signer (Header, or Verify with trusted signers). It is not safe for concurrent use.
type Reader struct {
	file    *container
	aead    cipher.AEAD
	header  Header
	plain   []byte // entries of the current frame that are still to come
	scratch []byte
	past    dictionary
	press   inflater
	pace    pace
	partial bool // the beginning was not read, so that totals say nothing
	counted totals
	last    time.Duration
	end     End
	err     error
}

var errChanged = errors.New("it does not open: it was changed, moved, or is from another file")

// NewReader reads the header and opens the file key. A *WrongKeyError names the keys that would have opened it.
// A file that is cut already before its first frame gives a Reader whose Next returns ErrCut.
func NewReader(r io.Reader, key *PrivateKey) (*Reader, error) {
	file, err := newContainer(r)
	if err != nil {
		return nil, err
	}
	return openContainer(file, key)
}

// NewReaderAt begins in the middle. start is where the recording begins, of which the header is needed and the first
// frame, with the description of the session, is welcome; body begins with segment s (byte s.Offset), and may go on
// with those after it. What the facts in s have wrong about the place fails as a changed file does; what they have
// wrong about the segment's end shows when it is reached. For a segment that still runs give its [Segment.Beginning].
func NewReaderAt(start, body io.Reader, s Segment, key *PrivateKey) (*Reader, error) {
	if err := s.check(); err != nil {
		return nil, segmentError(err)
	}
	if s.Index == 0 {
		r, err := NewReader(body, key)
		if err != nil {
			return nil, err
		}
		return r, r.expect(s)
	}
	file, err := newContainer(start)
	if err != nil {
		return nil, err
	}
	r, err := openContainer(file, key)
	if err != nil {
		return nil, err
	}
	r.file, r.err, r.partial, r.plain = file.resume(body, s), nil, true, nil
	r.past.clear()
	r.pace, r.counted, r.last = pace{}, totals{}, 0
	return r, r.expect(s)
}

// expect holds the running segment, or the one that comes, against s.
func (r *Reader) expect(s Segment) error {
	if s.Index == 0 && r.header.Hash != s.Chain {
		return invalid("read recording: its header is not the one that segment 0 is to begin with")
	}
	r.file.closed = func(found Segment) error {
		r.file.closed = nil
		return s.differs(found, true)
	}
	return nil
}

func openContainer(file *container, key *PrivateKey) (*Reader, error) {
	aead, err := file.header.openKey(key)
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	r := &Reader{file: file, aead: aead, header: file.header.public()}
	if r.err = r.describe(); r.err != nil && !errors.Is(r.err, ErrCut) {
		return nil, r.err
	}
	return r, nil
}

// describe reads the session from the first frame.
func (r *Reader) describe() error {
	if last, err := r.open(); err != nil || last {
		return orChanged(err)
	}
	e, rest, err := cutEntry(r.plain, &r.pace)
	if err != nil || e.Kind != kindSession || len(rest) > 0 || e.At != 0 || e.Channel != 0 {
		return invalid("read recording: its first frame does not describe the session")
	}
	var s sekisho.Session
	if err := json.Unmarshal(e.Data, &s); err != nil {
		return invalid("read recording: describe session: %w", err)
	}
	clear := r.header.Session
	if s.ID != clear.ID || !s.Started.Equal(clear.Started) {
		return invalid("read recording: header and sealed description name different sessions")
	}
	r.header.Session, r.plain = s, nil
	return nil
}

func orChanged(err error) error {
	if err == nil {
		err = invalid("read recording: it ends where it should begin")
	}
	return err
}

// Header is the header; its Session is complete unless the file is cut before the first frame.
func (r *Reader) Header() Header { return r.header }

// Next gives the next entry. It returns io.EOF only after a valid signed end record, and an error that wraps ErrCut
// after the last whole frame of a file without one. The entry's data are valid until the next call.
func (r *Reader) Next() (Entry, error) {
	for r.err == nil && len(r.plain) == 0 {
		var last bool
		if last, r.err = r.open(); r.err == nil && last {
			r.err = r.finish()
		}
	}
	if r.err != nil {
		return Entry{}, r.err
	}
	e, rest, err := r.cut()
	if err == nil && (e.Kind == kindSession || e.Kind == kindEnd) {
		err = fmt.Errorf("entry of %s is out of place", e.Kind)
	}
	if err != nil {
		r.err = invalid("read recording: frame %d: %w", r.file.chain.seq-1, err)
		return Entry{}, r.err
	}
	r.plain = rest
	r.counted.add(e)
	r.last = max(r.last, e.At)
	return e, nil
}

// Segments counts the recording's segments up to where Next is, that one included.
func (r *Reader) Segments() int { return r.file.segments() }

// End tells how the recording ended; ok is false until Next has returned io.EOF, and at the time of the latest entry.
func (r *Reader) End() (end End, at time.Duration, ok bool) {
	return r.end, r.last, r.file.done && r.end != ""
}

// open reads and opens the next frame into plain.
func (r *Reader) open() (last bool, err error) {
	frame, flags, err := r.file.frame()
	if err != nil {
		return false, err
	}
	nonce, data := r.file.chain.bind(flags, r.file.header.random)
	r.scratch, err = r.aead.Open(r.scratch[:0], nonce, frame[frameHead:], data)
	if err != nil {
		return false, r.file.broken(errChanged)
	}
	plain := r.scratch
	if flags&flagOpens != 0 {
		r.past.clear()
	}
	if flags&flagPress != 0 {
		if plain, err = r.press.inflate(plain, r.past.b); err != nil {
			return false, r.file.broken(err)
		}
	}
	if err := r.file.accept(frame, flags); err != nil {
		return false, err
	}
	r.past.add(plain)
	r.plain, r.pace.running = plain, false
	return flags&flagLast != 0, nil
}

// cut takes the next entry of the frame, and its time into the segment.
func (r *Reader) cut() (Entry, []byte, error) {
	first := !r.pace.running && r.file.segment.Frames == 1
	e, rest, err := cutEntry(r.plain, &r.pace)
	if err == nil {
		if first {
			r.file.segment.First = e.At
		}
		r.file.segment.Last = e.At
	}
	return e, rest, err
}

// finish reads the end record from the last frame and the signature behind it. All is well when it says io.EOF.
func (r *Reader) finish() error {
	e, rest, err := r.cut()
	if err != nil || e.Kind != kindEnd || len(rest) > 0 || e.Channel != 0 {
		return invalid("read recording: its last frame is no end record")
	}
	r.counted.frames = r.file.chain.seq - 1
	end, err := checkEnd(e.Data, r.counted, r.partial)
	if err != nil {
		return invalid("read recording: %w", err)
	}
	if err := r.file.finish(); err != nil {
		return err
	}
	r.end, r.last, r.plain = end, e.At, nil
	return io.EOF
}
