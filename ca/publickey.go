package ca

import (
	"crypto/rsa"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

const (
	minRSA = 3072 // bits, NIST SP 800-57 for 128-bit strength
	maxRSA = 8192 // more only costs others time
	maxKey = 4096 // bytes of a marshalled public key
)

// checkKey lets only plain keys of known strength through, and gives the key as parsed from its wire form: what
// the rest of the package sees is what OpenSSH will see.
func (a *Authority) checkKey(key ssh.PublicKey) (ssh.PublicKey, error) {
	refuse := func(cause error) error {
		return &sekisho.Refusal{
			Sentence: "This SSH key cannot be certified: " + cause.Error() + ".",
			Next:     "Use an Ed25519 key, ECDSA, a security key, or RSA of at least 3072 bits.",
			Cause:    cause,
		}
	}
	if key == nil {
		return nil, refuse(errors.New("there is none"))
	}
	wire := key.Marshal()
	if len(wire) > maxKey {
		return nil, refuse(fmt.Errorf("it has %d bytes", len(wire)))
	}
	parsed, err := ssh.ParsePublicKey(wire)
	if err != nil {
		return nil, refuse(errors.New("it cannot be read"))
	}
	if _, isCert := parsed.(*ssh.Certificate); isCert {
		return nil, refuse(errors.New("it is a certificate, not a key"))
	}
	switch parsed.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
	case ssh.KeyAlgoRSA:
		public, ok := parsed.(ssh.CryptoPublicKey).CryptoPublicKey().(*rsa.PublicKey)
		if !ok || public.N.BitLen() < minRSA || public.N.BitLen() > maxRSA {
			return nil, refuse(errors.New("it is RSA of another size than 3072 to 8192 bits"))
		}
	default:
		return nil, refuse(fmt.Errorf("its type %.60q is not allowed", parsed.Type()))
	}
	if a.owns(string(parsed.Marshal())) {
		return nil, refuse(errors.New("it is a CA's own key"))
	}
	return parsed, nil
}
