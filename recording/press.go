package recording

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Frames are compressed by DEFLATE (RFC 1951): one whole stream each, with the last entries of the same segment as
// preset dictionary. Between frames a writer keeps that dictionary and nothing else.
const (
	// maxDictionary is how much of a segment's past a frame may refer to.
	maxDictionary = 8 << 10
	// minPressed is the least that can shrink: an echoed key and the like are stored.
	minPressed = 40
	// maxShort is up to where a stateless compressor, which is good at little and slow at much, is better.
	maxShort = 128
	// Compressing text costs several times what sealing it does. So that bulk stays fast, a session has this much
	// compressed at once, and then this many bytes of its entries for each microsecond of its time.
	pressBurst = 32 << 20
	pressRate  = 16
	// denseRatio is how much a frame must shrink to cost less than it saves, so that it does not count.
	denseRatio = 16
)

// dictionary holds the last bytes of a segment's entries.
type dictionary struct{ b []byte }

// add takes the entries of one frame in. The memory grows to maxDictionary and no further.
func (d *dictionary) add(plain []byte) {
	plain = plain[max(len(plain)-maxDictionary, 0):]
	if over := len(d.b) + len(plain) - maxDictionary; over > 0 {
		d.b = d.b[:copy(d.b, d.b[over:])]
	}
	if need := len(d.b) + len(plain); cap(d.b) < need {
		d.b = append(make([]byte, 0, min(max(2*need, 512), maxDictionary)), d.b...)
	}
	d.b = append(d.b, plain...)
}

func (d *dictionary) clear() { d.b = d.b[:0] }

// press compresses one frame after another, of any sessions.
type press struct {
	deflate *flate.Writer
	frame   [MaxFrame]byte // room for head, compressed entries and tag
	used    int            // bytes behind the head
	limit   int
}

// presses lends them to writers while a frame is sealed.
var presses = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil {
		panic(err) // only for a level that does not exist
	}
	return &press{deflate: w}
}}

// thrift says whether a frame should be compressed at all.
type thrift struct {
	left  uint64 // bytes
	at    uint64 // microseconds of the session's time, when left was that much
	dense bool   // the last frame that was tried shrank so much that the next is tried, too
}

func newThrift() thrift { return thrift{left: pressBurst} }

// try reports whether the frame of that size should be tried, and counts it.
func (t *thrift) try(size int, at uint64) bool {
	t.left = min(t.left+(at-t.at)*pressRate, pressBurst)
	t.at = at
	if t.left < uint64(size) {
		return t.dense
	}
	t.left -= uint64(size)
	return true
}

// learn takes what came of it.
func (t *thrift) learn(size, pressed int) { t.dense = pressed*denseRatio < size }

var errLong = errors.New("does not shrink")

// Write takes what the compressor makes, as long as it is shorter than what it was made of.
func (p *press) Write(b []byte) (int, error) {
	if p.used+len(b) > p.limit {
		return 0, errLong
	}
	p.used += copy(p.frame[frameHead+p.used:], b)
	return len(b), nil
}

// shrink puts plain into the frame, compressed, and reports whether that made it shorter.
func (p *press) shrink(plain, dictionary []byte) bool {
	p.used, p.limit = 0, len(plain)-1
	if len(plain) < maxShort {
		return flate.StatelessDeflate(p, plain, true, dictionary) == nil && p.used >= minEntry
	}
	p.deflate.ResetDict(p, dictionary)
	if _, err := p.deflate.Write(plain); err != nil {
		return false
	}
	return p.deflate.Close() == nil && p.used >= minEntry
}

// inflater is the other end: one for each reader.
type inflater struct {
	in     bytes.Reader
	stream io.ReadCloser
	buf    [maxPlain + 1]byte
}

// inflate gives the entries of a compressed frame. They are valid until the next call.
func (i *inflater) inflate(pressed, dictionary []byte) ([]byte, error) {
	i.in.Reset(pressed)
	if i.stream == nil {
		i.stream = flate.NewReaderDict(&i.in, dictionary)
	} else if err := i.stream.(flate.Resetter).Reset(&i.in, dictionary); err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	n := 0
	for err := error(nil); err == nil; {
		var more int
		more, err = i.stream.Read(i.buf[n:])
		n += more
		switch {
		case n > maxPlain:
			return nil, fmt.Errorf("decompress: more than %d bytes", maxPlain)
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("decompress: %w", err)
		}
	}
	if n < minEntry {
		return nil, fmt.Errorf("decompress: %d bytes are no entry", n)
	}
	if i.in.Len() > 0 {
		return nil, fmt.Errorf("decompress: %d bytes behind its end", i.in.Len())
	}
	return i.buf[:n], nil
}
