package client

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

// How long the person's ssh-agent may take: to say what it holds, and to take or drop a key, for which some ask their
// person.
const (
	listTime   = 5 * time.Second
	changeTime = 30 * time.Second
)

// UserAgent is the person's own ssh-agent, which keeps what Enter puts there for every program that can ask an agent.
type UserAgent struct {
	conn net.Conn
	keys agent.ExtendedAgent
}

// OpenAgent finds the agent that SSH_AUTH_SOCK names. Where there is none the error is a *sekisho.Refusal.
func OpenAgent(ctx context.Context) (*UserAgent, error) {
	if runtime.GOOS == "windows" {
		return nil, &sekisho.Refusal{Sentence: "The ssh-agent of Windows is not supported.", Next: "Use ssh, its agent and sekisho inside WSL."}
	}
	path := os.Getenv("SSH_AUTH_SOCK")
	if path == "" {
		return nil, &sekisho.Refusal{Sentence: "No ssh-agent is running.", Next: `Start one: eval "$(ssh-agent)"`}
	}
	dialer := &net.Dialer{Timeout: listTime}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("The ssh-agent at %.200q, as SSH_AUTH_SOCK says, does not answer.", path),
			Next:     `Start another one: eval "$(ssh-agent)"`, Cause: err,
		}
	}
	return &UserAgent{conn: conn, keys: agent.NewClient(conn)}, nil
}

// Close ends the conversation; the agent keeps its keys.
func (a *UserAgent) Close() error { return a.conn.Close() }

// ask bounds one question to the agent.
func (a *UserAgent) ask(within time.Duration, do func() error) error {
	if err := a.conn.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	return do()
}

// ours gives the certificates that Enter has put there for this Sekisho, and never another key.
func (a *UserAgent) ours(comment string) (certs []*ssh.Certificate, err error) {
	var keys []*agent.Key
	if err := a.ask(listTime, func() (err error) { keys, err = a.keys.List(); return err }); err != nil {
		return nil, fmt.Errorf("list the agent's keys: %w", err)
	}
	for _, k := range keys {
		parsed, err := ssh.ParsePublicKey(k.Blob)
		cert, ok := parsed.(*ssh.Certificate)
		if err == nil && ok && k.Comment == comment && slices.Equal(cert.ValidPrincipals, []string{sekisho.AnyDoorPrincipal}) {
			certs = append(certs, cert)
		}
	}
	return certs, nil
}

// forget takes ours out.
func (a *UserAgent) forget(comment string) error {
	certs, err := a.ours(comment)
	for _, cert := range certs {
		err = errors.Join(err, a.ask(changeTime, func() error { return a.keys.Remove(cert) }))
	}
	return err
}

// comment is what our keys are called in the agent.
func (c *Client) comment() string {
	name := c.config.Name
	if u, err := url.Parse(c.config.URL); name == "" && err == nil {
		name = u.Hostname()
	}
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
	return "sekisho: " + strings.ToValidUTF8(name[:min(len(name), 100)], "")
}

// Entered is a certificate in the person's agent.
type Entered struct {
	SignIn  SignIn
	Expires time.Time
	// Gateway is HOST:PORT of the gateway's SSH port, empty where it has none.
	Gateway string
}

// Enter makes a key, has it certified for the gateway's doors and puts both into the person's agent, which drops them
// when the certificate expires. What an earlier Enter has put there is replaced. It signs in first if there is need.
func (c *Client) Enter(ctx context.Context, a *UserAgent, o LoginOptions) (Entered, error) {
	s, err := c.EnsureSignIn(ctx, "", &o)
	if err != nil {
		return Entered{}, err
	}
	entered, err := c.enterWith(ctx, a, s)
	if connect.CodeOf(err) != connect.CodeUnauthenticated {
		return entered, err
	}
	if s, err = c.EnsureSignIn(ctx, s.Token, &o); err != nil {
		return Entered{}, err
	}
	return c.enterWith(ctx, a, s)
}

func (c *Client) enterWith(ctx context.Context, a *UserAgent, s SignIn) (Entered, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Entered{}, fmt.Errorf("make a key: %w", err)
	}
	line, proof, err := proved(key, enterProof(s.Token))
	if err != nil {
		return Entered{}, err
	}
	access := c.clients(func() string { return s.Token }).Access
	res, err := access.Enter(ctx, connect.NewRequest(&apiv1.EnterRequest{PublicKey: line, KeyProof: proof}))
	if err != nil {
		return Entered{}, err
	}
	cert, err := parseCertificate(res.Msg.Certificate, public)
	if err == nil && !slices.Equal(cert.ValidPrincipals, []string{sekisho.AnyDoorPrincipal}) {
		err = fmt.Errorf("the certificate is for %q", cert.ValidPrincipals)
	}
	if err != nil {
		return Entered{}, unreachable(c.config.URL, err)
	}
	if err := c.renewHostCA(res.Msg.HostCa); err != nil {
		return Entered{}, err
	}
	if err := c.renewRevokedHosts(ctx, res.Msg.RevokedHosts); err != nil {
		return Entered{}, err
	}
	entered := Entered{SignIn: s, Expires: time.Unix(int64(cert.ValidBefore), 0), Gateway: gatewayAddress(res.Msg.SshGateway)}
	return entered, c.add(a, key, cert)
}

func (c *Client) add(a *UserAgent, key ed25519.PrivateKey, cert *ssh.Certificate) error {
	left := time.Unix(int64(cert.ValidBefore), 0).Sub(c.Now())
	err := a.forget(c.comment())
	if err == nil {
		err = a.ask(changeTime, func() error {
			return a.keys.Add(agent.AddedKey{
				PrivateKey: key, Certificate: cert, Comment: c.comment(), LifetimeSecs: uint32(max(1, min(left.Seconds(), 1<<31))),
			})
		})
	}
	if err != nil {
		return &sekisho.Refusal{
			Sentence: "The ssh-agent did not take the certificate.", Next: `Not every agent can keep one; OpenSSH's can: eval "$(ssh-agent)"`, Cause: err,
		}
	}
	return nil
}

// AgentCertificate says until when the person's agent holds a certificate of this Sekisho; zero if it holds none or
// cannot be asked.
func (c *Client) AgentCertificate(ctx context.Context) (expires time.Time) {
	a, err := OpenAgent(ctx)
	if err != nil {
		return time.Time{}
	}
	defer a.Close()
	certs, err := a.ours(c.comment())
	if err != nil {
		return time.Time{}
	}
	for _, cert := range certs {
		if at := time.Unix(int64(cert.ValidBefore), 0); at.After(expires) {
			expires = at
		}
	}
	if !expires.After(c.Now()) {
		return time.Time{}
	}
	return expires
}

// forgetAgent takes our keys out of the person's agent, if there is one: the gateway does not take them any more anyway.
func (c *Client) forgetAgent(ctx context.Context) {
	a, err := OpenAgent(ctx)
	if err != nil {
		return
	}
	defer a.Close()
	_ = errors.Join(a.forget(c.comment()), c.forgetIssued(a)) // an agent that does not answer is left to its lifetimes
}
