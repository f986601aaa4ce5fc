// Package krl writes and reads OpenSSH's key revocation lists (PROTOCOL.krl, format version 1), and answers what sshd
// would say of a key or certificate.
//
// A List is plain data. Marshal writes it in one canonical form: sorted, nothing twice, serials in whichever of list,
// range and bitmap takes the least, so that processes which revoke the same produce the same bytes. Whatever Marshal
// writes Parse reads, and what Parse has read comes out of Marshal and Parse the same.
//
// Parse reads what ssh-keygen -k writes and sshd reads. What sshd refuses it refuses as well, so that it can tell
// beforehand whether a list would lock everybody out: among it bitmaps that span more than 16,384 serials, which
// ssh-keygen -k writes all the same, and where Marshal writes several. It is stricter with signature sections, which OpenSSH has given up, keys
// that do not say their type or are certificates, times after the year 9999, and what is beyond MaxSize or MaxEntries.
// Extensions that are not critical are passed over, as since OpenSSH 9.4; those before refuse the list.
//
// What sshd makes of the file that RevokedKeys names, tried with a stock one (TestDamage):
//
//   - A file that is missing, or begins as a list and is broken later, refuses every key and certificate. So does text
//     that is no key.
//   - A file of no bytes, or one that begins with zeros (as a crash can leave behind) or "#", is to sshd an empty list of
//     plain keys: NOTHING IS REVOKED.
//   - The format has no checksum and no end mark. A list that is cut between two sections is a shorter list, and a flipped
//     bit in a serial is another serial.
//
// So a list is to be written beside its place, synced and renamed, and compared with the hash that came with it.
//
// The package is pure: bytes in, bytes out. It takes no clock, verifies no signature, and keeps nothing.
package krl

import (
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// MaxSize is the longest list in bytes. OpenSSH takes 128 MiB.
	MaxSize = 16 << 20
	// MaxEntries bounds ranges of serials, key IDs, keys, fingerprints and CAs, all in one list. Serials that follow each
	// other are one range.
	MaxEntries = 1 << 20
)

// List is what a KRL revokes. The zero List revokes nothing, and is a valid file.
type List struct {
	// Number tells versions of a list apart and goes upwards; krl_version.
	Number uint64
	// Generated has the precision of a second, from 1970 to 9999; zero is written as 0. sshd does not look at it.
	Generated time.Time
	// Comment holds no zero byte.
	Comment string
	// Authorities revoke certificates by the CA that signed them.
	Authorities []Authority
	// Keys are revoked wherever they are: by themselves, in a certificate, and as the CA of a certificate. They are plain
	// keys, never certificates. Parse keeps a key of a type that this program does not know as its bytes.
	Keys []ssh.PublicKey
	// SHA256 and SHA1 revoke the same as Keys, by the hash of the key's blob (a certificate's is that of its plain key). SHA1 is
	// for lists of others.
	SHA256 [][32]byte
	SHA1   [][20]byte
}

// Authority lists certificates of one CA.
type Authority struct {
	// Key is the CA; nil means any CA, which is of use for key IDs only.
	Key ssh.PublicKey
	// Serials may come in any order and overlap; Parse gives them sorted, with gaps between them. A certificate whose serial is
	// 0 cannot be revoked by it.
	Serials []Range
	// KeyIDs are compared byte by byte. They hold no zero byte.
	KeyIDs []string
}

// Range is the serials from First to Last, both included; 1 <= First <= Last.
type Range struct{ First, Last uint64 }

// Serials gives each number as a range of its own; Marshal joins those that meet.
func Serials(numbers ...uint64) []Range {
	ranges := make([]Range, len(numbers))
	for i, n := range numbers {
		ranges[i] = Range{First: n, Last: n}
	}
	return ranges
}
