package client

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

// ConnectOptions are one connection, in the words of ssh's ProxyCommand.
type ConnectOptions struct {
	// Login, Host and Port are ssh's %r, %h and %p.
	Login, Host, Port string
	// In and Out are ssh's side of the stream.
	In  io.Reader
	Out io.Writer
	// SignIn says how to sign in if there is need; nil refuses instead.
	SignIn *LoginOptions
}

// Connect carries one ssh connection. It returns nil when either side has ended it, also when ctx ends it once bytes
// are flowing, which is how ssh ends a ProxyCommand. What control or gateway refuse is a *sekisho.Refusal.
func (c *Client) Connect(ctx context.Context, o ConnectOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	socket, err := c.home.socketPath(o.Login, o.Host)
	if err != nil {
		return err
	}
	grant, keys, err := c.ask(ctx, o)
	if err != nil {
		return err
	}
	defer keys.forget()
	if err := c.renewHostCA(grant.HostCa); err != nil {
		return err
	}
	if err := c.renewRevokedHosts(ctx, grant.RevokedHosts); err != nil {
		return err
	}
	stream, err := c.openStream(ctx, grant)
	if err != nil {
		return err
	}
	defer stream.Close()
	stop, err := c.home.serveAgent(ctx, socket, keys)
	if err != nil {
		return err
	}
	defer stop()
	return splice(ctx, stream, o.In, o.Out)
}

func (o *ConnectOptions) check() error {
	if err := sekisho.CheckLogin(o.Login); err != nil {
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("%.40q is not the name of an account on a target.", o.Login),
			Next:     "Name one before the host: ssh LOGIN@HOST.", Cause: err,
		}
	}
	if err := sekisho.CheckTargetName(strings.ToLower(o.Host)); err != nil {
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("%.140q is not the name of a target.", o.Host), Next: "sekisho targets lists them.", Cause: err,
		}
	}
	if n, err := strconv.ParseUint(o.Port, 10, 16); err != nil || n == 0 || o.Port != strconv.FormatUint(n, 10) {
		return &sekisho.Refusal{Sentence: fmt.Sprintf("%.20q is not a port.", o.Port), Next: "ssh uses 22."}
	}
	return nil
}

// ask gets token and certificate for a fresh key, signing in first if there is need. A sign-in that control has ended
// in the meantime, or that is not fresh enough for the target, is replaced once.
func (c *Client) ask(ctx context.Context, o ConnectOptions) (*apiv1.ConnectResponse, *oneKey, error) {
	s, err := c.EnsureSignIn(ctx, "", o.SignIn)
	if err != nil {
		return nil, nil, err
	}
	grant, keys, err := c.askWith(ctx, o, s)
	if connect.CodeOf(err) != connect.CodeUnauthenticated || o.SignIn == nil {
		return grant, keys, err
	}
	how := *o.SignIn
	how.Fresh = how.Fresh || stale(err)
	if s, err = c.EnsureSignIn(ctx, s.Token, &how); err != nil {
		return nil, nil, err
	}
	return c.askWith(ctx, o, s)
}

func (c *Client) askWith(ctx context.Context, o ConnectOptions, s SignIn) (*apiv1.ConnectResponse, *oneKey, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	line, proof, err := proved(key, keyProof(s.Token, o.Host, o.Login))
	if err != nil {
		return nil, nil, err
	}
	// With the very token that the proof names: another process may be replacing the sign-in right now.
	access := c.clients(func() string { return s.Token }).Access
	res, err := access.Connect(ctx, connect.NewRequest(&apiv1.ConnectRequest{
		Host: o.Host, Login: o.Login, PublicKey: line, KeyProof: proof,
	}))
	if err != nil {
		return nil, nil, err
	}
	cert, err := parseCertificate(res.Msg.Certificate, public)
	if err != nil {
		return nil, nil, unreachable(c.config.URL, err)
	}
	return res.Msg, newOneKey(o.Login, key, cert), nil
}

// keyProof is what the fresh key signs so that nobody gets a certificate for a key that is not theirs; the token
// in it ties the proof to this sign-in.
func keyProof(token, host, login string) []byte {
	return fmt.Appendf(nil, "sekisho-connect-v1\n%x\n%s\n%s\n", sha256.Sum256([]byte(token)), host, login)
}

// enterProof is the same for the key that goes into the person's agent.
func enterProof(token string) []byte {
	return fmt.Appendf(nil, "sekisho-enter-v1\n%x\n", sha256.Sum256([]byte(token)))
}

// proved gives a key's public line and its signature over text.
func proved(key ed25519.PrivateKey, text []byte) (line string, proof []byte, err error) {
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return "", nil, fmt.Errorf("make a key: %w", err)
	}
	signature, err := signer.Sign(rand.Reader, text)
	if err != nil {
		return "", nil, fmt.Errorf("prove the key: %w", err)
	}
	return string(ssh.MarshalAuthorizedKey(signer.PublicKey())), ssh.Marshal(signature), nil
}

// stale says whether control wants the person to prove themselves again.
func stale(err error) bool {
	var told *connect.Error
	return errors.As(err, &told) && slices.ContainsFunc(told.Details(), func(d *connect.ErrorDetail) bool {
		m, err := d.Value()
		_, ok := m.(*apiv1.Stale)
		return err == nil && ok
	})
}

func parseCertificate(line string, key ed25519.PublicKey) (*ssh.Certificate, error) {
	parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, fmt.Errorf("parse the certificate: %w", err)
	}
	cert, ok := parsed.(*ssh.Certificate)
	if !ok || cert.CertType != ssh.UserCert {
		return nil, errors.New("that is no user certificate")
	}
	if got, ok := cert.Key.(ssh.CryptoPublicKey); !ok || !key.Equal(got.CryptoPublicKey()) {
		return nil, errors.New("the certificate is for another key")
	}
	return cert, nil
}
