package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// sshEnd is one end of an SSH connection with what it brings. Whoever takes the channels says so when they have ended.
type sshEnd struct {
	conn     ssh.Conn
	channels <-chan ssh.NewChannel
	requests <-chan *ssh.Request
}

// over says that the channels have ended.
func (e *sshEnd) over() { go discard(e.conn) }

// drop closes a connection and takes its channels, if nobody else has.
func (e *sshEnd) drop() {
	e.conn.Close()
	go ssh.DiscardRequests(e.requests)
	go func() {
		for ch := range e.channels {
			ch.Reject(ssh.ConnectionFailed, "the connection has ended")
		}
		e.over()
	}()
}

// handshake ends the user's SSH: the host certificate is for the name the user asked for, the user's
// certificate must be the one that was made for this pass.
func (s *session) handshake(ctx context.Context, near net.Conn) (*sshEnd, error) {
	host, err := s.gateway.cfg.HostSigner(ctx, s.pass.Host)
	if err != nil {
		return nil, fmt.Errorf("host certificate for %s: %w", s.pass.Host, err)
	}
	config := &ssh.ServerConfig{
		Config:                  algorithms(),
		PublicKeyAuthAlgorithms: userAlgorithms,
		MaxAuthTries:            maxOffers,
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			return &ssh.Permissions{}, s.checkUser(meta, key)
		},
	}
	addHostKeys(config, host)
	end, _, err := s.gateway.serve(near, config)
	return end, err
}

// checkUser reports why a key that is offered does not fit the session's pass.
func (s *session) checkUser(meta ssh.ConnMetadata, key ssh.PublicKey) error {
	if meta.User() != s.Login {
		return fmt.Errorf("user %q is not the login %q of the pass", meta.User(), s.Login)
	}
	client, _ := netip.ParseAddr(s.ClientAddress)
	certificate, err := s.gateway.checkCertificate(client, key, sekisho.DoorPrincipal(s.Login, s.Target))
	if err != nil {
		return err
	}
	if print := ssh.FingerprintSHA256(certificate.Key); print != s.pass.Key {
		return fmt.Errorf("key %s is not the pass's key %s", print, s.pass.Key)
	}
	return nil
}

// checkCertificate accepts a user certificate of our user CA that is valid now, for one of the principals and from where
// the client is. For a certificate that is ours and does not fit, the error is a refusal that says why.
func (g *Gateway) checkCertificate(client netip.Addr, key ssh.PublicKey, principals ...string) (*ssh.Certificate, error) {
	certificate, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, errors.New("not a certificate")
	}
	if certificate.CertType != ssh.UserCert {
		return nil, errors.New("not a user certificate")
	}
	if !g.cfg.TrustsUser(certificate.SignatureKey) {
		return nil, errors.New("signed by a foreign CA")
	}
	if err := g.cfg.Revoked(certificate); err != nil {
		return nil, err
	}
	if uint64(g.cfg.Now().Unix()) >= certificate.ValidBefore {
		return nil, &sekisho.Refusal{Sentence: "Your certificate has expired.", Next: "Run: sekisho login --agent"}
	}
	at := slices.IndexFunc(principals, func(p string) bool { return slices.Contains(certificate.ValidPrincipals, p) })
	if at < 0 {
		return nil, &sekisho.Refusal{Sentence: "Your certificate is for another place.", Next: "Run: sekisho login --agent",
			Cause: fmt.Errorf("principals %q hold none of %q", certificate.ValidPrincipals, principals)}
	}
	if err := checkSource(certificate, client); err != nil {
		return nil, &sekisho.Refusal{Sentence: "Your certificate is for use from another address.", Cause: err}
	}
	checker := &ssh.CertChecker{
		Clock:                    g.cfg.Now,
		SupportedCriticalOptions: []string{sourceAddress},
		IsUserAuthority:          func(ssh.PublicKey) bool { return true }, // compared above
		IsHostAuthority:          func(ssh.PublicKey, string) bool { return false },
	}
	return certificate, checker.CheckCert(principals[at], certificate)
}

// login opens the gateway's own SSH to the target. The key exchange runs at once, beside the user's; the
// gateway's certificate is shown only after admitted is closed.
func (s *session) login(ctx context.Context, admitted <-chan struct{}) (*sshEnd, error) {
	checker := &ssh.CertChecker{
		Clock:           s.gateway.cfg.Now,
		IsHostAuthority: func(key ssh.PublicKey, _ string) bool { return s.gateway.cfg.TrustsHost(key) },
		IsUserAuthority: func(ssh.PublicKey) bool { return false },
	}
	var unproved ssh.ConnMetadata
	config := &ssh.ClientConfig{
		Config:            algorithms(),
		User:              s.Login,
		HostKeyAlgorithms: hostAlgorithms,
		HostKeyCallback:   s.gateway.unrevoked(checker.CheckHostKey),
		ClientVersion:     serverVersion,
		Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			select {
			case <-admitted:
				return []ssh.Signer{s.signer}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})},
		AuthCallback: func(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
			unproved = c.Metadata
			return nil, nil // that of Auth
		},
	}
	if err := s.far.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return nil, err
	}
	conn, channels, requests, err := ssh.NewClientConn(s.far, net.JoinHostPort(s.Target, "22"), config)
	if err != nil {
		go discard(unproved)
		return nil, fmt.Errorf("log in to target %s: %w", s.Target, err)
	}
	return shaken(s.far, &sshEnd{conn, channels, requests})
}

// unrevoked refuses host certificates that are revoked, before anything else is looked at.
func (g *Gateway) unrevoked(check ssh.HostKeyCallback) ssh.HostKeyCallback {
	return func(host string, remote net.Addr, key ssh.PublicKey) error {
		if certificate, ok := key.(*ssh.Certificate); ok {
			if err := g.cfg.Revoked(certificate); err != nil {
				return &sekisho.Refusal{Sentence: "The host certificate of the target is revoked.", Next: "Tell an administrator.", Cause: err}
			}
		}
		return check(host, remote, key)
	}
}

// serve runs the server's side of an SSH handshake within handshakeTime, unless a step of it takes charge of the
// deadline. The permissions are those of the key, or other proof, that was verified last.
func (g *Gateway) serve(near net.Conn, config *ssh.ServerConfig) (*sshEnd, *ssh.Permissions, error) {
	if err := near.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return nil, nil, err
	}
	conn, version, err := greet(near)
	if err != nil {
		return nil, nil, fmt.Errorf("user's SSH: %w", err)
	}
	config.ServerVersion = serverVersion
	config.Ciphers = ciphersFor(version)
	var unproved ssh.ServerPreAuthConn
	callback := config.PreAuthConnCallback
	config.PreAuthConnCallback = func(c ssh.ServerPreAuthConn) {
		unproved = c
		if callback != nil {
			callback(c)
		}
	}
	server, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		go discard(unproved)
		return nil, nil, fmt.Errorf("user's SSH: %w", err)
	}
	end, err := shaken(near, &sshEnd{server.Conn, channels, requests})
	return end, server.Permissions, err
}

// shaken lifts the deadline of a handshake that is over, unless the connection has ended in the meantime.
func shaken(conn net.Conn, end *sshEnd) (*sshEnd, error) {
	if err := conn.SetDeadline(time.Time{}); err != nil {
		end.drop()
		return nil, err
	}
	return end, nil
}
