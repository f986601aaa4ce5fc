package gateway_test

import (
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// A target that shows a revoked host certificate is never logged in to.
func TestRevokedTarget(t *testing.T) {
	h := newHouse(t)
	h.target.Close()
	h.target = listen(t)
	key := newKey(t)
	made := certify(t, h.hostCA, key.PublicKey(), ssh.HostCert, []string{"db1"}, func(c *ssh.Certificate) { c.Serial = 7 })
	go h.serveTarget(h.target, certSigner(t, made, key))
	for _, revoked := range []bool{false, true} {
		if revoked {
			h.revoked.Store(new(uint64(7)))
		}
		c, err := h.client()
		if err == nil {
			var s *ssh.Session
			if s, err = c.NewSession(); err == nil {
				s.Close()
			}
		}
		if revoked && (err == nil || !strings.Contains(err.Error(), "host certificate of the target is revoked")) {
			t.Errorf("hears %v", err)
		}
		if (err != nil) != revoked {
			t.Errorf("revoked is %v: %v", revoked, err)
		}
	}
}

// Sessions and visits say by which certificate and key they came in, so that they end with it.
func TestEndByCertificate(t *testing.T) {
	onEveryWay(t, func(t *testing.T, in wayIn) {
		w := newWays(t)
		key := newKey(t)
		made := certify(t, w.userCA, key.PublicKey(), ssh.UserCert, []string{"gateway"}, func(c *ssh.Certificate) { c.Serial = 7 })
		c, err := in.come(w, w.client(in.user, &terminal{}, certSigner(t, made, key)))
		if err != nil {
			t.Fatal(err)
		}
		w.echoes(c)
		ca, print := ssh.FingerprintSHA256(w.userCA.PublicKey()), ssh.FingerprintSHA256(key.PublicKey())
		if n := w.gateway.End(func(s sekisho.Session) bool { return s.Serial == 8 }); n != 0 {
			t.Errorf("%d others ended", n)
		}
		if n := w.gateway.End(func(s sekisho.Session) bool { return s.Serial == 7 && s.CA == ca && s.Key == print }); n == 0 {
			t.Error("nothing ended")
		}
		c.Wait() // it does
	})
}
