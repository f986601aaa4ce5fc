package ca

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

const (
	minRSA = 3072 // bits, NIST SP 800-57 for 128-bit strength
	maxRSA = 8192 // more only costs others time
	maxKey = 4096 // bytes of a marshalled public key
)

// kinds are the kinds of keys by SSH's names (RFC 4253, RFC 5656, RFC 8709, PROTOCOL.u2f). RSA is a kind for each size.
var kinds = map[string]string{
	ssh.KeyAlgoED25519: "ed25519", ssh.KeyAlgoECDSA256: "ecdsa-p256", ssh.KeyAlgoECDSA384: "ecdsa-p384", ssh.KeyAlgoECDSA521: "ecdsa-p521",
	ssh.KeyAlgoSKED25519: "sk-ed25519", ssh.KeyAlgoSKECDSA256: "sk-ecdsa",
}

// KeyKinds are all kinds of keys that can be certified.
func KeyKinds() []string {
	return []string{"ed25519", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "sk-ed25519", "sk-ecdsa", "rsa:" + strconv.Itoa(minRSA)}
}

// readKeys reads the kinds of keys that an issuer takes.
func (i *Issuer) readKeys(c IssuerConfig) error {
	known := KeyKinds()
	if c.VerifyRequired {
		// Another key's certificate would have the option, and no sshd would ask for anything.
		known = []string{"sk-ed25519", "sk-ecdsa"}
		i.Keys = known
	}
	if len(c.Keys) == 0 {
		return nil
	}
	i.Keys = nil
	for _, kind := range c.Keys {
		bits, isRSA := strings.CutPrefix(kind, "rsa:")
		switch n, err := strconv.Atoi(bits); {
		case kind == "rsa" || isRSA && (err != nil || n < minRSA || n > maxRSA):
			return fmt.Errorf("keys: %.40q has no size that is taken: write rsa:%d, or more bits up to %d", kind, minRSA, maxRSA)
		case isRSA && c.VerifyRequired || !isRSA && !slices.Contains(known, kind):
			return fmt.Errorf("keys: %.40q cannot be taken here: write some of %s", kind, strings.Join(known, ", "))
		}
		if !slices.Contains(i.Keys, kind) {
			i.Keys = append(i.Keys, kind)
		}
	}
	return nil
}

// keyRule lets only plain keys of known strength through, of the kinds that the issuer takes. The key is taken as parsed
// from its wire form: what the rest of the package sees is what OpenSSH will see.
func keyRule(a *Authority, i *Issuer, o *order) *breach {
	key, err := certifiable(o.key)
	if err != nil {
		return refuse("%s", err).next("Use a key of one of these kinds: " + strings.Join(i.Keys, ", ") + ".")
	}
	kind, bits := kindOf(key)
	if !slices.ContainsFunc(i.Keys, func(k string) bool { return takes(k, kind, bits) }) {
		return refuse("the key is %s", described(kind, bits)).next("Use a key of one of these kinds: " + strings.Join(i.Keys, ", ") + ".")
	}
	if a.owns(string(key.Marshal())) {
		return refuse("the key is a CA's own").next("Use a key of your own.")
	}
	o.key, o.print = key, ssh.FingerprintSHA256(key)
	return nil
}

// certifiable gives the key as parsed from its wire form, if it is a key that can be certified at all.
func certifiable(key ssh.PublicKey) (ssh.PublicKey, error) {
	if key == nil {
		return nil, errors.New("there is no key")
	}
	wire := key.Marshal()
	if len(wire) > maxKey {
		return nil, fmt.Errorf("the key has %d bytes", len(wire))
	}
	parsed, err := ssh.ParsePublicKey(wire)
	if err != nil {
		return nil, errors.New("the key cannot be read")
	}
	if _, isCert := parsed.(*ssh.Certificate); isCert {
		return nil, errors.New("that is a certificate, not a key")
	}
	kind, bits := kindOf(parsed)
	switch {
	case kind == "":
		return nil, fmt.Errorf("the key's type %.60q is not taken", parsed.Type())
	case kind == "rsa" && (bits < minRSA || bits > maxRSA):
		return nil, fmt.Errorf("the key is RSA of %d bits, and %d to %d are taken", bits, minRSA, maxRSA)
	}
	return parsed, nil
}

// kindOf is a key's kind, "rsa" with its bits; empty for one that is never taken.
func kindOf(key ssh.PublicKey) (kind string, bits int) {
	if key.Type() != ssh.KeyAlgoRSA {
		return kinds[key.Type()], 0
	}
	crypto, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return "", 0
	}
	public, ok := crypto.CryptoPublicKey().(*rsa.PublicKey)
	if !ok {
		return "", 0
	}
	return "rsa", public.N.BitLen()
}

func takes(allowed, kind string, bits int) bool {
	if least, isRSA := strings.CutPrefix(allowed, "rsa:"); isRSA {
		n, err := strconv.Atoi(least)
		return kind == "rsa" && err == nil && bits >= n
	}
	return allowed == kind
}

func described(kind string, bits int) string {
	if kind == "rsa" {
		return fmt.Sprintf("RSA of %d bits", bits)
	}
	return kind
}

// securityKey reports whether the private half is in a FIDO token.
func securityKey(key ssh.PublicKey) bool {
	return key.Type() == ssh.KeyAlgoSKED25519 || key.Type() == ssh.KeyAlgoSKECDSA256
}
