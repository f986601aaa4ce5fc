package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/gateway"
	"github.com/sekisho/sekisho/store/blob"
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
	id, err := ca.ParseKeyID(certificate.KeyId)
	if err != nil {
		return nil, &sekisho.Refusal{Sentence: "This certificate does not name a sign-in.", Next: "Run sekisho login.", Cause: err}
	}
	signIn, err := h.store.SignIn(ctx, id.SignIn)
	if err == nil && (!signIn.Live(time.Now()) || signIn.Identity.Subject != id.Subject) {
		err = errors.New("ended, or somebody else's")
	}
	if err != nil {
		return nil, &sekisho.Refusal{Sentence: "The sign-in behind this certificate has ended.", Next: "Run sekisho login.", Cause: err}
	}
	return &sekisho.Pass{ID: id.Request, SignIn: signIn.ID, Identity: signIn.Identity, Thumbprint: signIn.Thumbprint}, nil
}

// find fills the gateway's Find port.
func (h *house) find(ctx context.Context, host string) (string, error) {
	target, err := h.store.Target(ctx, host)
	if err != nil {
		return "", err
	}
	return target.Name, nil
}

// reachable fills the gateway's Reachable port.
func (h *house) reachable(context.Context, *sekisho.Pass, netip.Addr) ([]gateway.Place, error) {
	return nil, nil
}

// certify fills the gateway's Certify port.
func (h *house) certify(ctx context.Context, s sekisho.Session, limits sekisho.Limits, key ssh.PublicKey) (*ssh.Certificate, error) {
	return h.ca.Gateways(ctx, ca.GatewayRequest{Session: &s, Limits: limits, Key: key, GatewayName: s.Gateway})
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

func openRecording(folder *blob.Folder) func(context.Context, string) (io.ReadCloser, int64, error) {
	return func(_ context.Context, session string) (io.ReadCloser, int64, error) {
		file, err := folder.Open(session)
		if err != nil {
			return nil, 0, err
		}
		return file, file.Size(), nil
	}
}

const (
	hostTTL  = 24 * time.Hour
	maxHosts = 10000
)

// hostSigner keeps the gateway's host certificates, one for each name that was asked for.
type hostSigner struct {
	key   ssh.Signer
	issue func(context.Context, ca.HostRequest) (*ssh.Certificate, error)
	now   func() time.Time

	mu    sync.Mutex
	names map[string]hostCertificate // by all names, joined
}

type hostCertificate struct {
	signer ssh.Signer
	until  time.Time
}

// signer fills the gateway's HostSigner port. Names come out of verified passes, the configuration and targets only.
func (s *hostSigner) signer(ctx context.Context, names ...string) (ssh.Signer, error) {
	name := strings.Join(names, " ")
	s.mu.Lock()
	known, ok := s.names[name]
	s.mu.Unlock()
	if ok && s.now().Before(known.until) {
		return known.signer, nil
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
	s.names[name] = hostCertificate{signer, s.now().Add(hostTTL / 2)}
	return signer, nil
}
