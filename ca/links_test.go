package ca_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
)

func newECDSA(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func csr(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "root of all"}, DNSNames: []string{"control.example.com"},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func thumbprint(key *ecdsa.PrivateKey) string {
	b64 := base64.RawURLEncoding.EncodeToString
	point, _ := key.PublicKey.Bytes()
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, b64(point[1:33]), b64(point[33:])))
	return b64(sum[:])
}

func TestLinks(t *testing.T) {
	now := noon
	clock := func() time.Time { return now }
	caKey, path := newECDSA(t), filepath.Join(t.TempDir(), "link.pem")
	links, err := ca.OpenLinks(caKey, path, clock)
	if err != nil {
		t.Fatal(err)
	}
	key, id := newECDSA(t), sekisho.NewID("con")
	req := ca.LinkRequest{CSR: csr(t, key), Thumbprint: thumbprint(key), Connector: id, Name: "rack 7\n"}
	der, err := links.Sign(req)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	check := func(pool *x509.CertPool, at time.Time, usage x509.ExtKeyUsage) error {
		_, err := cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	if err := check(links.Pool(), noon, x509.ExtKeyUsageClientAuth); err != nil {
		t.Error(err)
	}
	if check(links.Pool(), noon, x509.ExtKeyUsageServerAuth) == nil || check(links.Pool(), noon.Add(ca.LinkTTL+time.Second), x509.ExtKeyUsageClientAuth) == nil {
		t.Error("good as a server's, or for too long")
	}
	if got, ok := ca.LinkConnector(cert); !ok || got != id {
		t.Errorf("the certificate names %q", got)
	}
	if cert.Subject.CommonName != "rack_7_" || len(cert.DNSNames) != 0 || cert.IsCA {
		t.Errorf("taken from the request: %v %v", cert.Subject, cert.DNSNames)
	}

	// Opened again, and made anew when it is old, it trusts what was signed before.
	for _, later := range []time.Duration{time.Hour, 9 * 365 * 24 * time.Hour} {
		now = noon.Add(later)
		again, err := ca.OpenLinks(caKey, path, clock)
		if err != nil {
			t.Fatal(err)
		}
		if later < ca.LinkTTL {
			if err := check(again.Pool(), now, x509.ExtKeyUsageClientAuth); err != nil {
				t.Error(err)
			}
			continue
		}
		if der, err = again.Sign(req); err != nil {
			t.Fatal(err)
		}
		cert, _ = x509.ParseCertificate(der)
		if err := check(links.Pool(), now, x509.ExtKeyUsageClientAuth); err != nil {
			t.Errorf("the old CA certificate does not take what the new one signs: %v", err)
		}
		if err := check(again.Pool(), now.Add(2*365*24*time.Hour), x509.ExtKeyUsageClientAuth); err == nil {
			t.Error("a link certificate without an end")
		}
	}
	if _, err := ca.OpenLinks(newECDSA(t), path, clock); err == nil {
		t.Error("a certificate of another key was opened")
	}
}

func TestLinksRefuse(t *testing.T) {
	links, err := ca.OpenLinks(newECDSA(t), filepath.Join(t.TempDir(), "link.pem"), nil)
	if err != nil {
		t.Fatal(err)
	}
	key, mallory, id := newECDSA(t), newECDSA(t), sekisho.NewID("con")
	spoiled := csr(t, key)
	spoiled[len(spoiled)-1] ^= 1
	for name, req := range map[string]ca.LinkRequest{
		"another's key":     {CSR: csr(t, mallory), Thumbprint: thumbprint(key), Connector: id},
		"no signature":      {CSR: spoiled, Thumbprint: thumbprint(key), Connector: id},
		"nothing":           {Thumbprint: thumbprint(key), Connector: id},
		"nonsense":          {CSR: []byte("0\x82zz"), Thumbprint: thumbprint(key), Connector: id},
		"huge":              {CSR: make([]byte, 1<<20), Thumbprint: thumbprint(key), Connector: id},
		"path in connector": {CSR: csr(t, key), Thumbprint: thumbprint(key), Connector: "con_x/../../y"},
	} {
		if der, err := links.Sign(req); err == nil || der != nil {
			t.Errorf("%s: got a certificate", name)
		}
	}
}

func TestOwnTLS(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	now := noon
	clock := func() time.Time { return now }
	web, err := ca.OpenTLS(dir, []string{"control.example.com", "127.0.0.1"}, clock)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(web.CA()) {
		t.Fatal("no CA in PEM")
	}
	shake := func(w *ca.Web, name string) error {
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		go tls.Server(server, &tls.Config{GetCertificate: w.GetCertificate, Time: clock, MinVersion: tls.VersionTLS13}).Handshake()
		return tls.Client(client, &tls.Config{RootCAs: pool, ServerName: name, Time: clock}).HandshakeContext(t.Context())
	}
	for _, name := range []string{"control.example.com", "127.0.0.1"} {
		if err := shake(web, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if shake(web, "other.example.com") == nil {
		t.Error("good for another host")
	}
	first, _ := web.GetCertificate(nil)
	now = noon.Add(70 * 24 * time.Hour)
	second, _ := web.GetCertificate(nil)
	if first == second {
		t.Error("not renewed when short")
	}
	again, err := ca.OpenTLS(dir, []string{"control.example.com"}, clock)
	if err != nil {
		t.Fatal(err)
	}
	if string(again.CA()) != string(web.CA()) {
		t.Error("another CA after a restart: every client's pin breaks")
	}
	if err := shake(again, "control.example.com"); err != nil {
		t.Error(err)
	}
}
