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

// certificate gives the certificate at hand if it is what the request would get and has a third of its time left,
// else a new one, as an authorized_keys line.
func (h *hostCertificates) certificate(ctx context.Context, d *door, r ca.HostRequest) (string, error) {
	name := r.Names[0]
	h.mu.Lock()
	cert := h.latest[name]
	h.mu.Unlock()
	if cert == nil {
		cert = h.stored(ctx, d, name)
	}
	if cert == nil || !h.good(cert, r, d.CA.Lines().Host[0], d.Now()) || d.Revoked.Certificate(cert) != nil {
		made, err := d.CA.Hosts(ctx, r)
		if err != nil {
			return "", fmt.Errorf("host certificate for %s: %w", name, err)
		}
		cert = made
		expires := time.Unix(int64(cert.ValidBefore), 0)
		if err := d.Store.PutPending(ctx, hostKey(name), expires, []byte(ca.Line(cert))); err != nil {
			return "", fmt.Errorf("keep host certificate: %w", err)
		}
	}
	h.mu.Lock()
	if h.latest == nil {
		h.latest = make(map[string]*ssh.Certificate)
	}
	h.latest[name] = cert
	h.mu.Unlock()
	return ca.Line(cert), nil
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

func (h *hostCertificates) good(cert *ssh.Certificate, r ca.HostRequest, authority string, now time.Time) bool {
	return cert.CertType == ssh.HostCert &&
		string(cert.Key.Marshal()) == string(r.Key.Marshal()) &&
		slices.Equal(cert.ValidPrincipals, r.Names) &&
		ca.Line(cert.SignatureKey) == authority &&
		now.Add(hostTTL/3).Before(time.Unix(int64(cert.ValidBefore), 0))
}

func hostKey(name string) string { return "hostcert/" + name }
