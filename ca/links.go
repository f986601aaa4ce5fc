package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca/keyfile"
)

const (
	// LinkTTL is how long a link certificate is valid.
	LinkTTL = 30 * 24 * time.Hour
	// authorityTTL is how long an x509 CA certificate is valid; it is made anew with the same key and name
	// when less than authorityLeft is left, so that what it signed stays good.
	authorityTTL  = 10 * 365 * 24 * time.Hour
	authorityLeft = 2 * 365 * 24 * time.Hour
	// x509Skew dates x509 certificates back; connectors' clocks are not ours.
	x509Skew = 5 * time.Minute
	maxCSR   = 16 << 10
)

// Links signs the x509 certificates that connectors show on their links.
type Links struct {
	key  crypto.Signer
	cert *x509.Certificate
	pool *x509.CertPool
	now  func() time.Time
}

// OpenLinks opens the link CA: its key, and its own certificate kept at path, made when there is none.
func OpenLinks(key *ecdsa.PrivateKey, path string, now func() time.Time) (*Links, error) {
	if now == nil {
		now = time.Now
	}
	cert, err := openAuthority(key, path, "Sekisho link CA", now())
	if err != nil {
		return nil, err
	}
	l := &Links{key: key, cert: cert, pool: x509.NewCertPool(), now: now}
	l.pool.AddCert(cert)
	return l, nil
}

// Pool holds the link CA's certificate: what the gateway's end of links trusts.
func (l *Links) Pool() *x509.CertPool { return l.pool.Clone() }

// LinkRequest asks for a connector's link certificate.
type LinkRequest struct {
	// CSR is a DER certificate request (RFC 2986). Only its key and the proof that it is held are taken from it.
	CSR []byte
	// Thumbprint is the RFC 7638 thumbprint of the key that the call itself was proven with: the CSR's must be the same.
	Thumbprint string
	// Connector is the connector's ID, Name its name for display.
	Connector, Name string
}

// Sign makes a link certificate of 30 days for client authentication, with the connector's ID as URI
// sekisho://connector/ID, and returns its DER.
func (l *Links) Sign(r LinkRequest) ([]byte, error) {
	if !sekisho.CheckID("con", r.Connector) {
		return nil, fmt.Errorf("link certificate: connector ID %.40q", r.Connector)
	}
	refuse := func(cause error) error {
		return &sekisho.Refusal{
			Sentence: "The connector's certificate request was refused.",
			Next:     "Update sekisho-connector, or join it again with a new token.",
			Cause:    cause,
		}
	}
	if len(r.CSR) > maxCSR {
		return nil, refuse(fmt.Errorf("CSR of %d bytes", len(r.CSR)))
	}
	csr, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil {
		return nil, refuse(fmt.Errorf("parse CSR: %w", err))
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, refuse(fmt.Errorf("CSR signature: %w", err))
	}
	public, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, refuse(errors.New("CSR key is not ECDSA P-256"))
	}
	print, err := thumbprint(public)
	if err != nil || print != r.Thumbprint {
		return nil, refuse(errors.New("CSR key is not the key of the call's proof"))
	}
	now := l.now()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: commonName(r.Name)},
		NotBefore:   now.Add(-x509Skew),
		NotAfter:    now.Add(LinkTTL),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{{Scheme: "sekisho", Host: "connector", Path: "/" + r.Connector}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, l.cert, public, l.key)
	if err != nil {
		return nil, fmt.Errorf("sign link certificate: %w", err)
	}
	return der, nil
}

// LinkConnector reads the connector's ID from a link certificate whose chain the caller has verified.
func LinkConnector(cert *x509.Certificate) (string, bool) {
	if len(cert.URIs) != 1 || len(cert.DNSNames)+len(cert.IPAddresses)+len(cert.EmailAddresses) != 0 {
		return "", false
	}
	id, ok := strings.CutPrefix(cert.URIs[0].String(), "sekisho://connector/")
	return id, ok && sekisho.CheckID("con", id)
}

// thumbprint is the RFC 7638 SHA-256 thumbprint of a P-256 key: the hash over its required JWK members in
// lexical order, without spaces.
func thumbprint(key *ecdsa.PublicKey) (string, error) {
	point, err := key.Bytes()
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding
	x, y := b64.EncodeToString(point[1:33]), b64.EncodeToString(point[33:65])
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`))
	return b64.EncodeToString(sum[:]), nil
}

// commonName keeps what is good in a DNS-like name; it is for display only.
func commonName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r < 0x80 && plain(byte(r)) {
			return r
		}
		return '_'
	}, name)
	return clean[:min(len(clean), 64)]
}

// openAuthority reads the self-signed certificate of a CA key kept at path, or makes one.
func openAuthority(key *ecdsa.PrivateKey, path, name string, now time.Time) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeAuthority(key, path, name, now)
	case err != nil:
		return nil, fmt.Errorf("read CA certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("CA certificate %s: want one PEM block of type CERTIFICATE; move the file away to have one made", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("CA certificate %s: %w; move the file away to have one made", path, err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("CA certificate %s: it belongs to another key than the key file beside it: restore both from one backup", path)
	}
	if now.Add(authorityLeft).After(cert.NotAfter) {
		return makeAuthority(key, path, name, now)
	}
	return cert, nil
}

func makeAuthority(key *ecdsa.PrivateKey, path, name string, now time.Time) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.Unix()), // another one when it is made anew
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(authorityTTL),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make CA certificate: %w", err)
	}
	if err := keyfile.Replace(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return nil, fmt.Errorf("keep CA certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("@._+=:-", c) >= 0
}
