package recording

import (
	"fmt"
	"time"
)

// MaxSegments is how many segments a recording has at most.
const MaxSegments = 1 << 16

// Segment is a part of a recording that can be read without what comes before it, given these facts and the header.
// The facts are an index and prove nothing by themselves: frames open only where the chain says that they stand.
type Segment struct {
	// Index counts segments from 0.
	Index int
	// Offset is where in the recording the segment begins, Bytes how many it takes. The first holds the header, the
	// last the signature too: the segments of a recording, one behind the other, are the recording.
	Offset, Bytes int64
	// Frame is the number of its first frame, Frames how many it has.
	Frame, Frames int64
	// Chain is the hex SHA-256 before its first frame.
	Chain string
	// First and Last are the times of its first and last entry, in whole microseconds.
	First, Last time.Duration
}

// Beginning is what is known of a segment that still runs: its end is left open, and not checked.
func (s Segment) Beginning() Segment {
	s.Bytes, s.Frames, s.Last = 0, 0, 0
	return s
}

// check finds facts that cannot be right.
func (s Segment) check() error {
	first := s.Index == 0
	switch {
	case s.Index < 0 || s.Index >= MaxSegments:
		return invalid("segment %d: there are at most %d", s.Index, MaxSegments)
	case !isSum(s.Chain):
		return invalid("segment %d: its chain is no hex SHA-256", s.Index)
	case s.Offset < 0 || s.Frame < 0 || s.Frame >= maxFrames || first != (s.Offset == 0) || first != (s.Frame == 0):
		return invalid("segment %d: it cannot begin at byte %d with frame %d", s.Index, s.Offset, s.Frame)
	case s.Bytes < 0 || s.Frames < 0 || s.Frames > maxFrames-s.Frame || s.Offset+s.Bytes < s.Offset || (s.Bytes == 0) != (s.Frames == 0):
		return invalid("segment %d: it cannot have %d bytes and %d frames", s.Index, s.Bytes, s.Frames)
	case s.First < 0 || s.First%time.Microsecond != 0 || s.Last%time.Microsecond != 0 || s.Frames > 0 && s.Last < s.First:
		return invalid("segment %d: its times are out of order", s.Index)
	}
	return nil
}

// differs says in what the facts do not tell of found. Without times the entries were not opened.
func (s Segment) differs(found Segment, times bool) error {
	if !times {
		found.First, found.Last = s.First, s.Last
	}
	if s.Frames == 0 {
		found = found.Beginning()
	}
	if s != found {
		return invalid("segment %d is not as its index has it: bytes %d+%d, frames %d+%d, %s to %s; the index has bytes %d+%d, frames %d+%d, %s to %s",
			found.Index, found.Offset, found.Bytes, found.Frame, found.Frames, found.First, found.Last,
			s.Offset, s.Bytes, s.Frame, s.Frames, s.First, s.Last)
	}
	return nil
}

// segmentError puts where something is wrong in front.
func segmentError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read recording: %w", err)
}
