package recording

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A private key under a passphrase is one line:
//
//	sekisho-locked-key-v1 KEM ID ITERATIONS BASE64(salt) BASE64(sealed) [LABEL]
//
// sealed is nonce, ciphertext and tag of AES-256-GCM. Its key is PBKDF2-HMAC-SHA256 (RFC 8018) of the passphrase, its
// additional data the line without the field sealed.
const (
	saltSize       = 16
	lockedOverhead = 12 + tagSize
	// usualIterations is what OWASP asks of PBKDF2-HMAC-SHA256 since 2023.
	usualIterations = 600_000
	minIterations   = 1_000
	maxIterations   = 10_000_000
	// MaxPassphrase is the most bytes of a passphrase.
	MaxPassphrase = 1 << 10
)

// ErrPassphrase is what Unlock wraps when the passphrase is not the one, or the line was changed.
var ErrPassphrase = errors.New("the passphrase is wrong")

// LockedKey is a private key under a passphrase. Its ID and label can be read without it, and are bound to it.
type LockedKey struct {
	kem        KEM
	id         keyID
	iterations int
	salt       []byte
	sealed     []byte
	label      string
}

// Encrypt gives the private key as one line with its newline, under a passphrase of 1 to MaxPassphrase bytes.
func (k *PrivateKey) Encrypt(passphrase []byte) ([]byte, error) {
	return k.encrypt(passphrase, usualIterations)
}

func (k *PrivateKey) encrypt(passphrase []byte, iterations int) ([]byte, error) {
	raw, err := k.private.Bytes()
	if err != nil {
		return nil, errors.New("encrypt private key: it is kept elsewhere")
	}
	l := &LockedKey{kem: k.to.kem, id: k.to.id, iterations: iterations, salt: make([]byte, saltSize), label: k.to.label}
	rand.Read(l.salt) // never fails (Go 1.24)
	aead, err := l.aead(passphrase)
	if err != nil {
		return nil, fmt.Errorf("encrypt private key: %w", err)
	}
	l.sealed = aead.Seal(nil, nil, raw, []byte(l.line("")))
	return l.Encode(), nil
}

// ParseLockedKey reads what Encrypt gave. The newline may be missing.
func ParseLockedKey(text []byte) (*LockedKey, error) {
	line, _ := bytes.CutSuffix(text, []byte("\n"))
	fields, label, err := splitKeyLine(lockedType, string(line), 6)
	if err != nil {
		return nil, fmt.Errorf("parse locked key: %w", err)
	}
	l := &LockedKey{label: label}
	var form kemForm
	if l.kem, form, err = parseForm(fields[1]); err != nil {
		return nil, fmt.Errorf("parse locked key: %w", err)
	}
	if l.id, err = parseKeyID(fields[2]); err != nil {
		return nil, fmt.Errorf("parse locked key: %w", err)
	}
	if l.iterations, err = parseIterations(fields[3]); err != nil {
		return nil, fmt.Errorf("parse locked key: %w", err)
	}
	if l.salt, err = decodeField("salt", fields[4], saltSize, saltSize); err != nil {
		return nil, fmt.Errorf("parse locked key: %w", err)
	}
	size := form.private + lockedOverhead
	if l.sealed, err = decodeField("sealed key", fields[5], size, size); err != nil {
		return nil, fmt.Errorf("parse locked key: %w", err)
	}
	return l, nil
}

func parseKeyID(field string) (id keyID, err error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(field, "rk_"))
	if err == nil && len(raw) == len(id) {
		id = keyID(raw)
	}
	if id.String() != field {
		return keyID{}, errors.New("key ID is not rk_ and 16 hex digits")
	}
	return id, nil
}

func parseIterations(field string) (int, error) {
	n, err := strconv.Atoi(field)
	if err != nil || strconv.Itoa(n) != field || n < minIterations || n > maxIterations {
		return 0, fmt.Errorf("number of iterations is not %d to %d", minIterations, maxIterations)
	}
	return n, nil
}

// ID names the key pair: "rk_" and 16 hex digits.
func (l *LockedKey) ID() string { return l.id.String() }

// KEM is the kind of the key.
func (l *LockedKey) KEM() KEM { return l.kem }

// Label is the name that the key's maker gave it.
func (l *LockedKey) Label() string { return l.label }

// Encode gives the key as one line with its newline: what ParseLockedKey read.
func (l *LockedKey) Encode() []byte {
	return []byte(l.line(base64.StdEncoding.EncodeToString(l.sealed)+" ") + "\n")
}

// String names the key without showing its line, on which passphrases could be tried.
func (l *LockedKey) String() string { return "locked private key " + l.ID() }

// GoString is the same for %#v.
func (l *LockedKey) GoString() string { return l.String() }

// line is the line with sealed in its place.
func (l *LockedKey) line(sealed string) string {
	line := fmt.Sprintf("%s %s %s %d %s %s%s", lockedType, l.kem, l.id, l.iterations, base64.StdEncoding.EncodeToString(l.salt), sealed, l.label)
	return strings.TrimSuffix(line, " ")
}

// Unlock opens the key with its passphrase. It takes a part of a second on purpose.
func (l *LockedKey) Unlock(passphrase []byte) (*PrivateKey, error) {
	aead, err := l.aead(passphrase)
	if err != nil {
		return nil, fmt.Errorf("unlock %s: %w", l.ID(), err)
	}
	raw, err := aead.Open(nil, nil, l.sealed, []byte(l.line("")))
	if err != nil {
		return nil, fmt.Errorf("unlock %s: %w", l.ID(), ErrPassphrase)
	}
	k, err := newPrivateKey(l.kem, raw, l.label)
	if err != nil {
		return nil, fmt.Errorf("unlock %s: %w", l.ID(), err)
	}
	if k.to.id != l.id {
		return nil, fmt.Errorf("unlock %s: the line holds %s", l.ID(), k.ID())
	}
	return k, nil
}

func (l *LockedKey) aead(passphrase []byte) (cipher.AEAD, error) {
	if len(passphrase) == 0 || len(passphrase) > MaxPassphrase {
		return nil, fmt.Errorf("passphrase of %d bytes, not 1 to %d", len(passphrase), MaxPassphrase)
	}
	key, err := pbkdf2.Key(sha256.New, string(passphrase), l.salt, l.iterations, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
