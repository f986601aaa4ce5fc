package login

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// segment is how the parts of a compact JWS are written (RFC 7515 §2), in the one way there is.
var segment = base64.RawURLEncoding.Strict()

// verifyES256 checks the signature of a compact JWS (RFC 7518 §3.4) and gives its payload. The header was read by parse.
func verifyES256(compact string, key *ecdsa.PublicKey) ([]byte, error) {
	end := strings.LastIndexByte(compact, '.')
	if end < 0 || strings.Count(compact, ".") != 2 || strings.ContainsAny(compact, "\r\n") {
		return nil, errors.New("not a compact JWS")
	}
	sig, err := segment.DecodeString(compact[end+1:])
	if err != nil || len(sig) != 64 {
		return nil, errors.New("the signature is not one of ES256")
	}
	sum := sha256.Sum256([]byte(compact[:end]))
	if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return nil, errors.New("the signature does not verify")
	}
	_, payload, _ := strings.Cut(compact[:end], ".")
	return segment.DecodeString(payload)
}

// es256 signs compact JWS with one header.
type es256 struct {
	key    crypto.Signer
	header string // as it is sent, with the dot
}

func newES256(key crypto.Signer, kid, typ string) (*es256, error) {
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
		Type      string `json:"typ"`
	}{"ES256", kid, typ})
	if err != nil {
		return nil, err
	}
	return &es256{key: key, header: segment.EncodeToString(header) + "."}, nil
}

// sign gives the compact JWS of claims.
func (s *es256) sign(claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	out := make([]byte, 0, len(s.header)+segment.EncodedLen(len(payload))+1+86)
	out = segment.AppendEncode(append(out, s.header...), payload)
	sum := sha256.Sum256(out)
	der, err := s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return "", err
	}
	sig, err := plainSignature(der)
	if err != nil {
		return "", err
	}
	return string(segment.AppendEncode(append(out, '.'), sig[:])), nil
}

// plainSignature turns the ASN.1 of a P-256 signature into two numbers of 32 bytes, as JWS has them.
func plainSignature(der []byte) (sig [64]byte, err error) {
	text := cryptobyte.String(der)
	var list cryptobyte.String
	r, s := new(big.Int), new(big.Int)
	if !text.ReadASN1(&list, asn1.SEQUENCE) || !text.Empty() || !list.ReadASN1Integer(r) || !list.ReadASN1Integer(s) || !list.Empty() ||
		r.Sign() <= 0 || s.Sign() <= 0 || r.BitLen() > 256 || s.BitLen() > 256 {
		return sig, errors.New("the key gave something that is no P-256 signature")
	}
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return sig, nil
}

const (
	// maxHeaders is how many headers of proofs are remembered in each of two generations, maxHeader how many bytes one
	// of them has.
	maxHeaders = 1024
	maxHeader  = 512
)

// proofKey is what the header of a proof says: the key that made it, and its thumbprint.
type proofKey struct {
	public     *ecdsa.PublicKey
	thumbprint string
}

// headers remembers what headers of proofs say: those of one key are all alike, and reading one costs as much as a
// third of verifying. Nothing that is not good is ever put in, and what falls out is read again.
type headers struct {
	mu         sync.RWMutex
	young, old map[string]*proofKey
}

func (h *headers) get(header string) *proofKey {
	h.mu.RLock()
	k, young := h.young[header]
	if !young {
		k = h.old[header]
	}
	h.mu.RUnlock()
	if k != nil && !young {
		h.put(header, k) // it stays while it is used
	}
	return k
}

func (h *headers) put(header string, k *proofKey) {
	if len(header) > maxHeader {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.young) >= maxHeaders || h.young == nil {
		h.young, h.old = make(map[string]*proofKey), h.young
	}
	h.young[strings.Clone(header)] = k
}

// keyOf reads the header of a proof, and gives it where it was not remembered.
func (h *headers) keyOf(proof string) (k *proofKey, unread string, err error) {
	if len(proof) > maxProof {
		return nil, "", fmt.Errorf("longer than %d bytes", maxProof)
	}
	header, _, _ := strings.Cut(proof, ".")
	if k = h.get(header); k != nil {
		return k, "", nil
	}
	k, err = readProofKey(proof)
	return k, header, err
}
