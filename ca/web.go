package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// webTTL is how long control's own server certificate is valid: below the 398 days that browsers take.
const webTTL = 90 * 24 * time.Hour

// Web makes control's own TLS certificate where no other is configured. Only its CA is on disk: the key of the
// server certificate lives in memory, and a new one is made at every start and when a third of its time is left.
type Web struct {
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	hosts []string
	now   func() time.Time

	mu   sync.Mutex
	leaf *tls.Certificate
}

// OpenTLS opens control's own CA in the folder (ca.key, ca.pem), made when missing, for a server that is
// reached by these host names and IP addresses.
func OpenTLS(dir string, hosts []string, now func() time.Time) (*Web, error) {
	if len(hosts) == 0 {
		return nil, errors.New("own TLS certificate: no host name to make it for")
	}
	if now == nil {
		now = time.Now
	}
	key, err := OpenECDSA(filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, err
	}
	cert, err := openAuthority(key, filepath.Join(dir, "ca.pem"), "Sekisho web CA", now())
	if err != nil {
		return nil, err
	}
	w := &Web{key: key, cert: cert, hosts: slices.Clone(hosts), now: now}
	_, err = w.GetCertificate(nil)
	return w, err
}

// CA is the CA certificate in PEM: what clients and connectors pin.
func (w *Web) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.cert.Raw})
}

// GetCertificate is for tls.Config.
func (w *Web) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if w.leaf != nil && now.Before(w.leaf.Leaf.NotAfter.Add(-webTTL/3)) {
		return w.leaf, nil
	}
	leaf, err := w.make(now)
	if err != nil {
		return nil, fmt.Errorf("make own TLS certificate: %w", err)
	}
	w.leaf = leaf
	return leaf, nil
}

func (w *Web) make(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Sekisho"},
		NotBefore:   now.Add(-x509Skew),
		NotAfter:    now.Add(webTTL),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range w.hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, w.cert, &key.PublicKey, w.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, w.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}
