package audit_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/audit"
)

func TestCheckCertificate(t *testing.T) {
	signer := func() ssh.Signer {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ssh.NewSignerFromSigner(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	authority, key, other := signer(), signer().PublicKey(), signer().PublicKey()
	at := time.Unix(1_800_000_000, 0)
	make := func(change func(*ssh.Certificate)) *ssh.Certificate {
		c := &ssh.Certificate{
			Key: key, Serial: 7, CertType: ssh.UserCert, KeyId: "mei@example.com/people/sin_a/tok_b/7", ValidPrincipals: []string{"root:web1"},
			ValidAfter: uint64(at.Unix()), ValidBefore: uint64(at.Add(time.Hour).Unix()),
		}
		c.Extensions = map[string]string{"permit-pty": "", "login@github.com": "mei"}
		c.CriticalOptions = map[string]string{"source-address": "10.0.0.0/8", "verify-required": ""}
		change(c)
		if err := c.SignCert(rand.Reader, authority); err != nil {
			t.Fatal(err)
		}
		return c
	}
	ev := &sekisho.Event{Seq: 7, Kind: sekisho.EventCertificate, Certificate: &sekisho.CertificateRecord{
		Issuer: "people", Type: "user", KeyID: "mei@example.com/people/sin_a/tok_b", Key: ssh.FingerprintSHA256(key),
		CA: ssh.FingerprintSHA256(authority.PublicKey()), Principals: []string{"root:web1"}, ValidAfter: at, ValidBefore: at.Add(time.Hour),
		Extensions: []string{"login@github.com=mei", "permit-pty"}, Options: []string{"source-address=10.0.0.0/8", "verify-required"},
	}}
	if err := audit.CheckCertificate(make(func(*ssh.Certificate) {}), ev); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*ssh.Certificate){
		"serial":           func(c *ssh.Certificate) { c.Serial = 8 },
		"type":             func(c *ssh.Certificate) { c.CertType = ssh.HostCert },
		"Key ID":           func(c *ssh.Certificate) { c.KeyId = "mei@example.com/people/sin_a/tok_b/8" },
		"key":              func(c *ssh.Certificate) { c.Key = other },
		"principals":       func(c *ssh.Certificate) { c.ValidPrincipals = append(c.ValidPrincipals, "root:db1") },
		"validity":         func(c *ssh.Certificate) { c.ValidBefore++ },
		"extensions":       func(c *ssh.Certificate) { c.Extensions["permit-port-forwarding"] = "" },
		"critical options": func(c *ssh.Certificate) { c.CriticalOptions["source-address"] = "0.0.0.0/0" },
	} {
		if err := audit.CheckCertificate(make(change), ev); err == nil || !strings.HasPrefix(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	authority = signer()
	if err := audit.CheckCertificate(make(func(*ssh.Certificate) {}), ev); err == nil || !strings.HasPrefix(err.Error(), "CA:") {
		t.Errorf("foreign CA: %v", err)
	}
	forged := make(func(*ssh.Certificate) {})
	forged.ValidPrincipals = []string{"root:db1"}
	if err := audit.CheckCertificate(forged, ev); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("changed after it was signed: %v", err)
	}
	if err := audit.CheckCertificate(&ssh.Certificate{}, ev); err == nil {
		t.Error("an unsigned one is good")
	}
	if err := audit.CheckCertificate(make(func(*ssh.Certificate) {}), &sekisho.Event{Seq: 7, Kind: sekisho.EventSignIn}); err == nil {
		t.Error("another line is good")
	}
}
