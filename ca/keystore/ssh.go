package keystore

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"

	"golang.org/x/crypto/ssh"
)

// NewSSHSigner makes a key sign for SSH: certificates, revocation lists, key exchanges. It signs whole messages with keys
// that can do no other, and is as safe for many goroutines as the key.
func NewSSHSigner(key Key) (ssh.Signer, error) {
	whole, ok := key.(crypto.MessageSigner)
	if !ok {
		return ssh.NewSignerFromSigner(key)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("make SSH signer: %w", err)
	}
	return messageSigner{public: public, key: whole}, nil
}

// messageSigner signs for SSH with a key that takes whole messages.
type messageSigner struct {
	public ssh.PublicKey
	key    crypto.MessageSigner
}

func (s messageSigner) PublicKey() ssh.PublicKey { return s.public }

// Sign gives the signature in the form of RFC 5656 (3.1.2) or RFC 8709 (4).
func (s messageSigner) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	blob, err := s.key.SignMessage(random, data, messageHash(s.key.Public()))
	if err != nil {
		return nil, err
	}
	if _, ok := s.key.Public().(*ecdsa.PublicKey); ok {
		var pair struct{ R, S *big.Int }
		if rest, err := asn1.Unmarshal(blob, &pair); err != nil || len(rest) != 0 {
			return nil, errors.New("sign: the signature is no DER")
		}
		blob = ssh.Marshal(pair)
	}
	return &ssh.Signature{Format: s.public.Type(), Blob: blob}, nil
}

// messageHash is the hash that SSH uses with a key (RFC 5656, 6.2.1); 0 where the algorithm has its own.
func messageHash(public crypto.PublicKey) crypto.Hash {
	if k, ok := public.(*ecdsa.PublicKey); ok {
		if k.Curve.Params().BitSize > 256 {
			return crypto.SHA384
		}
		return crypto.SHA256
	}
	return crypto.Hash(0)
}
