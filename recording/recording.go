// Package recording is the sealed file of a session: its format, writer, reader and verifier.
//
// A recording is written while the session runs. It begins with a header in the clear that names the session, who
// can open the file and who signs it; then come frames, each sealed by AES-256-GCM under a key made for this file
// alone; then an end record and a signature. The file key is sealed by HPKE to each recipient, so the gateway that
// writes a recording cannot read it back, and neither can the house that keeps it.
//
// Every frame is bound to the header and to all frames before it by a running SHA-256, the chain. A frame that was
// changed, dropped, moved or taken from another file does not open; a file that lost its tail has no signed end and
// says so ([ErrCut]). Whoever lacks a private key can still check header, chain and end with [Verify].
//
// A recording consists of segments, each of which can be read without those before it; a [Manifest] tells where they
// begin. What is in the frames is compressed before it is sealed.
//
// The format is in FORMAT.md, and files to try a reader on are in testdata/vectors. The package is pure: bytes in, bytes out; it opens no file, reads no clock, and takes
// random bytes only for the keys it makes.
package recording

//go:generate go run ../dev/vectors testdata/vectors

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sekisho/sekisho"
)

// Bounds of the format. A reader never allocates more than these, whatever a file says.
const (
	// MaxHeader is the most bytes a header takes, its signature included.
	MaxHeader = 320 << 10
	// MaxFrame is the most bytes a frame takes in the file, its length, flags and tag included.
	MaxFrame = 64 << 10
	// MaxData is the most bytes of one entry. Append splits longer output, and refuses longer data of other kinds.
	MaxData = MaxFrame - frameOverhead - entryHeader
	// MaxRecipients is how many keys one recording can be sealed to.
	MaxRecipients = 256
	// maxFrames keeps the number of frames under one key far below what AES-GCM bears.
	maxFrames = 1 << 32
)

// ErrCut is returned, wrapped in a sentence that tells how much is intact, for a file that stops before its signed
// end record: the gateway died, the session still runs, or somebody took the tail away.
var ErrCut = errors.New("the recording has no end record")

// ErrVersion is returned, wrapped, for files of a newer format, kind of key or feature than this reader knows.
var ErrVersion = errors.New("made by a newer version")

// ErrOld is returned, wrapped, for files of a format that was never released.
var ErrOld = errors.New("made by an older version, which only that version reads")

// ErrInvalid is what errors wrap that mean: this file is not as a writer made it. Errors of the underlying reader
// and writer do not wrap it, and neither do ErrCut and WrongKeyError.
var ErrInvalid = errors.New("the recording is not valid")

// invalidError is an ErrInvalid that says only what is wrong.
type invalidError struct{ error }

func (e invalidError) Unwrap() []error { return []error{e.error, ErrInvalid} }

func invalid(format string, args ...any) error { return invalidError{fmt.Errorf(format, args...)} }

// Slot is one recipient's place in a header.
type Slot struct {
	// ID names the key: "rk_" and 16 hex digits.
	ID string
	// KEM is its kind.
	KEM KEM
}

// Header is what stands at the beginning of a recording.
type Header struct {
	// Session says whose recording it is. Only ID and Started are in the clear; the rest is sealed in the first
	// frame, so that without a key the other fields stay empty.
	Session sekisho.Session
	// The fields below are filled in by the writer and the reader; NewWriter ignores them.

	// Recipients are the IDs of the keys that open the file, Slots the same with their kinds.
	Recipients []string
	Slots      []Slot
	// Signer is the public half of the key that signed header and end. That the signature is right says nothing
	// until Signer is known to be a gateway's.
	Signer ed25519.PublicKey
	// Hash is the hex SHA-256 of the header's bytes, where the chain begins.
	Hash string
}

// CheckKey returns a *WrongKeyError unless the file is sealed to the key with that ID. A key that is locked, or on a
// token, can so be told from the right one before anybody is asked for a passphrase.
func (h Header) CheckKey(id string) error {
	if slices.Contains(h.Recipients, id) {
		return nil
	}
	return &WrongKeyError{Have: id, Want: h.Recipients}
}

// End says why a recording was closed.
type End string

const (
	// EndDone: the session came to its own end.
	EndDone End = "done"
	// EndStopped: the session was ended by policy, time or an administrator.
	EndStopped End = "stopped"
	// EndShutdown: the gateway was going down.
	EndShutdown End = "shutdown"
	// EndFailed: the connection to client or target broke.
	EndFailed End = "failed"
)

// Summary is what the house keeps about a closed recording.
type Summary struct {
	// Chain is the hex SHA-256 at the end of the chain.
	Chain string
	// Bytes is the size of the file.
	Bytes int64
}

// Entry is one thing that happened in a session.
type Entry struct {
	Kind Kind
	// At is the time since the session started, never negative. The file keeps microseconds, and times never go
	// back in it: what a Writer gets too late has the time of the entry before.
	At time.Duration
	// Channel tells the session's channels apart; entries about the whole connection have 0.
	Channel uint32
	// Data is the payload of the kind. From a Reader it is valid until the next call of Next.
	Data []byte
}
