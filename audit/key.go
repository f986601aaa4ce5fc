package audit

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// NewKey makes a key for a log: PKCS#8 in PEM, to be kept readable by the owner only, and the key itself.
func NewKey() ([]byte, ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make audit key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("make audit key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), key, nil
}

// ParseKey reads a key that NewKey wrote.
func ParseKey(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("parse audit key: no PRIVATE KEY in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse audit key: %w", err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("parse audit key: it is %T, want Ed25519", parsed)
	}
	return key, nil
}

// VerifierKey is the public half in note format, NAME+HASH+KEY: what a verifier of the log with that origin needs.
func VerifierKey(origin string, public crypto.PublicKey) (string, error) {
	key, ok := public.(ed25519.PublicKey)
	if !ok {
		return "", fmt.Errorf("audit key is %T, want Ed25519", public)
	}
	return note.NewEd25519VerifierKey(origin, key)
}

// signer lets any crypto.Signer sign notes.
type signer struct {
	note.Verifier // its name and key hash
	key           crypto.Signer
}

func (s *signer) Sign(msg []byte) ([]byte, error) {
	return s.key.Sign(rand.Reader, msg, crypto.Hash(0)) // Ed25519 signs the message itself
}
