package keystore

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

const (
	// rounds is what is written: what OWASP asks of PBKDF2-HMAC-SHA256 since 2023.
	rounds = 600_000
	// maxRounds bounds what is read, so that a file cannot hold the start for hours.
	maxRounds = 10_000_000
	// saltLength is in bytes; SP 800-132 wants at least 16.
	saltLength = 16
)

// Object identifiers of RFC 8018 (A.2, A.4, B.1.2) and of NIST's AES.
var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidAES128CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// encryptedKey is EncryptedPrivateKeyInfo of RFC 5958 (3).
type encryptedKey struct {
	Algorithm struct {
		ID     asn1.ObjectIdentifier
		Params pbes2Params
	}
	Sealed []byte
}

type pbes2Params struct {
	Derivation struct {
		ID     asn1.ObjectIdentifier
		Params pbkdf2Params
	}
	Cipher struct {
		ID asn1.ObjectIdentifier
		IV []byte
	}
}

type pbkdf2Params struct {
	Salt      []byte
	Rounds    int
	KeyLength int                      `asn1:"optional"`
	PRF       pkix.AlgorithmIdentifier `asn1:"optional"` // left out it is HMAC-SHA1
}

// encrypt seals PKCS#8 under a passphrase: PBES2 of PBKDF2-HMAC-SHA256 and AES-256-CBC, which is of approved algorithms
// only (SP 800-132) and which OpenSSL reads.
func encrypt(der, passphrase []byte) ([]byte, error) {
	var e encryptedKey
	e.Algorithm.ID = oidPBES2
	p := &e.Algorithm.Params
	p.Derivation.ID, p.Cipher.ID = oidPBKDF2, oidAES256CBC
	p.Derivation.Params = pbkdf2Params{Salt: make([]byte, saltLength), Rounds: rounds, PRF: pkix.AlgorithmIdentifier{Algorithm: oidHMACSHA256, Parameters: asn1.NullRawValue}}
	p.Cipher.IV = make([]byte, aes.BlockSize)
	rand.Read(p.Derivation.Params.Salt)
	rand.Read(p.Cipher.IV)
	block, err := p.block(passphrase)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(der)%aes.BlockSize // RFC 8018, 6.1.1
	e.Sealed = append(bytes.Clone(der), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, p.Cipher.IV).CryptBlocks(e.Sealed, e.Sealed)
	return asn1.Marshal(e)
}

var errFormat = errors.New("it is not encrypted in a way that is understood here: want PBES2 of PBKDF2 (HMAC-SHA256 or HMAC-SHA512) and AES-CBC, " +
	"such as openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 600000 writes")

// decrypt opens what encrypt or OpenSSL sealed. A wrong passphrase is found out by the padding, and by what comes out not
// being a key: the error wraps ErrSecret for the first, and the caller sees to the second.
func decrypt(sealed, passphrase []byte) ([]byte, error) {
	var e encryptedKey
	if rest, err := asn1.Unmarshal(sealed, &e); err != nil || len(rest) != 0 || !e.Algorithm.ID.Equal(oidPBES2) {
		return nil, errFormat
	}
	p := e.Algorithm.Params
	if len(e.Sealed) == 0 || len(e.Sealed)%aes.BlockSize != 0 || len(p.Cipher.IV) != aes.BlockSize {
		return nil, errFormat
	}
	block, err := p.block(passphrase)
	if err != nil {
		return nil, err
	}
	der := make([]byte, len(e.Sealed))
	cipher.NewCBCDecrypter(block, p.Cipher.IV).CryptBlocks(der, e.Sealed)
	pad := int(der[len(der)-1])
	if pad < 1 || pad > aes.BlockSize || !bytes.Equal(der[len(der)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, ErrSecret
	}
	return der[:len(der)-pad], nil
}

// block derives the key and makes the cipher of it.
func (p pbes2Params) block(passphrase []byte) (cipher.Block, error) {
	d := p.Derivation.Params
	length := map[string]int{oidAES128CBC.String(): 16, oidAES256CBC.String(): 32}[p.Cipher.ID.String()]
	prf := map[string]func() hash.Hash{oidHMACSHA256.String(): sha256.New, oidHMACSHA512.String(): sha512.New}[d.PRF.Algorithm.String()]
	if !p.Derivation.ID.Equal(oidPBKDF2) || length == 0 || prf == nil || d.KeyLength != 0 && d.KeyLength != length {
		return nil, errFormat
	}
	if d.Rounds < 1 || d.Rounds > maxRounds {
		return nil, fmt.Errorf("it asks for %d rounds of PBKDF2: want at most %d", d.Rounds, maxRounds)
	}
	key, err := pbkdf2.Key(prf, string(passphrase), d.Salt, d.Rounds, length)
	if err != nil { // under GODEBUG=fips140=only: a salt below 16 bytes
		return nil, fmt.Errorf("derive the key: %w", err)
	}
	defer clear(key)
	return aes.NewCipher(key)
}
