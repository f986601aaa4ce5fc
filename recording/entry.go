package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// Kind says what an entry is, and what its data hold.
type Kind uint8

// Kinds. The numbers are part of the format and are never given to something else.
const (
	kindSession Kind = 1 // first entry of the file: sekisho.Session as JSON
	kindEnd     Kind = 2 // only entry of the last frame: totals and reason

	Output Kind = 16 // bytes the target sent to the user
	Stderr Kind = 17 // the same on the extended stream (RFC 4254 §5.2, type 1)
	Input  Kind = 18 // bytes the user sent; not kept unless asked for, they hold passwords
	Typed  Kind = 19 // Typing: that the user typed, not what

	ChannelOpen  Kind = 32 // the channel's type
	PTYRequest   Kind = 33 // PTY
	Env          Kind = 34 // Variable
	Shell        Kind = 35 // nothing
	Exec         Kind = 36 // the command
	Subsystem    Kind = 37 // the subsystem's name
	Resize       Kind = 38 // columns and rows
	Signal       Kind = 39 // the signal's name without "SIG"
	EOF          Kind = 40 // nothing
	ExitStatus   Kind = 41 // the status
	ExitSignal   Kind = 42 // Exit
	ChannelClose Kind = 43 // nothing
	Note         Kind = 44 // text by the gateway, such as a request that it refused
	File         Kind = 45 // JSON of a transfer.Operation
	Forward      Kind = 46 // JSON of a forward: what was opened, or how it ended
	Lost         Kind = 47 // Loss: bytes that are missing here
)

var kindNames = map[Kind]string{
	Output: "output", Stderr: "stderr", Input: "input", Typed: "typed",
	ChannelOpen: "channel-open", PTYRequest: "pty", Env: "env", Shell: "shell", Exec: "exec", Subsystem: "subsystem",
	Resize: "resize", Signal: "signal", EOF: "eof", ExitStatus: "exit-status", ExitSignal: "exit-signal",
	ChannelClose: "channel-close", Note: "note", File: "file", Forward: "forward", Lost: "lost",
}

func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Stream reports whether the data of k are a piece of a byte stream, which may be split anywhere.
func (k Kind) Stream() bool { return k == Output || k == Stderr || k == Input }

func (k Kind) known() bool {
	return k == kindSession || k == kindEnd || k >= Output && k <= Typed || k >= ChannelOpen && k <= Lost
}

const (
	// entryHeader is the most that kind, time, channel and length take before the data.
	entryHeader = 1 + 8 + 5 + 3
	// minEntry is the least that an entry takes, and so a frame's entries.
	minEntry = 1 + 1 + 1 + 1
	// maxTime is the largest time of an entry in microseconds: what a time.Duration holds.
	maxTime = math.MaxInt64 / 1000
)

// pace turns times since the session's start into what stands in entries, and back: the first of a frame as it is,
// each later one as the step from the one before.
type pace struct {
	last    uint64 // microseconds, of the latest entry
	running bool   // within a frame
}

// step gives what stands in the entry. A time before the latest entry's becomes that one.
func (p *pace) step(at time.Duration) uint64 {
	now := max(uint64(at/time.Microsecond), p.last)
	step := now
	if p.running {
		step = now - p.last
	}
	p.last, p.running = now, true
	return step
}

// follow is the inverse of step.
func (p *pace) follow(step uint64) (time.Duration, error) {
	now := step
	if p.running {
		now += p.last
	}
	switch {
	case step > maxTime || now > maxTime:
		return 0, errors.New("entry has a time beyond all sessions")
	case now < p.last:
		return 0, errors.New("entry has a time before the last one's")
	}
	p.last, p.running = now, true
	return time.Duration(now) * time.Microsecond, nil
}

// putEntry writes e to the front of b, which must have room, and returns how many bytes it took.
func putEntry(b []byte, e Entry, p *pace) int {
	b[0] = byte(e.Kind)
	n := 1
	n += binary.PutUvarint(b[n:], p.step(e.At))
	n += binary.PutUvarint(b[n:], uint64(e.Channel))
	n += binary.PutUvarint(b[n:], uint64(len(e.Data)))
	return n + copy(b[n:], e.Data)
}

// cutEntry takes one entry off the front of b. The entry's data are part of b.
func cutEntry(b []byte, p *pace) (Entry, []byte, error) {
	d := decoder{b: b}
	e := Entry{Kind: Kind(d.uint8())}
	if !d.bad && !e.Kind.known() {
		return Entry{}, nil, fmt.Errorf("entry of %s: %w", e.Kind, ErrVersion)
	}
	step, channel, size := d.uvarint(), d.uvarint(), d.uvarint()
	switch {
	case d.bad:
		return Entry{}, nil, errors.New("entry is cut off, or its numbers are out of form")
	case channel > math.MaxUint32:
		return Entry{}, nil, errors.New("entry has a channel beyond all sessions")
	case size > uint64(len(d.b)):
		return Entry{}, nil, fmt.Errorf("entry of %d bytes where %d are left", size, len(d.b))
	}
	at, err := p.follow(step)
	if err != nil {
		return Entry{}, nil, err
	}
	e.At, e.Channel, e.Data = at, uint32(channel), d.take(size)
	return e, d.b, nil
}
