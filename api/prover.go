package api

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Prover makes proofs of possession of one key, DPoP (RFC 9449). It may be used by many goroutines.
type Prover struct {
	signer     jose.Signer
	thumbprint string
}

// NewProver makes a prover for a P-256 key.
func NewProver(key *ecdsa.PrivateKey) (*Prover, error) {
	if key == nil || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("make prover: want a P-256 key")
	}
	sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("make prover: %w", err)
	}
	// EmbedJWK puts the public half into every header.
	opts := (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, opts)
	if err != nil {
		return nil, fmt.Errorf("make prover: %w", err)
	}
	return &Prover{signer: signer, thumbprint: base64.RawURLEncoding.EncodeToString(sum)}, nil
}

// Thumbprint is the key's RFC 7638 SHA-256 thumbprint in base64url.
func (p *Prover) Thumbprint() string { return p.thumbprint }

// Proof makes a proof for one request with this method and URL, whose query does not count. token is the access token
// sent with it, or "" if none is.
func (p *Prover) Proof(method, url, token string, now time.Time) (string, error) {
	url, _, _ = strings.Cut(url, "?")
	claims := struct {
		ID     string `json:"jti"`
		Method string `json:"htm"`
		URL    string `json:"htu"`
		Issued int64  `json:"iat"`
		Token  string `json:"ath,omitempty"`
	}{rand.Text(), method, url, now.Unix(), ""}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims.Token = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("make proof: %w", err)
	}
	jws, err := p.signer.Sign(body)
	if err != nil {
		return "", fmt.Errorf("make proof: %w", err)
	}
	proof, err := jws.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("make proof: %w", err)
	}
	return proof, nil
}
