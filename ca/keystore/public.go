package keystore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"fmt"
)

var (
	errOtherKey  = errors.New("it has another public key now than when the key was opened")
	errSignature = errors.New("its signature does not fit the public key")
)

// checkKind refuses public keys of no Kind.
func checkKind(public crypto.PublicKey) error {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return nil
		}
	}
	return fmt.Errorf("the key is a %T: want Ed25519, or ECDSA of P-256 or P-384", public)
}

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// verify checks a signature of a digest or, for Ed25519 where hash is 0, of a message.
func verify(public crypto.PublicKey, data []byte, signature []byte) error {
	ok := false
	switch k := public.(type) {
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, data, signature)
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, data, signature)
	}
	if !ok {
		return errSignature
	}
	return nil
}
