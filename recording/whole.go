package recording

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
)

// Whole tells how much of a segment can be relied upon.
type Whole struct {
	Frames int64 // whole ones
	Bytes  int64 // up to the end of the last of them, or of the recording
	Ended  bool  // the recording's last frame and its signature are there
}

// missing is how many zero bytes in a row no sealed frame has: a block of a disk that was never written.
const missing = 512

// WholeFrames walks over the frames of a segment; the first begins with the recording's header. A frame that ends
// beyond the file, or of which a block was never written, is not whole: a disk that lost power can leave a file with
// its length and without its bytes.
func WholeFrames(segment io.Reader, first bool) (w Whole, err error) {
	in := bufio.NewReaderSize(segment, 2*MaxFrame)
	if first {
		header, err := skipHeader(in)
		if header == 0 || err != nil {
			return w, err
		}
		w.Bytes = header
	}
	buf := make([]byte, MaxFrame)
	for {
		if _, err := io.ReadFull(in, buf[:frameHead]); err != nil {
			return w, unlessEnded(err)
		}
		length := int64(binary.BigEndian.Uint32(buf))
		if length == 0 || length > MaxFrame-frameHead {
			return w, nil
		}
		last := buf[4]&flagLast != 0
		if _, err := io.ReadFull(in, buf[:length]); err != nil {
			return w, unlessEnded(err)
		}
		if bytes.Contains(buf[:length], make([]byte, missing)) || bytes.HasSuffix(buf[:length], make([]byte, tagSize)) {
			return w, nil
		}
		w.Frames++
		w.Bytes += frameHead + length
		if last {
			n, err := io.ReadFull(in, buf[:ed25519.SignatureSize])
			w.Ended = n == ed25519.SignatureSize
			if w.Ended {
				w.Bytes += ed25519.SignatureSize
			}
			return w, unlessEnded(err)
		}
	}
}

// skipHeader gives the header's size, or 0 when it is not whole.
func skipHeader(in *bufio.Reader) (int64, error) {
	fixed := make([]byte, preambleSize)
	if _, err := io.ReadFull(in, fixed); err != nil {
		return 0, unlessEnded(err)
	}
	size := int64(binary.BigEndian.Uint32(fixed[preambleSize-4:])) + ed25519.SignatureSize
	if string(fixed[:len(magic)]) != magic || size > MaxHeader {
		return 0, nil
	}
	if n, err := io.CopyN(io.Discard, in, size); n != size {
		return 0, unlessEnded(err)
	}
	return int64(preambleSize) + size, nil
}

// unlessEnded tells an input that cannot be read from one that ends.
func unlessEnded(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
