package login

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	// ProofWindow is how far a proof's iat may be from our clock, either way.
	ProofWindow = 60 * time.Second

	maxProof = 2 << 10 // bytes; ours have about 500
	maxJTI   = 128     // bytes
	maxURL   = 2 << 10 // bytes
	// A proof must be remembered until its iat is out of the window: two windows from the earliest time it passes.
	replayWindow = 2 * ProofWindow
	maxReplays   = 1 << 20 // proofs per window; about 40 MB when full
)

// Proofs checks proofs of possession, DPoP (RFC 9449), and remembers them so that each works once. The memory is that
// of one process: share one Proofs between everything in it that takes proofs for the same URLs.
type Proofs struct {
	now func() time.Time
	// Proofs by keys that we know, and by strangers: what strangers spend must not fill the memory of the others.
	known, strange *replayed
	headers        headers // of keys that we know
}

// NewProofs makes an empty memory. now is the clock.
func NewProofs(now func() time.Time) *Proofs {
	return &Proofs{
		now:     now,
		known:   newReplayed(replayWindow, maxReplays),
		strange: newReplayed(replayWindow, maxReplays),
	}
}

// Check verifies a proof for one request and gives the RFC 7638 thumbprint of the key that made it. Any key can make
// one: where the key is known beforehand, use CheckBy. token is the access token that came with it, or "" if none.
func (p *Proofs) Check(proof, method, url, token string) (string, error) {
	c, err := p.inspect(proof, method, url, token)
	if err != nil {
		return "", refuseProof(err)
	}
	if err := p.spend(p.strange, c); err != nil {
		return "", refuseProof(err)
	}
	return c.key.thumbprint, nil
}

// CheckBy verifies that a proof for one request was made by the key with this thumbprint.
func (p *Proofs) CheckBy(thumbprint, proof, method, url, token string) error {
	c, err := p.inspect(proof, method, url, token)
	if err != nil {
		return refuseProof(err)
	}
	if thumbprint == "" || !same(c.key.thumbprint, thumbprint) {
		return refuseProof(errors.New("made by another key than the one the token is bound to"))
	}
	if err := p.spend(p.known, c); err != nil {
		return refuseProof(err)
	}
	if c.unread != "" {
		p.headers.put(c.unread, c.key)
	}
	return nil
}

func refuseProof(cause error) error {
	next := again
	if errors.Is(cause, errProofTime) {
		next = "Set this machine's clock, then try again."
	}
	return refuse("The proof of your key was not accepted.", next, fmt.Errorf("check proof: %w", cause))
}

var errProofTime = errors.New("iat is outside the window")

// proofClaims are the claims of RFC 9449 §4.2.
type proofClaims struct {
	ID     string  `json:"jti"`
	Method string  `json:"htm"`
	URL    string  `json:"htu"`
	Issued float64 `json:"iat"`
	Token  string  `json:"ath"`

	key    *proofKey
	unread string // the header, unless it is remembered already
}

// inspect does the checks of RFC 9449 §4.3 except the memory.
func (p *Proofs) inspect(proof, method, url, token string) (*proofClaims, error) {
	key, unread, err := p.headers.keyOf(proof)
	if err != nil {
		return nil, err
	}
	payload, err := verifyES256(proof, key.public)
	if err != nil {
		return nil, err
	}
	c := new(proofClaims)
	if err := json.Unmarshal(payload, c); err != nil {
		return nil, fmt.Errorf("read claims: %w", err)
	}
	if err := c.check(method, url, token, p.now()); err != nil {
		return nil, err
	}
	c.key, c.unread = key, unread
	return c, nil
}

// readProofKey reads the key in a proof's header.
func readProofKey(proof string) (*proofKey, error) {
	_, header, err := parse(proof, "dpop+jwt", maxProof)
	if err != nil {
		return nil, err
	}
	jwk := header.JSONWebKey
	if jwk == nil {
		return nil, errors.New("no jwk in the header")
	}
	key, ok := jwk.Key.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("jwk is not a public P-256 key")
	}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("thumbprint: %w", err)
	}
	return &proofKey{key, base64.RawURLEncoding.EncodeToString(sum)}, nil
}

func (c *proofClaims) check(method, url, token string, now time.Time) error {
	if c.ID == "" || len(c.ID) > maxJTI {
		return errors.New("jti is absent or too long")
	}
	if c.Method != method {
		return errors.New("made for another method")
	}
	if !sameURL(c.URL, url) {
		return errors.New("made for another URL")
	}
	at, window := float64(now.Unix()), ProofWindow.Seconds()
	if !(c.Issued >= at-window && c.Issued <= at+window) { // not De-Morganed: NaN must fail
		return errProofTime
	}
	want := ""
	if token != "" {
		want = digest(token)
	}
	if !same(c.Token, want) {
		return errors.New("made for another token")
	}
	return nil
}

func (p *Proofs) spend(memory *replayed, c *proofClaims) error {
	sum := sha256.Sum256([]byte(c.key.thumbprint + c.ID))
	fresh, err := memory.spend([16]byte(sum[:16]), p.now())
	if err == nil && !fresh {
		err = errors.New("used before")
	}
	return err
}

// parse reads a compact JWS whose protected header says ES256, the given type, and nothing that we do not expect.
// The signature is not yet verified.
func parse(compact, typ string, most int) (*jose.JSONWebSignature, *jose.Header, error) {
	if len(compact) > most {
		return nil, nil, fmt.Errorf("longer than %d bytes", most)
	}
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, nil, err
	}
	header := &jws.Signatures[0].Protected
	for name, value := range header.ExtraHeaders {
		if name != jose.HeaderType || value != typ {
			return nil, nil, fmt.Errorf("header %.20q is not what is expected here", name)
		}
	}
	if len(header.ExtraHeaders) != 1 {
		return nil, nil, errors.New("no typ in the header")
	}
	return jws, header, nil
}

// sameURL compares htu with the URL of the request, both without query and fragment. What differs is compared again
// with scheme and host in lower case and the default port left out (RFC 9449 §4.3 asks for no more).
func sameURL(htu, requested string) bool {
	if len(htu) > maxURL || len(requested) > maxURL {
		return false
	}
	a, _, _ := strings.Cut(htu, "?")
	b, _, _ := strings.Cut(requested, "?")
	if a == b && a != "" {
		return true
	}
	x, y := normalURL(htu), normalURL(requested)
	return x != "" && x == y
}

func normalURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil {
		return ""
	}
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return ""
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return scheme + "://" + host + path
}
