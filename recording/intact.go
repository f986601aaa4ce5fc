package recording

import (
	"encoding/hex"
	"errors"
	"io"
)

// Extent is how far a recording goes, as far as that can be told without a key.
type Extent struct {
	Header Header
	// Frames and Bytes count what is whole: the file may be cut after Bytes without losing a frame. Chain is the hex
	// SHA-256 up to there.
	Frames, Bytes int64
	Chain         string
	// Complete: the last frame is there, and the signature behind it is right. Its bytes are counted.
	Complete bool
	// Segment is the running one, or in a complete recording the last, as far as it is whole. Its times are not known.
	Segment Segment
	// Torn says what stands behind that and is not whole; nil if nothing does.
	Torn error
}

// Intact reads a recording from its beginning and tells how far it is whole, without a key. It is for whoever keeps
// recordings that may have been cut off while they were written.
//
// It finds a frame that is not all there, and what has no form of a frame, such as zeros. It cannot tell a frame of
// the right length whose bytes did not all reach the disk from one that did: that takes a key, or checksums of one's
// own. In a complete recording the signature proves every byte. The error is for a file without a whole header, and
// for r's own.
func Intact(r io.Reader) (Extent, error) {
	file, err := newContainer(r)
	if err != nil {
		return Extent{}, err
	}
	err = verifyClosed(file)
	if err != nil && !errors.Is(err, ErrCut) && !errors.Is(err, ErrInvalid) {
		return Extent{}, err
	}
	e := Extent{
		Header: file.header.public(), Frames: int64(file.chain.seq), Bytes: file.bytes,
		Chain: hex.EncodeToString(file.chain.now[:]), Complete: file.signed, Segment: file.segment,
	}
	if file.torn || errors.Is(err, ErrInvalid) {
		e.Torn = err
	}
	return e, nil
}
