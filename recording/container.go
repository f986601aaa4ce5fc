package recording

import (
	"bufio"
	"crypto/ed25519"
	"encoding/binary"
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
	done   bool  // the end's signature was read and is right
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

// frame reads one frame into buf. The caller opens its sealed part, and then calls accept.
func (c *container) frame() (frame []byte, flags byte, err error) {
	if _, err := io.ReadFull(c.in, c.buf[:frameHead]); err != nil {
		return nil, 0, c.cut(err)
	}
	size, flags := binary.BigEndian.Uint32(c.buf[:]), c.buf[4]
	switch {
	case size > MaxFrame-frameHead || size < entryHeader+tagSize:
		return nil, 0, c.broken(fmt.Errorf("its length of %d bytes is out of range", size))
	case flags&^flagLast != 0:
		return nil, 0, c.broken(fmt.Errorf("it has unknown flags %#x", flags))
	}
	frame = c.buf[:frameHead+int(size)]
	if _, err := io.ReadFull(c.in, frame[frameHead:]); err != nil {
		return nil, 0, c.cut(err)
	}
	return frame, flags, nil
}

// finish reads what comes after the last frame: the signature, and nothing.
func (c *container) finish() error {
	var signature [ed25519.SignatureSize]byte
	if _, err := io.ReadFull(c.in, signature[:]); err != nil {
		return c.cut(err)
	}
	if !ed25519.Verify(c.header.signer, endMessage(c.chain), signature[:]) {
		return invalid("read recording: the signature at the end is wrong: the file was changed after it was written")
	}
	c.bytes += ed25519.SignatureSize
	switch _, err := c.in.ReadByte(); {
	case err == nil:
		return invalid("read recording: there are bytes after its end")
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read recording: %w", err)
	}
	c.done = true
	return nil
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

// accept takes a frame into the chain.
func (c *container) accept(frame []byte) error {
	if err := c.chain.add(frame); err != nil {
		return c.broken(err)
	}
	c.bytes += int64(len(frame))
	return nil
}
