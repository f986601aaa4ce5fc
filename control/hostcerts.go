package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
)

// hostTTL is how long host certificates are valid; a new one is made when a third of that is left.
const hostTTL = 30 * 24 * time.Hour

// hostCertificates remembers host certificates, in memory and in the store, so that hosts that ask every minute do
// not get a new one, and a line in the audit log, each time. It holds one for each target.
type hostCertificates struct {
	mu     sync.Mutex
	latest map[string]*ssh.Certificate
}

// atHand gives a target's certificate, nil where there is none.
func (h *hostCertificates) atHand(ctx context.Context, d *door, name string) *ssh.Certificate {
	h.mu.Lock()
	cert := h.latest[name]
	h.mu.Unlock()
	if cert == nil {
		cert = h.stored(ctx, d, name)
	}
	return cert
}

// issue makes a new certificate and keeps it.
func (h *hostCertificates) issue(ctx context.Context, d *door, r ca.HostRequest) (*ssh.Certificate, error) {
	name := r.Names[0]
	cert, err := d.CA.Hosts(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("host certificate for %s: %w", name, err)
	}
	if err := d.Store.PutPending(ctx, hostKey(name), time.Unix(int64(cert.ValidBefore), 0), []byte(ca.Line(cert))); err != nil {
		return nil, fmt.Errorf("keep host certificate: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.latest == nil {
		h.latest = make(map[string]*ssh.Certificate)
	}
	h.latest[name] = cert
	return cert, nil
}

// stored reads the certificate that this or another process has kept. Whatever is wrong with it, a new one can be made.
func (h *hostCertificates) stored(ctx context.Context, d *door, name string) *ssh.Certificate {
	body, err := d.Store.Pending(ctx, hostKey(name), d.Now())
	if err != nil {
		if !errors.Is(err, sekisho.ErrNotFound) {
			d.Log.Warn("read kept host certificate", "target", name, "error", err)
		}
		return nil
	}
	key, err := readKey(string(body))
	if err != nil {
		return nil
	}
	cert, _ := key.(*ssh.Certificate)
	return cert
}

// usable reports whether a certificate is what the request would get and is valid, by a key that hosts may show
// certificates of.
func usable(cert *ssh.Certificate, r ca.HostRequest, lines []string, now time.Time) bool {
	return cert != nil && cert.CertType == ssh.HostCert &&
		string(cert.Key.Marshal()) == string(r.Key.Marshal()) &&
		slices.Equal(cert.ValidPrincipals, r.Names) &&
		slices.Contains(lines, ca.Line(cert.SignatureKey)) &&
		now.Before(time.Unix(int64(cert.ValidBefore), 0))
}

// good reports whether no new one is due either: it is by the key that issues, and has a third of its time left.
func good(cert *ssh.Certificate, r ca.HostRequest, lines []string, now time.Time) bool {
	return usable(cert, r, lines[:1], now) && now.Add(hostTTL/3).Before(time.Unix(int64(cert.ValidBefore), 0))
}

func hostKey(name string) string { return "hostcert/" + name }
