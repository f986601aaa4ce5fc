package spool

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
)

// Whole tells how much of a segment can be relied upon.
type Whole struct {
	Frames int64 // whole ones
	Bytes  int64 // up to the end of the last of them, or of the recording
	Ended  bool  // the recording's last frame and its signature are there
}

// Sizes of recording/FORMAT.md.
const (
	headerFixed  = 16 // magic, version, flags, size of the body
	signature    = 64
	maxHeader    = 1 << 20
	frameHead    = 5 // length, flags
	maxFrame     = 64 << 10
	frameSlack   = 1 << 10
	flagLast     = 1
	missingBlock = 512 // zero bytes in a row that no sealed frame has
)

// WholeFrames walks over the frames of a segment; the first begins with the recording's header. A frame that ends
// beyond the file, or of which a block was never written, is not whole: a disk that lost power can leave a file with
// its length and without its bytes.
func WholeFrames(segment io.Reader, first bool) (w Whole, err error) {
	in := bufio.NewReaderSize(segment, 2*maxFrame)
	if first {
		header, err := skipHeader(in)
		if header == 0 || err != nil {
			return w, err
		}
		w.Bytes = header
	}
	buf := make([]byte, maxFrame+frameSlack)
	for {
		if _, err := io.ReadFull(in, buf[:frameHead]); err != nil {
			return w, whyNot(err, nil)
		}
		length := int64(binary.BigEndian.Uint32(buf))
		if length == 0 || length > maxFrame+frameSlack {
			return w, nil
		}
		last := buf[4]&flagLast != 0
		if _, err := io.ReadFull(in, buf[:length]); err != nil {
			return w, whyNot(err, nil)
		}
		if bytes.Contains(buf[:length], make([]byte, missingBlock)) || bytes.HasSuffix(buf[:length], make([]byte, 16)) {
			return w, nil
		}
		w.Frames++
		w.Bytes += frameHead + length
		if last {
			n, err := io.ReadFull(in, buf[:signature])
			w.Ended = n == signature
			if w.Ended {
				w.Bytes += signature
			}
			return w, whyNot(err, nil)
		}
	}
}

// skipHeader gives the header's size, or 0 when it is not whole.
func skipHeader(in *bufio.Reader) (int64, error) {
	fixed := make([]byte, headerFixed)
	if _, err := io.ReadFull(in, fixed); err != nil {
		return 0, whyNot(err, nil)
	}
	size := int64(binary.BigEndian.Uint32(fixed[12:])) + signature
	if string(fixed[:8]) != "sekisho\x00" || size > maxHeader {
		return 0, nil
	}
	if n, err := io.CopyN(io.Discard, in, size); n != size {
		return 0, whyNot(err, nil)
	}
	return headerFixed + size, nil
}
