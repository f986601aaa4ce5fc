// Package ca signs. It holds the keys of the house and turns a decision that was made elsewhere into an OpenSSH
// certificate, or an x509 certificate for a link.
//
// A certificate goes through four steps, always in this order (sign.go):
//
//  1. rules: its issuer (people, gateways, hosts) checks who asks and composes what may be in it;
//  2. note: all that it will say becomes a line of the audit log, and durable;
//  3. serial: that line's index is the certificate's serial number, so that a certificate leads to its line
//     and one whose line says something else is forged;
//  4. sign.
//
// A failure at any step gives no certificate. A line without a certificate can exist (a crash between 2 and 4),
// a certificate without its line cannot.
//
// Each issuer can make one kind of certificate only: people cannot get a gateway's, gateways cannot get a
// person's, and no request names principals freely. Private keys stay inside: the package has no way to export
// one, reads key files only when nobody else can, and never logs.
package ca

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// Skew is how far back certificates are dated, so that a host whose clock is a little behind takes a fresh one.
const Skew = 30 * time.Second

const (
	// MaxTTL is the longest that a user certificate is valid; longer wishes are cut to it.
	MaxTTL = 24 * time.Hour
	// MaxHostTTL is the same for host certificates.
	MaxHostTTL = 90 * 24 * time.Hour
)

// Config is what an Authority is made of.
type Config struct {
	// User, Gateway and Host are the three CA keys: Ed25519 or ECDSA, and not one key twice.
	User, Gateway, Host crypto.Signer
	// Note appends the events to the audit log as one group and returns when they are durable. It fills in
	// Seq. The log must hold a line already when the first certificate is asked for: OpenSSH's revocation
	// lists cannot name serial 0.
	Note func(ctx context.Context, events ...*sekisho.Event) error
	// Refuse reports why a certificate is not to be made, such as that the key, the person, the sign-in or the CA's key is
	// revoked. It is asked before the certificate's line is noted and once more after, so that what is revoked while a
	// certificate is being made is not in it. nil refuses nothing.
	Refuse func(KeyID, *sekisho.CertificateRecord) error
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Authority signs SSH certificates. It is safe for use by many goroutines.
type Authority struct {
	cas  map[string]*authority // by name: the key that issues
	note func(ctx context.Context, events ...*sekisho.Event) error
	// refuse says what is revoked.
	refuse func(KeyID, *sekisho.CertificateRecord) error
	now    func() time.Time
}

// Names of the CAs that every house has.
const (
	UserCA    = "user"    // signs people's certificates
	GatewayCA = "gateway" // signs gateways' certificates
	HostCA    = "host"    // signs host certificates
)

// authority is one CA key with what is computed once.
type authority struct {
	signer      ssh.Signer
	line        string
	fingerprint string
	marshalled  string
}

// New makes an Authority.
func New(cfg Config) (*Authority, error) {
	if cfg.Note == nil {
		return nil, errors.New("ca: no Note: certificates that are not in the audit log are not made")
	}
	a := &Authority{note: cfg.Note, refuse: cfg.Refuse, now: cfg.Now, cas: make(map[string]*authority)}
	if a.now == nil {
		a.now = time.Now
	}
	if a.refuse == nil {
		a.refuse = func(KeyID, *sekisho.CertificateRecord) error { return nil }
	}
	for _, k := range []struct {
		name string
		key  crypto.Signer
	}{{UserCA, cfg.User}, {GatewayCA, cfg.Gateway}, {HostCA, cfg.Host}} {
		made, err := newAuthority(k.key)
		if err != nil {
			return nil, fmt.Errorf("%s CA key: %w", k.name, err)
		}
		if a.owns(made.marshalled) {
			return nil, fmt.Errorf("%s CA key: it is another CA's key too; each CA needs its own", k.name)
		}
		a.cas[k.name] = made
	}
	return a, nil
}

// issuing gives the key that signs for a CA.
func (a *Authority) issuing(name string) (*authority, error) {
	c, ok := a.cas[name]
	if !ok {
		return nil, fmt.Errorf("there is no CA %.60q", name)
	}
	return c, nil
}

func newAuthority(key crypto.Signer) (*authority, error) {
	if key == nil {
		return nil, errors.New("there is none")
	}
	signer, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		return nil, err
	}
	switch signer.PublicKey().Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384:
	default:
		return nil, fmt.Errorf("it is %s: want Ed25519 or ECDSA", signer.PublicKey().Type())
	}
	return &authority{
		signer:      signer,
		line:        Line(signer.PublicKey()),
		fingerprint: ssh.FingerprintSHA256(signer.PublicKey()),
		marshalled:  string(signer.PublicKey().Marshal()),
	}, nil
}

// owns reports whether a marshalled public key is one of the CAs' own.
func (a *Authority) owns(marshalled string) bool {
	for _, c := range a.cas {
		if c.marshalled == marshalled {
			return true
		}
	}
	return false
}

// UserCA is the public key that signs people's certificates.
func (a *Authority) UserCA() ssh.PublicKey { return a.cas[UserCA].signer.PublicKey() }

// GatewayCA is the public key that signs gateways' certificates.
func (a *Authority) GatewayCA() ssh.PublicKey { return a.cas[GatewayCA].signer.PublicKey() }

// HostCA is the public key that signs host certificates.
func (a *Authority) HostCA() ssh.PublicKey { return a.cas[HostCA].signer.PublicKey() }

// Lines are the three public keys as authorized_keys lines without comment and line end.
type Lines struct{ User, Gateway, Host string }

// Lines gives the CAs' public keys.
func (a *Authority) Lines() Lines {
	return Lines{a.cas[UserCA].line, a.cas[GatewayCA].line, a.cas[HostCA].line}
}

// Line is a key or certificate as an authorized_keys line without comment and line end.
func Line(key ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) }
