package client

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
)

// newTransport makes the one transport of a client. It speaks HTTP/1.1 only, because the stream to a gateway is
// an HTTP/1.1 upgrade: so the connection that carried the call to control is idle when the stream is opened, and
// where gateway and control are one server it is used again, which saves the TLS handshake.
func newTransport(ca string) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if ca != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, &sekisho.Refusal{Sentence: "The CA file holds no PEM certificate.", Next: "Ask your administrator for the right one."}
		}
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		IdleConnTimeout:       60 * time.Second,
		MaxIdleConnsPerHost:   2,
		Protocols:             &protocols,
		// Streams of recordings and of the log are compressed where it pays; these bytes are ciphertext.
		DisableCompression: true,
		WriteBufferSize:    16 << 10,
		ReadBufferSize:     64 << 10,
	}, nil
}

// cleanURL makes https://HOST[:PORT] of what a person types.
func cleanURL(typed string) (string, error) {
	if !strings.Contains(typed, "://") {
		typed = "https://" + typed
	}
	u, err := url.Parse(typed)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", &sekisho.Refusal{Sentence: fmt.Sprintf("%.200q is not the address of a Sekisho.", typed), Next: "It looks like https://sekisho.example.com."}
	}
	if u.Scheme != "https" {
		return "", &sekisho.Refusal{Sentence: "Only https addresses are used.", Next: "Try https://" + u.Host + "."}
	}
	return "https://" + u.Host, nil
}

// pinnedCA asks the server at base for its certificates and gives the one whose SHA-256 is the pin, as PEM, if the
// server's own certificate follows from it. Nothing is sent before that holds.
func pinnedCA(ctx context.Context, base, pin string) (string, error) {
	want, err := parsePin(pin)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("parse %s: %w", base, err)
	}
	var found *x509.Certificate
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	dialer := &tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: u.Hostname(),
		// The chain is verified below against the one certificate that the pin names, instead of the system's.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			found, err = underPin(state, want)
			return err
		},
	}}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		var refused *sekisho.Refusal
		if errors.As(err, &refused) {
			return "", refused
		}
		return "", unreachable(base, err)
	}
	conn.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: found.Raw})), nil
}

func parsePin(pin string) ([sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	digits, ok := strings.CutPrefix(strings.ToLower(pin), "sha256:")
	raw, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if !ok || err != nil || len(raw) != len(sum) {
		return sum, &sekisho.Refusal{Sentence: "The CA pin is not sha256: and 64 hexadecimal digits.", Next: "Copy it again from your administrator."}
	}
	return [sha256.Size]byte(raw), nil
}

func underPin(state tls.ConnectionState, want [sha256.Size]byte) (*x509.Certificate, error) {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	var found *x509.Certificate
	for _, cert := range state.PeerCertificates {
		if sha256.Sum256(cert.Raw) == want {
			found = cert
			roots.AddCert(cert)
		} else {
			between.AddCert(cert)
		}
	}
	if found == nil {
		return nil, &sekisho.Refusal{
			Sentence: "The server does not show the certificate that the CA pin names.",
			Next:     "Do not go on: somebody may be in between. Ask your administrator for the pin.",
		}
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		DNSName: state.ServerName, Roots: roots, Intermediates: between,
	})
	return found, err
}

// untrusted says whether err is about a certificate that does not verify.
func untrusted(err error) bool {
	var bad *tls.CertificateVerificationError
	return errors.As(err, &bad)
}
