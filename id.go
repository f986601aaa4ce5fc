package sekisho

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

var idAlphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewID makes an unguessable name of 128 random bits, such as "ses_k5xq…": the prefix says what it names.
func NewID(prefix string) string {
	var b [16]byte
	rand.Read(b[:]) // never fails (Go 1.24)
	return prefix + "_" + idAlphabet.EncodeToString(b[:])
}

// CheckID reports whether s has the form of an ID with that prefix. Use it before an ID from outside becomes
// part of a path or a query.
func CheckID(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix+"_")
	if !ok || len(rest) != 26 {
		return false
	}
	// Byte by byte: the decoder of base32 would skip line ends.
	return !strings.ContainsFunc(rest, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '2' && r <= '7') })
}
