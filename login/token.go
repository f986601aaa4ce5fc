package login

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/sekisho/sekisho"
)

const (
	// PassLifetime is how long a target-scoped token may be valid.
	PassLifetime = 2 * time.Minute
	// Audience is the aud claim of target-scoped tokens.
	Audience = "sekisho-gateway"

	passType = "sekisho-target+jwt"
	maxPass  = 8 << 10 // bytes
	// passSkew is how far a gateway's clock may be behind control's.
	passSkew = 30 * time.Second
)

// passClaims are the claims of a target-scoped token (docs/decisions/0001).
type passClaims struct {
	Issuer    string           `json:"iss"`
	Audience  string           `json:"aud"`
	Subject   string           `json:"sub"`
	ID        string           `json:"jti"`
	Issued    int64            `json:"iat"`
	NotBefore int64            `json:"nbf"`
	Expires   int64            `json:"exp"`
	Confirm   confirmation     `json:"cnf"` // RFC 9449 §6.1
	SignIn    string           `json:"sign_in"`
	Identity  sekisho.Identity `json:"identity"`
	Target    string           `json:"target"`
	Login     string           `json:"login"`
	Host      string           `json:"host"`
	Key       string           `json:"key"`
}

type confirmation struct {
	Thumbprint string `json:"jkt"`
}

// Issuer signs target-scoped tokens.
type Issuer struct {
	url    string
	signer *es256
}

// NewIssuer makes an issuer of tokens by a P-256 key, wherever that is kept. url is control's public URL.
func NewIssuer(key crypto.Signer, url string) (*Issuer, error) {
	_, kid, err := passKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	signer, err := newES256(key, kid, passType)
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	return &Issuer{url: url, signer: signer}, nil
}

// Sign makes the token for a pass, whose fields must all be filled; times are cut to seconds.
func (i *Issuer) Sign(p sekisho.Pass) (string, error) {
	c := passClaims{
		Issuer: i.url, Audience: Audience, Subject: p.Identity.Subject, ID: p.ID,
		Issued: p.Issued.Unix(), NotBefore: p.Issued.Unix(), Expires: p.Expires.Unix(),
		Confirm: confirmation{p.Thumbprint}, SignIn: p.SignIn, Identity: p.Identity,
		Target: p.Target, Login: p.Login, Host: p.Host, Key: p.Key,
	}
	if err := c.check(); err != nil {
		return "", fmt.Errorf("sign pass: %w", err)
	}
	token, err := i.signer.sign(c)
	if err != nil {
		return "", fmt.Errorf("sign pass: %w", err)
	}
	if len(token) > maxPass {
		return "", fmt.Errorf("sign pass: token has %d bytes, at most %d: too many groups?", len(token), maxPass)
	}
	return token, nil
}

// check looks at the claims' form, the same when signing and when verifying.
func (c *passClaims) check() error {
	switch life := c.Expires - c.Issued; {
	case life <= 0 || life > int64(PassLifetime/time.Second):
		return fmt.Errorf("valid for %d seconds", life)
	case c.NotBefore != c.Issued:
		return errors.New("nbf is not iat")
	case !isDigest(c.Confirm.Thumbprint):
		return errors.New("not bound to a key")
	case c.ID == "" || c.Subject == "" || c.Subject != c.Identity.Subject || c.SignIn == "" || c.Key == "" || c.Host == "":
		return errors.New("a claim is missing")
	}
	if err := sekisho.CheckTargetName(c.Target); err != nil {
		return err
	}
	return sekisho.CheckLogin(c.Login)
}

// VerifierConfig configures a Verifier.
type VerifierConfig struct {
	// Issuer is control's public URL.
	Issuer string
	// Keys are the P-256 public keys that control may sign with.
	Keys   []crypto.PublicKey
	Proofs *Proofs
	Now    func() time.Time
}

// Verifier checks target-scoped tokens without asking anyone.
type Verifier struct {
	issuer string
	keys   map[string]*ecdsa.PublicKey // by thumbprint, which is the token's kid
	proofs *Proofs
	now    func() time.Time
}

// NewVerifier refuses a configuration without keys or with others than P-256.
func NewVerifier(cfg VerifierConfig) (*Verifier, error) {
	v := &Verifier{issuer: cfg.Issuer, keys: make(map[string]*ecdsa.PublicKey), proofs: cfg.Proofs, now: cfg.Now}
	if cfg.Issuer == "" || cfg.Proofs == nil || cfg.Now == nil || len(cfg.Keys) == 0 {
		return nil, errors.New("token verifier: issuer, keys, proofs and clock are all needed")
	}
	for _, k := range cfg.Keys {
		pub, kid, err := passKey(k)
		if err != nil {
			return nil, fmt.Errorf("token verifier: %w", err)
		}
		v.keys[kid] = pub
	}
	return v, nil
}

func passKey(k crypto.PublicKey) (*ecdsa.PublicKey, string, error) {
	pub, ok := k.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, "", fmt.Errorf("want a P-256 key, not %T", k)
	}
	sum, err := (&jose.JSONWebKey{Key: pub}).Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, "", err
	}
	return pub, base64.RawURLEncoding.EncodeToString(sum), nil
}

// Verify checks a token and the proof that came with it for one request, and gives the pass.
func (v *Verifier) Verify(token, proof, method, url string) (*sekisho.Pass, error) {
	c, err := v.open(token)
	if err != nil {
		return nil, refuse("The gateway did not accept the pass for this connection.", "Connect again.",
			fmt.Errorf("verify pass: %w", err))
	}
	if err := v.proofs.CheckBy(c.Confirm.Thumbprint, proof, method, url, token); err != nil {
		return nil, err
	}
	return &sekisho.Pass{
		ID: c.ID, SignIn: c.SignIn, Identity: c.Identity, Target: c.Target, Login: c.Login, Host: c.Host,
		Thumbprint: c.Confirm.Thumbprint, Key: c.Key,
		Issued: time.Unix(c.Issued, 0).UTC(), Expires: time.Unix(c.Expires, 0).UTC(),
	}, nil
}

func (v *Verifier) open(token string) (*passClaims, error) {
	jws, header, err := parse(token, passType, maxPass)
	if err != nil {
		return nil, err
	}
	key := v.keys[header.KeyID]
	if key == nil || header.JSONWebKey != nil {
		return nil, errors.New("signed by a key that we do not know")
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return nil, err
	}
	c := new(passClaims)
	if err := json.Unmarshal(payload, c); err != nil {
		return nil, fmt.Errorf("read claims: %w", err)
	}
	if c.Issuer != v.issuer || c.Audience != Audience {
		return nil, errors.New("made by or for somebody else")
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	switch now := v.now(); {
	case !now.Before(time.Unix(c.Expires, 0)):
		return nil, errors.New("expired")
	case now.Before(time.Unix(c.NotBefore, 0).Add(-passSkew)):
		return nil, errors.New("not valid yet")
	}
	return c, nil
}
