package krl

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"
)

// Reason says by what a key or certificate is revoked.
type Reason string

const (
	ByKey         Reason = "key"         // the plain key is listed
	ByFingerprint Reason = "fingerprint" // its hash is
	BySerial      Reason = "serial"      // the certificate's serial, of its CA or of any
	ByKeyID       Reason = "key id"      // the certificate's key ID, of its CA or of any
	ByCA          Reason = "ca"          // the CA that signed it, by key or by hash
	Unreadable    Reason = "unreadable"  // what was asked about, or the list, is broken: taken as revoked
)

// Checker answers about one list, in time that grows with the logarithm of its length. It does not change, and may be
// asked by many at once.
type Checker struct{ form *form }

// Checker checks the list as Marshal does, and takes a copy of it.
func (l *List) Checker() (*Checker, error) {
	f, err := l.form()
	if err != nil {
		return nil, err
	}
	return &Checker{f}, nil
}

// Revoked answers what sshd does of a key or certificate when this list is its RevokedKeys. Validity, principals and
// signatures are not looked at. For more than one question a Checker is faster.
func (l *List) Revoked(key ssh.PublicKey) (Reason, bool) {
	c, err := l.Checker()
	if err != nil {
		return Unreadable, true
	}
	return c.Revoked(key)
}

// Revoked is List.Revoked.
func (c *Checker) Revoked(key ssh.PublicKey) (Reason, bool) {
	cert, plain, err := open(key)
	if err != nil {
		return Unreadable, true
	}
	if cert == nil {
		return c.form.revokesKey(plain.Marshal())
	}
	if why, yes := c.form.revokesKey(plain.Marshal()); yes {
		return why, true
	}
	ca := cert.SignatureKey.Marshal()
	for _, blob := range [][]byte{ca, nil} {
		if why, yes := c.form.revokesCertificate(blob, cert); yes {
			return why, true
		}
	}
	if _, yes := c.form.revokesKey(ca); yes {
		return ByCA, true
	}
	return "", false
}

// open gives a certificate, if it is one, and the plain key, whatever type stands for them (an agent's, say).
func open(key ssh.PublicKey) (*ssh.Certificate, ssh.PublicKey, error) {
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		if key == nil {
			return nil, nil, fmt.Errorf("no key")
		}
		kind, err := (&reader{key.Marshal()}).string()
		if err != nil {
			return nil, nil, err
		}
		if !isCertificate(string(kind)) {
			return nil, key, nil
		}
		parsed, err := ssh.ParsePublicKey(key.Marshal())
		if err != nil {
			return nil, nil, err
		}
		if cert, ok = parsed.(*ssh.Certificate); !ok {
			return nil, nil, fmt.Errorf("no certificate, though its type says so")
		}
	}
	if cert == nil || cert.Key == nil || cert.SignatureKey == nil {
		return nil, nil, fmt.Errorf("a certificate without a key or a CA")
	}
	return cert, cert.Key, nil
}

func (f *form) revokesKey(blob []byte) (Reason, bool) {
	if len(f.sha1) > 0 {
		if sum := sha1.Sum(blob); contains(f.sha1, sum[:]) {
			return ByFingerprint, true
		}
	}
	if len(f.sha256) > 0 {
		if sum := sha256.Sum256(blob); contains(f.sha256, sum[:]) {
			return ByFingerprint, true
		}
	}
	if contains(f.keys, blob) {
		return ByKey, true
	}
	return "", false
}

func contains(sorted [][]byte, blob []byte) bool {
	_, found := slices.BinarySearchFunc(sorted, blob, bytes.Compare)
	return found
}

// revokesCertificate looks at what is listed of the CA, or of any.
func (f *form) revokesCertificate(ca []byte, cert *ssh.Certificate) (Reason, bool) {
	i, found := slices.BinarySearchFunc(f.authorities, ca, func(a authority, ca []byte) int { return bytes.Compare(a.blob, ca) })
	if !found {
		return "", false
	}
	a := f.authorities[i]
	if _, found := slices.BinarySearch(a.keyIDs, cText(cert.KeyId)); found {
		return ByKeyID, true
	}
	_, found = slices.BinarySearchFunc(a.serials, cert.Serial, func(r Range, n uint64) int {
		if r.First <= n && n <= r.Last {
			return 0
		}
		return cmp.Compare(r.First, n)
	})
	if found {
		return BySerial, true
	}
	return "", false
}
