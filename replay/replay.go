// Package replay is a recording as a person uses it: read, searched, played, and written in the formats of other tools.
//
// It joins what a recording holds (package recording) and what a terminal makes of it (package terminal). Everything here reads
// a [Source] from front to back and holds a bounded part of it, so that a session of days costs no more memory than one
// of minutes.
//
// Who made a session chose its bytes. Exports for players keep them as they were, for that is what players are for; all
// that is made for people to read on their own terminal holds no control sequence of theirs.
//
// The package is pure: entries in, bytes out. It opens no file and reads no clock.
package replay

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/sekisho/sekisho/recording"
)

// Source is a recording that was opened, such as a *recording.Reader.
type Source interface {
	// Header says whose session it was.
	Header() recording.Header
	// Next gives the next entry, io.EOF after the last one of a whole recording, and an error that wraps
	// recording.ErrCut after the last one of a cut recording. The entry's data are valid until the next call.
	Next() (recording.Entry, error)
	// End tells how the recording ended; ok is false until Next has returned io.EOF.
	End() (end recording.End, at time.Duration, ok bool)
}

// AnyChannel stands for the first channel of a session on which a program runs.
const AnyChannel = math.MaxUint32

// NoChannelError says that a recording was read to its end without an entry of the channel that was asked for.
type NoChannelError struct{ Channel uint32 }

func (e *NoChannelError) Error() string {
	return fmt.Sprintf("the recording has no channel %d", e.Channel)
}

// Choice finds the entries of one channel, in the one way in which recordings are played and exported.
type Choice struct {
	channel uint32
	met     bool // an entry of it was there
}

// Choose is the choice of a channel by its number, or AnyChannel.
func Choose(channel uint32) Choice { return Choice{channel: channel} }

// Takes reports whether e is on the channel, or tells of bytes that are missing from the session once the channel was met.
// When that is AnyChannel, the first entry that only a program can cause says which one it is.
func (c *Choice) Takes(e recording.Entry) bool {
	if e.Kind == recording.Lost && e.Channel == 0 && c.met {
		return true
	}
	if c.channel == AnyChannel && ofProgram(e.Kind) {
		c.channel = e.Channel
	}
	if e.Channel != c.channel || !ofChannel(e.Kind) {
		return false
	}
	c.met = true
	return true
}

// Missing is a *NoChannelError when a channel was named and not met in the whole recording; end is how that ended.
func (c *Choice) Missing(end error) error {
	if c.met || c.channel == AnyChannel || !errors.Is(end, io.EOF) {
		return nil
	}
	return &NoChannelError{c.channel}
}

// ofProgram says which entries exist only for a channel with a program.
func ofProgram(k recording.Kind) bool {
	switch k {
	case recording.ChannelOpen, recording.ChannelClose, recording.File, recording.Forward, recording.Lost:
		return false
	}
	return ofChannel(k)
}

// LostBytes is how many bytes of the session are missing where an entry of kind Lost stands; 0 if it does not say.
func LostBytes(e recording.Entry) uint64 {
	l, err := recording.DecodeLoss(e.Data)
	if err != nil {
		return 0
	}
	return l.Bytes
}

// ofChannel leaves out notes, which most often are about the whole connection.
func ofChannel(k recording.Kind) bool { return k != recording.Note }

// whole makes nil of the end of a whole recording and leaves other ends as they are.
func whole(end error) error {
	if errors.Is(end, io.EOF) {
		return nil
	}
	return end
}

// each gives every entry to take, and says how the recording ended; an error of take ends it at once.
func each(r Source, take func(recording.Entry) error) (end, err error) {
	for {
		e, end := r.Next()
		if end != nil {
			return end, nil
		}
		if err := take(e); err != nil {
			return nil, err
		}
	}
}
