package recording

import (
	"crypto/ecdh"
	"crypto/hpke"
	"fmt"
	"slices"
	"strings"
)

// KEM is the kind of a recipient's key, by the number that HPKE gives its key encapsulation mechanism (RFC 9180 §7.1
// and draft-ietf-hpke-pq). All of them go with HKDF-SHA256 and AES-256-GCM.
type KEM uint16

const (
	// MLKEM768X25519 is ML-KEM-768 and X25519, also called X-Wing: the default.
	MLKEM768X25519 KEM = 0x647a
	// MLKEM768P256 is ML-KEM-768 and P-256, for houses that may use nothing but FIPS 140 algorithms.
	MLKEM768P256 KEM = 0x0050
	// P256 is P-256 alone, for keys on a token. What is sealed to it falls to a quantum computer.
	P256 KEM = 0x0010
)

// kemForm is what the format knows of a KEM: its name in keys' lines, and its sizes in bytes.
type kemForm struct {
	kem                      KEM
	name                     string
	public, private, encSize int
}

var kems = []kemForm{
	{MLKEM768X25519, "mlkem768-x25519", 1184 + 32, 32, 1088 + 32},
	{MLKEM768P256, "mlkem768-p256", 1184 + 65, 32, 1088 + 65},
	{P256, "p256", 65, 32, 65},
}

// maxEnc is the largest encSize of all.
const maxEnc = 1088 + 65

func (k KEM) form() (kemForm, bool) {
	i := slices.IndexFunc(kems, func(f kemForm) bool { return f.kem == k })
	if i < 0 {
		return kemForm{}, false
	}
	return kems[i], true
}

// KEMs are all that the format knows, the default first.
func KEMs() []KEM { return []KEM{MLKEM768X25519, MLKEM768P256, P256} }

// FIPS are the KEMs that a house may use which is held to FIPS 140.
func FIPS() []KEM { return []KEM{MLKEM768P256, P256} }

// FIPS reports whether k is one of them.
func (k KEM) FIPS() bool { return slices.Contains(FIPS(), k) }

// ParseKEM is the inverse of String.
func ParseKEM(name string) (KEM, error) {
	var names []string
	for _, f := range kems {
		if f.name == name {
			return f.kem, nil
		}
		names = append(names, f.name)
	}
	return 0, fmt.Errorf("no kind of key is called %.70q: want %s", name, strings.Join(names, ", "))
}

// String is the word for k in a key's line, such as mlkem768-x25519.
func (k KEM) String() string {
	if f, ok := k.form(); ok {
		return f.name
	}
	return fmt.Sprintf("kem %#04x", uint16(k))
}

func (k KEM) hpke() (hpke.KEM, error) {
	switch k {
	case MLKEM768X25519:
		return hpke.MLKEM768X25519(), nil
	case MLKEM768P256:
		return hpke.MLKEM768P256(), nil
	case P256:
		return hpke.DHKEM(ecdh.P256()), nil
	}
	return nil, fmt.Errorf("%s: %w", k, ErrVersion)
}
