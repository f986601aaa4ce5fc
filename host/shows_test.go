package host_test

import (
	"testing"

	"golang.org/x/crypto/ssh"
)

// What sshd shows is what its configuration names for the host key, by whatever CA; and what it trusts are all lines.
func TestShowsAndTrusts(t *testing.T) {
	s := newSite(t, "")
	shows := func(want string) {
		t.Helper()
		got, err := s.host.CertificateCA(t.Context())
		if err != nil || got != want {
			t.Errorf("shows a certificate of %q, %v; want %q", got, err, want)
		}
	}
	shows("")
	state := s.state("alice")
	old := s.userCA
	state.HostCertificate = line(s.certify(t, s.hostKey.PublicKey(), ssh.HostCert, "db1"))
	s.apply(t, state, true)
	shows(ssh.FingerprintSHA256(old.PublicKey()))

	// Another key comes in beside the first, then signs, then is alone.
	s.userCA = signer(t)
	next := s.userCA.PublicKey()
	state.TrustedUserCA = append(state.TrustedUserCA, line(next))
	s.apply(t, state, true)
	trusts, err := s.host.Trusts(t.Context())
	if err != nil || len(trusts) != 2 || trusts[0] != ssh.FingerprintSHA256(old.PublicKey()) || trusts[1] != ssh.FingerprintSHA256(next) {
		t.Errorf("trusts %v, %v", trusts, err)
	}
	shows(ssh.FingerprintSHA256(old.PublicKey()))
	state.HostCertificate = line(s.certify(t, s.hostKey.PublicKey(), ssh.HostCert, "db1"))
	s.apply(t, state, true)
	shows(ssh.FingerprintSHA256(next))
	state.TrustedUserCA = state.TrustedUserCA[1:]
	s.apply(t, state, true)
	if trusts, err := s.host.Trusts(t.Context()); err != nil || len(trusts) != 1 {
		t.Errorf("trusts %v, %v", trusts, err)
	}

	// A certificate for another key than the host's is none of ours.
	write(t, s.layout.Dir+"/host_certificate", line(s.certify(t, signer(t).PublicKey(), ssh.HostCert, "db1"))+"\n")
	shows("")
	write(t, s.dir+"/sshd_config", "Nonsense yes\n")
	if got, err := s.host.CertificateCA(t.Context()); err == nil {
		t.Errorf("what sshd refuses is believed: %q", got)
	}
}
