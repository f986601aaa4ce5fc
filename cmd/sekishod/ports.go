package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/control"
	"github.com/sekisho/sekisho/gateway"
	"github.com/sekisho/sekisho/tunnel"
)

// streamPath is where clients open their streams.
const streamPath = "/v1/stream"

// identify fills the gateway's Identify port: token and proof, without asking anyone.
func (h *house) identify(r *http.Request) (*sekisho.Pass, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "DPoP ")
	if !ok {
		return nil, &sekisho.Refusal{Sentence: "The stream carries no token.", Next: "Use sekisho connect."}
	}
	return h.passes.Verify(token, r.Header.Get("DPoP"), r.Method, h.cfg.URL+r.URL.Path)
}

// recall fills the gateway's Recall port: the certificate's Key ID names the sign-in.
func (h *house) recall(ctx context.Context, certificate *ssh.Certificate) (*sekisho.Pass, error) {
	id, err := sekisho.ParseKeyID(certificate.KeyId)
	if err != nil {
		return nil, &sekisho.Refusal{Sentence: "This certificate does not name a sign-in.", Next: "Run: sekisho login --agent", Cause: err}
	}
	signIn, err := h.store.SignIn(ctx, id.SignIn)
	if errors.Is(err, sekisho.ErrNotFound) || err == nil && !signIn.Live(time.Now()) {
		return &sekisho.Pass{ID: id.Request, SignIn: id.SignIn, Identity: sekisho.Identity{Subject: id.Subject}}, &sekisho.Refusal{
			Sentence: "The sign-in behind this certificate has ended.", Next: "Run: sekisho login --agent", Cause: sekisho.ErrEnded,
		}
	}
	if err == nil && signIn.Identity.Subject != id.Subject {
		err = fmt.Errorf("certificate of %s names the sign-in of %s", id.Subject, signIn.Identity.Subject)
	}
	if err != nil {
		return nil, fmt.Errorf("read sign-in: %w", err)
	}
	return &sekisho.Pass{ID: id.Request, SignIn: signIn.ID, Identity: signIn.Identity, Thumbprint: signIn.Thumbprint}, nil
}

// find fills the gateway's Find port: a target's name, its name under the domain, or an address of it.
func (h *house) find(ctx context.Context, host string) (string, error) {
	target, err := control.Find(ctx, h.store, h.cfg.Domain, host)
	if errors.Is(err, sekisho.ErrNotFound) {
		if address, e := netip.ParseAddr(host); e == nil {
			target, err = h.store.TargetAt(ctx, address)
		}
	}
	if err != nil {
		return "", err
	}
	return target.Name, nil
}

// reachable fills the gateway's Reachable port.
func (h *house) reachable(ctx context.Context, pass *sekisho.Pass, client netip.Addr) ([]gateway.Place, error) {
	now := time.Now()
	if err := checkLive(ctx, h.store, pass.SignIn, now); err != nil {
		return nil, err
	}
	all, err := control.Places(ctx, h.store, h.policies.inForce(), control.Traveller{Identity: pass.Identity, Address: client}, now)
	if err != nil {
		return nil, err
	}
	places := make([]gateway.Place, len(all))
	for i, p := range all {
		places[i] = gateway.Place{Target: p.Name, Logins: p.Logins, Limits: p.Limits, Linked: h.registry.Linked(p.Name)}
	}
	return places, nil
}

// certify fills the gateway's Certify port.
func (h *house) certify(ctx context.Context, s sekisho.Session, limits sekisho.Limits, key ssh.PublicKey) (*ssh.Certificate, error) {
	target, err := h.store.Target(ctx, s.Target)
	if err != nil {
		return nil, fmt.Errorf("read target: %w", err)
	}
	return h.ca.Gateways(ctx, ca.GatewayRequest{Session: &s, Target: target, Limits: limits, Key: key, GatewayName: s.Gateway})
}

// authorizeLink fills the registry's port: a connector that joined and was not ended may serve the targets that
// are bound to it.
func (h *house) authorizeLink(ctx context.Context, certificate *x509.Certificate) (tunnel.Member, error) {
	id, ok := ca.LinkConnector(certificate)
	if !ok {
		return tunnel.Member{}, errors.New("certificate names no connector")
	}
	connector, err := h.store.Connector(ctx, id)
	if err != nil {
		return tunnel.Member{}, err
	}
	if !connector.Ended.IsZero() {
		return tunnel.Member{}, fmt.Errorf("connector %s was ended", connector.Name)
	}
	targets, err := h.store.Targets(ctx)
	if err != nil {
		return tunnel.Member{}, err
	}
	m := tunnel.Member{ID: id, Name: connector.Name}
	for _, t := range targets {
		if t.Connector == id {
			m.Targets = append(m.Targets, t.Name)
		}
	}
	return m, nil
}

// Bounds on the gateway's host certificates. Each is a line of the audit log, and where packets are redirected anybody can
// ask for those of all addresses of a range: after hostBurst new ones there is one in each hostPause.
const (
	hostTTL   = 24 * time.Hour
	maxHosts  = 10000
	hostBurst = 1000
	hostPause = time.Second
)

// hostSigner keeps the gateway's host certificates, one for each list of names that was asked for.
type hostSigner struct {
	key   ssh.Signer
	issue func(context.Context, ca.HostRequest) (*ssh.Certificate, error)
	ca    func() ssh.PublicKey // that signs now: certificates by another are made anew
	// revoked reports that a certificate is: another one is made.
	revoked func(*ssh.Certificate) error
	now     func() time.Time

	mu    sync.Mutex
	names map[string]hostCertificate // by all names, joined
	full  time.Time                  // when the next hostBurst certificates may be made, if none is until then
}

type hostCertificate struct {
	signer ssh.Signer
	ca     string // marshalled public key
	until  time.Time
}

// signer fills the gateway's HostSigner port. Names come out of verified passes, the configuration and targets only.
func (s *hostSigner) signer(ctx context.Context, names ...string) (ssh.Signer, error) {
	name := strings.Join(names, " ")
	known, err := s.known(name)
	if known != nil || err != nil {
		return known, err
	}
	certificate, err := s.issue(ctx, ca.HostRequest{Names: names, Key: s.key.PublicKey(), TTL: hostTTL, Actor: "gateway:" + gatewayName})
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewCertSigner(certificate, s.key)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil || len(s.names) >= maxHosts {
		s.names = map[string]hostCertificate{}
	}
	s.names[name] = hostCertificate{signer, string(certificate.SignatureKey.Marshal()), s.now().Add(hostTTL / 2)}
	return signer, nil
}

// known gives the certificate at hand, or nil where a new one is to be made and may be.
func (s *hostSigner) known(name string) (ssh.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if c, ok := s.names[name]; ok && now.Before(c.until) && s.good(c) {
		return c.signer, nil
	}
	if s.full.Before(now) {
		s.full = now
	}
	if s.full.Sub(now) >= hostBurst*hostPause {
		return nil, fmt.Errorf("host certificate for %s: too many new ones lately", name)
	}
	s.full = s.full.Add(hostPause)
	return nil, nil
}

// good reports whether a certificate is by the key that signs now, and not revoked.
func (s *hostSigner) good(c hostCertificate) bool {
	return c.ca == string(s.ca().Marshal()) && s.revoked(c.signer.PublicKey().(*ssh.Certificate)) == nil
}
