// Package ca signs. It holds the keys of the house and turns a decision that was made elsewhere into an OpenSSH
// certificate, or an x509 certificate for a link.
//
// A certificate goes through four steps, always in this order (sign.go):
//
//  1. rules: its issuer (people, gateways, hosts, or one that is configured) checks who asks, from where and with which
//     key, and composes what may be in it (rules.go); a refusal names issuer and rule;
//  2. note: all that it will say becomes a line of the audit log, and durable;
//  3. serial: that line's index is the certificate's serial number, so that a certificate leads to its line
//     and one whose line says something else is forged;
//  4. sign.
//
// A failure at any step gives no certificate. A line without a certificate can exist (a crash between 2 and 4),
// a certificate without its line cannot.
//
// Each issuer can make one kind of certificate only: people cannot get a gateway's, gateways cannot get a
// person's, configured issuers sign by CAs of their own, and no request names principals freely. Private keys stay inside: the package has no way to export
// one, reads key files only when nobody else can, and never logs.
package ca

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
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
	// CAs are those that are kept, each with its keys. Their private keys are opened when they are first needed.
	CAs []*sekisho.CA
	// User, Gateway and Host are keys of the three CAs that every house has, where CAs does not name them: each issues.
	// Ed25519 or ECDSA, and not one key twice.
	User, Gateway, Host crypto.Signer
	// Open opens a private key in its key store. Nil: CAs names no key that is needed.
	Open func(ctx context.Context, store string) (Opened, error)
	// Create makes a private key for a CA and says where: at the URI that is asked for, or where it sees fit if that is
	// empty. kind is as in the API; empty: what the store does best. Nil: no keys are made.
	Create func(ctx context.Context, ca, store, kind string) (string, Opened, error)
	// Save keeps a CA, if what is kept has the revision before; the error wraps sekisho.ErrTaken where it has not. Nil:
	// nothing is kept.
	Save func(context.Context, *sekisho.CA) error
	// Note appends the events to the audit log as one group and returns when they are durable. It fills in
	// Seq. The log must hold a line already when the first certificate is asked for: OpenSSH's revocation
	// lists cannot name serial 0.
	Note func(ctx context.Context, events ...*sekisho.Event) error
	// Refuse reports why a certificate is not to be made, such as that the key, the person, the sign-in or the CA's key is
	// revoked. It is asked before the certificate's line is noted and once more after, so that what is revoked while a
	// certificate is being made is not in it. nil refuses nothing.
	Refuse func(sekisho.KeyID, *sekisho.CertificateRecord) error
	// Issuers are the configured issuers by name, and what narrows built-in ones.
	Issuers map[string]IssuerConfig
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Authority signs SSH certificates. It is safe for use by many goroutines.
type Authority struct {
	rings  atomic.Pointer[rings]
	step   sync.Mutex // held while a key steps, and over no signature
	open   func(ctx context.Context, store string) (Opened, error)
	create func(ctx context.Context, ca, store, kind string) (string, Opened, error)
	save   func(context.Context, *sekisho.CA) error
	note   func(ctx context.Context, events ...*sekisho.Event) error
	// refuse says what is revoked.
	refuse func(sekisho.KeyID, *sekisho.CertificateRecord) error
	now    func() time.Time

	issuers map[string]*Issuer
	taken   *taken
	doors   *limiter // of AnyDoor
	hosts   hourly
}

// Names of the CAs that every house has.
const (
	UserCA    = "user"    // signs people's certificates
	GatewayCA = "gateway" // signs gateways' certificates
	HostCA    = "host"    // signs host certificates
)

// New makes an Authority.
func New(cfg Config) (*Authority, error) {
	if cfg.Note == nil {
		return nil, errors.New("ca: no Note: certificates that are not in the audit log are not made")
	}
	a := &Authority{open: cfg.Open, create: cfg.Create, save: cfg.Save, note: cfg.Note, refuse: cfg.Refuse, now: cfg.Now}
	if a.now == nil {
		a.now = time.Now
	}
	a.taken = newTaken(a.now())
	a.doors = newLimiter(doorRate)
	var err error
	if a.issuers, err = compile(cfg.Issuers); err != nil {
		return nil, err
	}
	if a.refuse == nil {
		a.refuse = func(sekisho.KeyID, *sekisho.CertificateRecord) error { return nil }
	}
	all := &rings{byName: map[string]*ring{}, owner: map[string]string{}}
	for _, c := range cfg.CAs {
		if err := all.add(a.ring(c, nil)); err != nil {
			return nil, err
		}
	}
	for _, k := range []struct {
		name string
		key  crypto.Signer
	}{{UserCA, cfg.User}, {GatewayCA, cfg.Gateway}, {HostCA, cfg.Host}} {
		if all.byName[k.name] != nil {
			continue
		}
		if err := all.add(a.given(k.name, k.key)); err != nil {
			return nil, err
		}
	}
	a.rings.Store(all)
	return a, nil
}

// given makes the ring of a CA with one key that is at hand.
func (a *Authority) given(name string, key crypto.Signer) (*ring, error) {
	if key == nil {
		return nil, fmt.Errorf("%s CA key: there is none", name)
	}
	signer, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		return nil, fmt.Errorf("%s CA key: %w", name, err)
	}
	return a.ring(First(name, TypeOf(name), "", signer.PublicKey(), a.now()), &Opened{Signer: signer})
}

// TypeOf is what the CAs that every house has sign: "host" for the host CA, "user" for others.
func TypeOf(name string) string {
	if name == HostCA {
		return TypeHost
	}
	return TypeUser
}

// What a CA signs.
const (
	TypeUser = "user"
	TypeHost = "host"
)

// Trusts reports whether a certificate that the key signed is one of that CA's: a key of it that is in force.
func (a *Authority) Trusts(name string, key ssh.PublicKey) bool {
	r := a.rings.Load().byName[name]
	if r == nil || key == nil {
		return false
	}
	wire := string(key.Marshal())
	return slices.ContainsFunc(r.inForce, func(k *authority) bool { return k.marshalled == wire })
}

// UserCA is the public key that signs people's certificates now.
func (a *Authority) UserCA() ssh.PublicKey { return a.signs(UserCA) }

// GatewayCA is the public key that signs gateways' certificates now.
func (a *Authority) GatewayCA() ssh.PublicKey { return a.signs(GatewayCA) }

// HostCA is the public key that signs host certificates now.
func (a *Authority) HostCA() ssh.PublicKey { return a.signs(HostCA) }

func (a *Authority) signs(name string) ssh.PublicKey {
	return a.rings.Load().byName[name].issuing.signer.PublicKey()
}

// Lines are the public keys in force of the three CAs that every house has, as authorized_keys lines without comment and
// line end; of each CA the issuing one first.
type Lines struct{ User, Gateway, Host []string }

// Lines gives the CAs' public keys.
func (a *Authority) Lines() Lines {
	all := a.rings.Load()
	return Lines{all.byName[UserCA].lines, all.byName[GatewayCA].lines, all.byName[HostCA].lines}
}

// Line is a key or certificate as an authorized_keys line without comment and line end.
func Line(key ssh.PublicKey) string {
	return key.Type() + " " + base64.StdEncoding.EncodeToString(key.Marshal())
}
