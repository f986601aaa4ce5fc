package recording

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
)

var labelForm = regexp.MustCompile(`^[A-Za-z0-9@._+:/=-]{1,64}$`)

// keyID is the first bytes of the SHA-256 of a public key; it tells keys apart and proves nothing.
type keyID [8]byte

func (id keyID) String() string { return "rk_" + hex.EncodeToString(id[:]) }

// Recipient is the public half of an auditor's key: what recordings are sealed to.
type Recipient struct {
	public hpke.PublicKey
	kem    KEM
	id     keyID
	label  string
}

// PrivateKey opens recordings. It never leaves its owner; the house has no copy.
type PrivateKey struct {
	private hpke.PrivateKey
	to      Recipient
}

// CheckLabel reports why a label cannot stand in a key's line.
func CheckLabel(label string) error {
	if label != "" && !labelForm.MatchString(label) {
		return fmt.Errorf("label %.70q: want at most 64 of the characters A-Z a-z 0-9 @ . _ + : / = -", label)
	}
	return nil
}

// GenerateKey makes a key pair. The label is for people and may be empty.
func GenerateKey(kem KEM, label string) (*PrivateKey, error) {
	if err := CheckLabel(label); err != nil {
		return nil, err
	}
	suite, err := kem.hpke()
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	private, err := suite.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return &PrivateKey{private: private, to: newRecipient(kem, private.PublicKey(), label)}, nil
}

// NewPrivateKey makes a key of one that is kept elsewhere, such as on a PIV or PKCS#11 token. The exchanger must be of
// curve P-256; it is asked once for each recording that is opened, and its errors are handed on. Such a key has no text:
// Encode and Encrypt fail.
func NewPrivateKey(exchanger ecdh.KeyExchanger, label string) (*PrivateKey, error) {
	if err := CheckLabel(label); err != nil {
		return nil, err
	}
	e := elsewhere{KeyExchanger: exchanger}
	if exchanger != nil {
		e.public = exchanger.PublicKey()
	}
	if e.public == nil || e.public.Curve() != ecdh.P256() || exchanger.Curve() != ecdh.P256() {
		return nil, errors.New("use key that is kept elsewhere: it is not of curve P-256")
	}
	private, err := hpke.NewDHKEMPrivateKey(e)
	if err != nil {
		return nil, fmt.Errorf("use key that is kept elsewhere: %w", err)
	}
	return &PrivateKey{private: private, to: newRecipient(P256, private.PublicKey(), label)}, nil
}

// elsewhere marks the errors of an exchanger, so that a token that was pulled out is not taken for a forged file.
type elsewhere struct {
	ecdh.KeyExchanger
	public *ecdh.PublicKey
}

type exchangeError struct{ error }

func (e exchangeError) Unwrap() error { return e.error }

func (e elsewhere) PublicKey() *ecdh.PublicKey { return e.public }

func (e elsewhere) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	secret, err := e.KeyExchanger.ECDH(peer)
	if err != nil {
		return nil, exchangeError{err}
	}
	if len(secret) != 32 {
		return nil, exchangeError{fmt.Errorf("key exchange gives %d bytes, not 32", len(secret))}
	}
	return secret, nil
}

func newRecipient(kem KEM, public hpke.PublicKey, label string) Recipient {
	sum := sha256.Sum256(public.Bytes())
	return Recipient{public: public, kem: kem, id: keyID(sum[:len(keyID{})]), label: label}
}

// Recipient is the public half.
func (k *PrivateKey) Recipient() Recipient { return k.to }

// ID names the key pair: "rk_" and 16 hex digits.
func (k *PrivateKey) ID() string { return k.to.ID() }

// KEM is the kind of the key.
func (k *PrivateKey) KEM() KEM { return k.to.kem }

// String names the key without showing it, so that no log ever holds one.
func (k *PrivateKey) String() string { return "private key " + k.ID() }

// GoString is the same for %#v.
func (k *PrivateKey) GoString() string { return k.String() }

// ID names the key pair: "rk_" and 16 hex digits.
func (r Recipient) ID() string { return r.id.String() }

// KEM is the kind of the key.
func (r Recipient) KEM() KEM { return r.kem }

// FIPS reports whether a house that is held to FIPS 140 may seal to this key.
func (r Recipient) FIPS() bool { return r.kem.FIPS() }

// Label is the name that the key's maker gave it.
func (r Recipient) Label() string { return r.label }

// String is the recipient's line, without a newline.
func (r Recipient) String() string {
	if r.public == nil {
		return ""
	}
	return keyLine(recipientType, r.kem, r.public.Bytes(), r.label)
}
