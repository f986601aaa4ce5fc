package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sekisho/sekisho"
)

const (
	keyFile      = "connector.key"
	identityFile = "connector.json"
)

// identity is what joining gave; kept in connector.json.
type identity struct {
	// Connector is the ID.
	Connector string `json:"connector"`
	// Token goes with every call to control. It opens nothing without the key.
	Token string `json:"token"`
	// Targets are those it joined for.
	Targets []string `json:"targets"`
	// LinkCertificate is the x509 certificate of the link, DER.
	LinkCertificate []byte `json:"link_certificate"`
}

// loadKey reads the connector's key; fs.ErrNotExist when there is none.
func loadKey(data string) (*ecdsa.PrivateKey, error) {
	path := filepath.Join(data, keyFile)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others: chmod 600 it, or remove it and join again", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p256, ok := key.(*ecdsa.PrivateKey)
	if !ok || p256.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s holds no P-256 key", path)
	}
	return p256, nil
}

// makeKey gives the key that is there, or makes one.
func makeKey(data string) (*ecdsa.PrivateKey, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	key, err := loadKey(data)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, keep(filepath.Join(data, keyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func loadIdentity(data string) (*identity, error) {
	text, err := os.ReadFile(filepath.Join(data, identityFile))
	if err != nil {
		return nil, err
	}
	id := new(identity)
	if err := json.Unmarshal(text, id); err != nil {
		return nil, fmt.Errorf("%s: %w", identityFile, err)
	}
	if !sekisho.CheckID("con", id.Connector) {
		return nil, fmt.Errorf("%s names no connector", identityFile)
	}
	return id, nil
}

func (id *identity) save(data string) error {
	text, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	return keep(filepath.Join(data, identityFile), append(text, '\n'))
}

// certificate joins the link's x509 certificate with the key it must be for.
func (id *identity) certificate(key *ecdsa.PrivateKey) (*tls.Certificate, error) {
	leaf, err := x509.ParseCertificate(id.LinkCertificate)
	if err != nil {
		return nil, fmt.Errorf("link certificate: %w", err)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("link certificate is for another key")
	}
	return &tls.Certificate{Certificate: [][]byte{id.LinkCertificate}, PrivateKey: key, Leaf: leaf}, nil
}

// request makes a certificate request: the key is all that control takes from it.
func request(key *ecdsa.PrivateKey) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
}

// keep writes a file whole or not at all, for its owner only.
func keep(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
