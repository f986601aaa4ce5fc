package ca

import (
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// CheckPublished reports, by a Refusal, why a key may not log in without a certificate, published by who id names: it is
// none that would be certified, it is or was a CA's own, or what is revoked is the key or who published it.
func (a *Authority) CheckPublished(key ssh.PublicKey, id sekisho.KeyID) error {
	parsed, err := certifiable(key)
	if err != nil {
		return &sekisho.Refusal{
			Sentence: "This SSH key cannot be published: " + err.Error() + ".",
			Next:     "Use an Ed25519 key, ECDSA, a security key, or RSA of at least 3072 bits.", Cause: err,
		}
	}
	if a.owns(string(parsed.Marshal())) {
		return &sekisho.Refusal{Sentence: "This SSH key cannot be published: it is a CA's own key.", Next: "Use a key of your own."}
	}
	return a.refuse(id, &sekisho.CertificateRecord{Type: "user", Key: ssh.FingerprintSHA256(parsed)})
}
