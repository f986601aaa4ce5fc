package transfer

import (
	"encoding/binary"
	"fmt"
)

// Packet types of SFTP version 3 (draft-ietf-secsh-filexfer-02 §3).
const (
	fxpInit          = 1
	fxpVersion       = 2
	fxpOpen          = 3
	fxpClose         = 4
	fxpRead          = 5
	fxpWrite         = 6
	fxpLstat         = 7
	fxpFstat         = 8
	fxpSetstat       = 9
	fxpFsetstat      = 10
	fxpOpendir       = 11
	fxpReaddir       = 12
	fxpRemove        = 13
	fxpMkdir         = 14
	fxpRmdir         = 15
	fxpRealpath      = 16
	fxpStat          = 17
	fxpRename        = 18
	fxpReadlink      = 19
	fxpSymlink       = 20
	fxpStatus        = 101
	fxpHandle        = 102
	fxpData          = 103
	fxpName          = 104
	fxpAttrs         = 105
	fxpExtended      = 200
	fxpExtendedReply = 201
)

// Codes of a STATUS (§7).
const (
	fxOK          = 0
	fxEOF         = 1
	fxNoSuchFile  = 2
	fxDenied      = 3
	fxFailure     = 4
	fxUnsupported = 8
)

// Flags of an OPEN (§6.3).
const (
	fxfWrite  = 0x02
	fxfAppend = 0x04
	fxfCreate = 0x08
	fxfTrunc  = 0x10
	fxfExcl   = 0x20
)

// Bounds of what is taken for SFTP.
const (
	// sftpMaxLength is the greatest length that a packet may say it has: OpenSSH's greatest message and what surrounds it.
	sftpMaxLength = 256<<10 + 1024
	// sftpMaxHandle is the greatest length of a handle (§6.3).
	sftpMaxHandle = 256
	// sftpPrefix are the bytes of a packet's length and type.
	sftpPrefix = 5
)

// sftpBody is what is left of a packet; bad says that a field was not whole.
type sftpBody struct {
	b   []byte
	bad bool
}

func (s *sftpBody) take(n uint64) []byte {
	if n > uint64(len(s.b)) {
		s.b, s.bad = nil, true
		return nil
	}
	field := s.b[:n:n]
	s.b = s.b[n:]
	return field
}

func (s *sftpBody) uint32() uint32 {
	if b := s.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (s *sftpBody) uint64() uint64 {
	if b := s.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (s *sftpBody) string() []byte { return s.take(uint64(s.uint32())) }

// pairs passes over n pairs of strings.
func (s *sftpBody) pairs(n uint32) {
	for ; n > 0 && !s.bad; n-- {
		s.string()
		s.string()
	}
}

// whole reports that every field was there, and nothing beside them.
func (s *sftpBody) whole() bool { return !s.bad && len(s.b) == 0 }

// sftpAttrs are those of a file's attributes that matter here (§5).
type sftpAttrs struct {
	hasSize, hasMode bool
	onlySize         bool // nothing else is in them
	size             uint64
	mode             uint32
}

func (s *sftpBody) attrs() (a sftpAttrs) {
	flags := s.uint32()
	a.onlySize = flags == 1
	if a.hasSize = flags&1 != 0; a.hasSize {
		a.size = s.uint64()
	}
	if flags&2 != 0 {
		s.uint64() // owner and group
	}
	if a.hasMode = flags&4 != 0; a.hasMode {
		a.mode = s.uint32()
	}
	if flags&8 != 0 {
		s.uint64() // times
	}
	if flags&(1<<31) != 0 {
		s.pairs(s.uint32())
	}
	return a
}

// File types in a mode (POSIX).
func (a sftpAttrs) regular() bool { return !a.hasMode || a.mode&0o170000 == 0o100000 }
func (a sftpAttrs) link() bool    { return !a.hasMode || a.mode&0o170000 == 0o120000 }

// startPacket begins a packet in b, which endPacket gives its length.
func startPacket(b []byte, kind byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 0, kind), id)
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// endPacket gives the packet that starts at b[from] its length.
func endPacket(b []byte, from int) []byte {
	binary.BigEndian.PutUint32(b[from:], uint32(len(b)-from-4))
	return b
}

// statusPacket is an answer of our own.
func statusPacket(id, code uint32, text string) []byte {
	b := binary.BigEndian.AppendUint32(startPacket(nil, fxpStatus, id), code)
	return endPacket(appendString(appendString(b, text), ""), 0)
}

// notSFTP is the error for what breaks the protocol.
func notSFTP(format string, args ...any) error {
	return fmt.Errorf("sftp: %s: %w", fmt.Sprintf(format, args...), ErrProtocol)
}
