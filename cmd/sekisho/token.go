package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"os"
	"strings"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/pkcs11uri"
)

// tokenKey is a P-256 key whose private half stays on a PKCS#11 token: the token itself does the key agreement.
// One goroutine at a time has it work; Close ends the session with the token.
type tokenKey interface {
	ecdh.KeyExchanger
	Close() error
}

// modulePathVariable names the PKCS#11 library where the URI does not.
const modulePathVariable = "SEKISHO_PKCS11_MODULE"

// readTokenURI reads a URI, and what it leaves to the environment.
func readTokenURI(text string) (pkcs11uri.URI, error) {
	u, err := pkcs11uri.Parse(text)
	if err == nil && u.ModulePath == "" {
		u.ModulePath = os.Getenv(modulePathVariable)
	}
	return u, err
}

// isTokenURI says whether a key was named by a PKCS#11 URI.
func isTokenURI(name string) bool { return strings.HasPrefix(name, pkcs11uri.Scheme) }

// agrees finds out whether a key can do what it is for, before anything is sealed to it: both sides of a key agreement
// must come to the same secret.
func agrees(key ecdh.KeyExchanger) error {
	other, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("try the key: %w", err)
	}
	mine, err := other.ECDH(key.PublicKey())
	if err != nil {
		return fmt.Errorf("try the key: %w", err)
	}
	its, err := key.ECDH(other.PublicKey())
	if err != nil {
		return fmt.Errorf("try the key: %w", err)
	}
	if subtle.ConstantTimeCompare(mine, its) != 1 {
		return &sekisho.Refusal{Sentence: "The private key on the token does not go with the public key there.", Next: "Seal nothing to it."}
	}
	return nil
}
