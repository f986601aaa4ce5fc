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
)

var kindNames = map[Kind]string{
	Output: "output", Stderr: "stderr", Input: "input",
	ChannelOpen: "channel-open", PTYRequest: "pty", Env: "env", Shell: "shell", Exec: "exec", Subsystem: "subsystem",
	Resize: "resize", Signal: "signal", EOF: "eof", ExitStatus: "exit-status", ExitSignal: "exit-signal",
	ChannelClose: "channel-close", Note: "note", File: "file", Forward: "forward",
}

func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// stream reports whether the data of k are a piece of a byte stream, which may be split anywhere.
func (k Kind) stream() bool { return k == Output || k == Stderr || k == Input }

func (k Kind) known() bool {
	return k == kindSession || k == kindEnd || k >= Output && k <= Input || k >= ChannelOpen && k <= Forward
}

// entryHeader is the size of kind, time, channel and length before the data.
const entryHeader = 1 + 8 + 4 + 4

// putEntry writes e to the front of b, which must have room, and returns how many bytes it took.
func putEntry(b []byte, e Entry) int {
	b[0] = byte(e.Kind)
	binary.BigEndian.PutUint64(b[1:], uint64(e.At))
	binary.BigEndian.PutUint32(b[9:], e.Channel)
	binary.BigEndian.PutUint32(b[13:], uint32(len(e.Data)))
	return entryHeader + copy(b[entryHeader:], e.Data)
}

// cutEntry takes one entry off the front of b. The entry's data are part of b.
func cutEntry(b []byte) (Entry, []byte, error) {
	if len(b) < entryHeader {
		return Entry{}, nil, errors.New("entry is cut off")
	}
	at, size := binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint32(b[13:])
	e := Entry{Kind: Kind(b[0]), At: time.Duration(at), Channel: binary.BigEndian.Uint32(b[9:])}
	b = b[entryHeader:]
	switch {
	case !e.Kind.known():
		return Entry{}, nil, fmt.Errorf("entry of %s: %w", e.Kind, ErrVersion)
	case at > math.MaxInt64:
		return Entry{}, nil, errors.New("entry has a time beyond all sessions")
	case uint64(size) > uint64(len(b)):
		return Entry{}, nil, fmt.Errorf("entry of %d bytes where %d are left", size, len(b))
	}
	e.Data = b[:size:size]
	return e, b[size:], nil
}
