package main

import (
	"crypto/ecdh"
	"strings"
)

// tokenKey is a P-256 key whose private half stays on a PKCS#11 token: the token itself does the key agreement.
// One goroutine at a time has it work; Close ends the session with the token.
type tokenKey interface {
	ecdh.KeyExchanger
	Close() error
}

// isTokenURI says whether a key was named by a PKCS#11 URI.
func isTokenURI(name string) bool { return strings.HasPrefix(name, tokenScheme) }
