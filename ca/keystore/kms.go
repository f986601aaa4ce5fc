package keystore

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// serviceLinks is how many signatures a key management service is asked for at once.
const serviceLinks = 32

var errDenied = errors.New("permission denied")

// readEndpoint reads the address of a service: https, or http on this machine.
func readEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return nil, errors.New("want https://HOST, without user, query and fragment")
	}
	if u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()) {
		return u, nil
	}
	return nil, errors.New("want https://HOST: http would hand signatures to whoever is on the way")
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// rightHash refuses what ECDSA services do not sign: P-256 goes with SHA-256, P-384 with SHA-384.
func rightHash(public crypto.PublicKey, hash crypto.Hash) error {
	if want := messageHash(public); want == 0 || hash != want {
		return fmt.Errorf("hash %v does not go with this key, %v does", hash, want)
	}
	return nil
}

// derOf makes DER of r and s beside one another (RFC 7518, 3.4).
func derOf(raw []byte, public *ecdsa.PublicKey) ([]byte, error) {
	half := (public.Curve.Params().BitSize + 7) / 8
	if len(raw) != 2*half {
		return nil, fmt.Errorf("the signature has %d bytes", len(raw))
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
}

// brief is an error of a service's library in few words, on one line.
type brief struct {
	text string
	err  error
}

func (b brief) Error() string { return b.text }
func (b brief) Unwrap() error { return b.err }

// firstLine shortens an error that spreads itself out.
func firstLine(err error) error {
	text, rest, more := strings.Cut(err.Error(), "\n")
	var op *net.OpError
	switch {
	case errors.As(err, &op):
		return brief{op.Error(), err}
	case more && rest != "" || len(text) > 300:
		return brief{fmt.Sprintf("%.300s", text), err}
	}
	return err
}
