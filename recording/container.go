package recording

import (
	"bufio"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// container reads a file's outer form: header, frames, signature. It needs no key and opens nothing.
type container struct {
	in     *bufio.Reader
	header *clearHeader
	chain  *chain
	bytes  int64 // up to the end of the last whole frame or signature
	torn   bool  // the input ended within a frame or the signature
	signed bool  // the end's signature was read and is right
	done   bool  // and nothing comes after it
	// segment is the running one, as far as it was accepted; whoever opens the frames keeps its times.
	segment Segment
	// closed is told of each segment that came to its end.
	closed func(Segment) error
	buf    [MaxFrame]byte
}

func newContainer(r io.Reader) (*container, error) {
	in := bufio.NewReaderSize(r, 16<<10)
	header, err := readHeader(in)
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	return &container{in: in, header: header, chain: newChain(header.hash), bytes: int64(len(header.bytes))}, nil
}

// resume is a container whose input begins with segment s.
func (c *container) resume(r io.Reader, s Segment) *container {
	next := &container{in: bufio.NewReaderSize(r, 16<<10), header: c.header, chain: newChain(c.header.hash), bytes: s.Offset}
	hex.Decode(next.chain.now[:], []byte(s.Chain)) // was checked
	next.chain.seq = uint64(s.Frame)
	next.segment.Index = s.Index - 1
	return next
}

// frame reads one frame into buf. The caller opens its sealed part, and then calls accept.
func (c *container) frame() (frame []byte, flags byte, err error) {
	if n, err := io.ReadFull(c.in, c.buf[:frameHead]); err != nil {
		c.torn = n > 0
		return nil, 0, c.cut(err)
	}
	size, flags := binary.BigEndian.Uint32(c.buf[:]), c.buf[4]
	if over := c.header.overhead(); size > maxPlain+over || size < minEntry+over {
		return nil, 0, c.broken(fmt.Errorf("its length of %d bytes is out of range", size))
	}
	if err := c.fit(flags); err != nil {
		return nil, 0, c.broken(err)
	}
	frame = c.buf[:frameHead+int(size)]
	if _, err := io.ReadFull(c.in, frame[frameHead:]); err != nil {
		c.torn = true
		return nil, 0, c.cut(err)
	}
	return frame, flags, nil
}

// fit refuses flags that no writer would give the next frame.
func (c *container) fit(flags byte) error {
	last, opens, pressed := flags&flagLast != 0, flags&flagOpens != 0, flags&flagPress != 0
	switch {
	case flags&^(flagLast|flagOpens|flagPress) != 0:
		return fmt.Errorf("it has unknown flags %#x", flags)
	case last && (pressed || c.chain.seq == 0):
		return errors.New("it cannot be the last")
	case !opens && c.segment.Frames == 0:
		return errors.New("it should open a segment")
	case opens && c.segment.Frames > 0 && c.segment.Index+1 >= MaxSegments:
		return fmt.Errorf("it opens one segment more than %d", MaxSegments)
	}
	return nil
}

// finish reads what comes after the last frame: the signature, and nothing.
func (c *container) finish() error {
	var signature [ed25519.SignatureSize]byte
	if n, err := io.ReadFull(c.in, signature[:]); err != nil {
		c.torn = n > 0
		return c.cut(err)
	}
	if !ed25519.Verify(c.header.signer, endMessage(c.chain), signature[:]) {
		return invalid("read recording: the signature at the end is wrong: the file was changed after it was written")
	}
	c.bytes += ed25519.SignatureSize
	c.segment.Bytes += ed25519.SignatureSize
	c.signed = true
	switch _, err := c.in.ReadByte(); {
	case err == nil:
		return invalid("read recording: there are bytes after its end")
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read recording: %w", err)
	}
	c.done = true
	return c.close()
}

// cut turns the end of the input into ErrCut with a sentence about what is there.
func (c *container) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read recording: it stops after %d whole frames (%d bytes): %w", c.chain.seq, c.bytes, ErrCut)
	}
	return fmt.Errorf("read recording: %w", err)
}

// broken says in which frame something is wrong.
func (c *container) broken(err error) error {
	return invalid("read recording: frame %d, at byte %d: %w", c.chain.seq, c.bytes, err)
}

// accept takes a frame into the chain, and the running segment.
func (c *container) accept(frame []byte, flags byte) error {
	if flags&flagOpens != 0 {
		if err := c.close(); err != nil {
			return err
		}
		c.open()
	}
	if err := c.chain.add(frame); err != nil {
		return c.broken(err)
	}
	c.bytes += int64(len(frame))
	c.segment.Bytes += int64(len(frame))
	c.segment.Frames++
	return nil
}

// open begins a segment with the next frame.
func (c *container) open() {
	s := Segment{Index: c.segment.Index + 1, Offset: c.bytes, Frame: int64(c.chain.seq), Chain: hex.EncodeToString(c.chain.now[:])}
	if s.Frame == 0 { // the first holds the header too
		s.Index, s.Offset, s.Bytes = 0, 0, c.bytes
	}
	c.segment = s
}

func (c *container) close() error {
	if c.closed == nil || c.segment.Frames == 0 {
		return nil
	}
	return segmentError(c.closed(c.segment))
}

// segments counts those that have begun.
func (c *container) segments() int {
	if c.segment.Frames == 0 {
		return 0
	}
	return c.segment.Index + 1
}
