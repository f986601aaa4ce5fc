package transfer

import (
	"encoding/binary"
	"math/bits"
)

// Frames (rsync.h, io.c): four bytes little-endian, the code plus rsyncBase in the highest, the length in the others.
const (
	rsyncBase     = 7
	rsyncData     = 0
	rsyncErrorX   = 1 // an error about a file
	rsyncInfo     = 2
	rsyncError    = 3
	rsyncWarning  = 4
	rsyncErrorU   = 8 // an error in UTF-8
	rsyncRedo     = 9
	rsyncStats    = 10
	rsyncIOError  = 22
	rsyncTimeout  = 33
	rsyncNoop     = 42
	rsyncExit     = 86
	rsyncSuccess  = 100
	rsyncDeleted  = 101
	rsyncNotSent  = 102
	rsyncTextSize = 5 << 10 // the greatest text of a frame, BIGPATHBUFLEN
)

// Indices with a meaning of their own (rsync.h).
const (
	rsyncDone     = -1
	rsyncListsEnd = -2
	rsyncDeletes  = -3
	rsyncFolder   = -101 // and below: the file list of a folder
)

// rsyncStream reads one direction: plain bytes at first, frames later.
type rsyncStream struct {
	*pieces
	protocol int32
	framed   bool
	frame    int64 // what is left of the frame of data at hand
	message  func(code byte, text []byte)

	positive, negative int32 // the last indices
}

// some reads 1 to most bytes of data, as they come, and hands over what comes between.
func (s *rsyncStream) some(most int64) []byte {
	if !s.framed {
		return s.pieces.some(most)
	}
	for s.frame == 0 {
		s.header()
	}
	b := s.pieces.some(min(most, s.frame))
	s.frame -= int64(len(b))
	return b
}

// header reads a frame's beginning; of a frame with a text all.
func (s *rsyncStream) header() {
	var b [4]byte
	for i := range b {
		b[i] = s.pieces.byte()
	}
	head := binary.LittleEndian.Uint32(b[:])
	code, size := int64(head>>24)-rsyncBase, int64(head&0xffffff)
	switch code {
	case rsyncData:
		s.frame = size
		return
	case rsyncErrorX, rsyncInfo, rsyncError, rsyncWarning, rsyncErrorU, rsyncRedo, rsyncStats, rsyncIOError, rsyncTimeout, rsyncNoop,
		rsyncExit, rsyncSuccess, rsyncDeleted, rsyncNotSent:
	default:
		s.lose("a frame of code %d", code)
	}
	if size > rsyncTextSize {
		s.lose("a text of %d bytes", size)
	}
	text := make([]byte, 0, size)
	for int64(len(text)) < size {
		text = append(text, s.pieces.some(size-int64(len(text)))...)
	}
	s.message(byte(code), text)
}

func (s *rsyncStream) byte() byte { return s.some(1)[0] }

// fill reads all of b.
func (s *rsyncStream) fill(b []byte) {
	for len(b) > 0 {
		b = b[copy(b, s.some(int64(len(b)))):]
	}
}

func (s *rsyncStream) skip(n int64) {
	for n > 0 {
		n -= int64(len(s.some(n)))
	}
}

func (s *rsyncStream) short() uint32 {
	low := uint32(s.byte())
	return low | uint32(s.byte())<<8
}

func (s *rsyncStream) int() int32 {
	var b [4]byte
	s.fill(b[:])
	return int32(binary.LittleEndian.Uint32(b[:]))
}

// varint reads a number whose first byte says by its leading ones how many bytes follow (io.c, read_varint).
func (s *rsyncStream) varint() int32 {
	first := s.byte()
	extra := bits.LeadingZeros8(^first)
	if extra > 4 {
		s.lose("a number of %d bytes", extra+1)
	}
	var b [8]byte
	s.fill(b[:extra])
	b[extra] = first & (1<<(8-extra) - 1)
	return int32(binary.LittleEndian.Uint32(b[:]))
}

// varlong reads a number of at least least bytes (io.c, read_varlong).
func (s *rsyncStream) varlong(least int) int64 {
	first := s.byte()
	extra := min(bits.LeadingZeros8(^first), 6)
	if least+extra > 9 {
		s.lose("a number of %d bytes", least+extra)
	}
	var b [9]byte
	s.fill(b[:least-1+extra])
	b[least-1+extra] = first & byte(1<<(8-extra)-1)
	return int64(binary.LittleEndian.Uint64(b[:]))
}

// longint reads a number of protocols before 30 (io.c, read_longint).
func (s *rsyncStream) longint() int64 {
	if n := s.int(); n != -1 {
		return int64(n)
	}
	low := uint32(s.int())
	return int64(low) | int64(s.int())<<32
}

// varint30 and varlong30 read what was a plain number before protocol 30.
func (s *rsyncStream) varint30() int32 {
	if s.protocol < 30 {
		return s.int()
	}
	return s.varint()
}

func (s *rsyncStream) varlong30(least int) int64 {
	if s.protocol < 30 {
		return s.longint()
	}
	return s.varlong(least)
}

// count reads a number that is the size of something.
func (s *rsyncStream) count(n int32, most int32) int64 {
	if n < 0 || n > most {
		s.lose("a count of %d, %d at most", n, most)
	}
	return int64(n)
}

// vstring reads a text with one or two bytes of length.
func (s *rsyncStream) vstring(most int32) []byte {
	n := int32(s.byte())
	if n&0x80 != 0 {
		n = n&0x7f<<8 | int32(s.byte())
	}
	text := make([]byte, s.count(n, most))
	s.fill(text)
	return text
}

// index reads an index, since protocol 30 as its distance from the one before (io.c, read_ndx).
func (s *rsyncStream) index() int32 {
	if s.protocol < 30 {
		return s.int()
	}
	last, sign := &s.positive, int32(1)
	b := s.byte()
	switch b {
	case 0:
		return rsyncDone
	case 0xff:
		last, sign, b = &s.negative, -1, s.byte()
	}
	*last = s.distance(b, *last)
	return sign * *last
}

func (s *rsyncStream) distance(b byte, last int32) int32 {
	n := int64(last) + int64(b)
	if b == 0xfe {
		high, low := s.byte(), s.byte()
		n = int64(last) + int64(high)<<8 + int64(low)
		if high&0x80 != 0 {
			n = int64(high&0x7f)<<24 | int64(low)
			n |= int64(s.byte())<<8 | int64(s.byte())<<16
		}
	}
	if n > 1<<31-1 {
		s.lose("an index of %d", n)
	}
	return int32(n)
}
