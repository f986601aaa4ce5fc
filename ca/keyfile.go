package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/sekisho/sekisho/ca/keyfile"
)

// OpenKey opens the Ed25519 key kept at path (PKCS#8 in PEM, RFC 5958), or makes one when there is none. The
// file must be the caller's own and unreadable for others, as must its folder.
func OpenKey(path string) (crypto.Signer, error) {
	key, err := openKey(path, func() (any, error) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	})
	if err != nil {
		return nil, err
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key file %s: it holds a %T: want an Ed25519 key; move the file away to have one made", path, key)
	}
	return private, nil
}

// OpenECDSA does the same for an ECDSA P-256 key, as JWTs and x509 certificates use.
func OpenECDSA(path string) (*ecdsa.PrivateKey, error) {
	key, err := openKey(path, func() (any, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	if err != nil {
		return nil, err
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, fmt.Errorf("key file %s: it holds a %T: want an ECDSA P-256 key; move the file away to have one made", path, key)
	}
	return private, nil
}

func openKey(path string, generate func() (any, error)) (any, error) {
	if err := keyfile.MakeFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	der, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path, generate); err != nil {
			return nil, fmt.Errorf("make key file %s: %w", path, err)
		}
		// Read what the disk holds, also when another process was first: both must use the same key.
		der, err = readKey(path)
	}
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("key file %s: it is damaged: restore it from a backup, or move it away to have a new key made", path)
	}
	return key, nil
}

func readKey(path string) ([]byte, error) {
	text, err := keyfile.Read("key file", path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" || len(rest) != 0 {
		return nil, fmt.Errorf("key file %s: want one PEM block of type PRIVATE KEY (PKCS#8) and nothing after it", path)
	}
	return block.Bytes, nil
}

// makeKey puts a new key at path, unless somebody else made one there meanwhile.
func makeKey(path string, generate func() (any, error)) error {
	key, err := generate()
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	err = keyfile.Create(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
