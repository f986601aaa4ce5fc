package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// ServeSSH takes one connection at the SSH port: `ssh login%target@gateway` with a user certificate for that
// login and target, whose sign-in must still live. It returns when the session is over.
func (g *Gateway) ServeSSH(ctx context.Context, conn net.Conn, host ssh.Signer) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &port{gateway: g, conn: conn, secured: make(chan *sshEnd, 1), cancel: cancel}
	config := &ssh.ServerConfig{
		Config:                  algorithms(),
		PublicKeyAuthAlgorithms: userAlgorithms,
		MaxAuthTries:            maxOffers,
		ServerVersion:           serverVersion,
		PublicKeyCallback:       p.offered,
		VerifiedPublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey, perms *ssh.Permissions, _ string) (*ssh.Permissions, error) {
			return perms, p.proved(ctx, meta, key)
		},
	}
	addHostKeys(config, host)
	end, err := g.serve(conn, config)
	if err != nil {
		g.cfg.Log.Info("SSH port", "client", conn.RemoteAddr().String(), "error", err)
		cancel()
	} else {
		p.secured <- end
	}
	if p.over != nil {
		<-p.over
	}
}

// port is the way in through the SSH port. The walk starts when the key is proved, and waits at open for the
// handshake to end.
type port struct {
	gateway *Gateway
	conn    net.Conn
	secured chan *sshEnd
	cancel  context.CancelFunc
	ready   chan error    // nil once the door is open, else the refusal
	over    chan struct{} // closed when the walk has ended
}

// ends: at the SSH port the gateway always ends the SSH.
func (p *port) ends(sekisho.Limits) bool { return true }

func (p *port) open() (net.Conn, error) {
	p.ready <- nil
	return p.conn, nil
}

func (p *port) secure(ctx context.Context, _ *session, _ net.Conn) (*sshEnd, error) {
	select {
	case end := <-p.secured:
		return end, nil
	case <-ctx.Done():
		return nil, errors.New("user's SSH: did not finish the handshake")
	}
}

// route splits login%target. Neither half may be empty; the target's half is checked against its form.
func route(user string) (login, target string, err error) {
	login, target, ok := strings.Cut(user, "%")
	if !ok {
		return "", "", fmt.Errorf("user %q is not of the form login%%target", printable(user))
	}
	if err := sekisho.CheckLogin(login); err != nil {
		return "", "", err
	}
	return login, target, sekisho.CheckTargetName(target)
}

// offered accepts keys that could let someone in; whether they do is decided once the key is proved.
func (p *port) offered(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	login, target, err := route(meta.User())
	if err != nil {
		return nil, &ssh.BannerError{Err: err, Message: "Write the user as login%target, such as root%db1.\r\n"}
	}
	_, err = p.gateway.checkPort(meta, key, login, target)
	return &ssh.Permissions{}, err
}

// checkPort accepts a certificate for that login and target, for either door: at this port the gateway ends the
// SSH and judges the sign-in behind it in any case.
func (g *Gateway) checkPort(meta ssh.ConnMetadata, key ssh.PublicKey, login, target string) (*ssh.Certificate, error) {
	principal := sekisho.DoorPrincipal(login, target)
	if c, ok := key.(*ssh.Certificate); ok && slices.Contains(c.ValidPrincipals, sekisho.Principal(login, target)) {
		principal = sekisho.Principal(login, target)
	}
	return g.checkCertificate(meta, key, principal)
}

// proved runs once the client has signed with the key: the walk starts, and the refusal, if there is one, is
// shown as a banner.
func (p *port) proved(ctx context.Context, meta ssh.ConnMetadata, key ssh.PublicKey) error {
	login, target, err := route(meta.User())
	if err != nil {
		return err
	}
	certificate, err := p.gateway.checkPort(meta, key, login, target)
	if err != nil {
		return err
	}
	pass, err := p.gateway.cfg.Recall(ctx, certificate)
	if err != nil {
		return say(err)
	}
	pass.Login, pass.Target, pass.Host = login, target, target
	pass.Key = ssh.FingerprintSHA256(certificate.Key)
	s := p.gateway.newSession(pass, p.conn.RemoteAddr(), p, p.cancel)
	if err := p.gateway.enter(s); err != nil {
		return say(err)
	}
	p.ready, p.over = make(chan error, 2), make(chan struct{})
	go func() {
		defer close(p.over)
		defer p.gateway.leave(s)
		err := s.walk(ctx)
		if err != nil {
			p.gateway.cfg.Log.Info("session ended", "session", s.ID, "error", err)
		}
		p.ready <- err
	}()
	return say(<-p.ready)
}

// say wraps an error so that the person sees its sentence before ssh gives up.
func say(err error) error {
	if err == nil {
		return nil
	}
	return &ssh.BannerError{Err: err, Message: sekisho.Say(err) + "\r\n"}
}
