// Package client is the user's end: what stands between plain ssh on one side and control and the gateways on
// the other. Its verb is Connect, which runs as ssh's ProxyCommand:
//
//	sign in     use the sign-in at hand, or wait until the person has signed in (one browser, however many wait)
//	ask         make an SSH key in memory; control gives token, certificate and gateways in one call
//	open        upgrade the same TLS connection to a stream to the nearest gateway
//	serve       be the ssh-agent for exactly this ssh: one key, one signature, then the agent is gone
//	splice      copy bytes until either side ends
//
// Enter does the asking for programs that cannot run this one: key and certificate go into the person's own ssh-agent.
//
// Home is the folder that remembers between runs: where control is, whom to trust, the sign-in and the key that
// it is bound to. No SSH private key is ever written. The package never decides what somebody may do.
package client

import (
	"errors"
	"io/fs"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho/api"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
)

// Client speaks for one person on one machine with one control. Its services may be used by many goroutines; Login
// and Connect run one at a time, while any number of processes may share a home.
type Client struct {
	// Now is the clock, time.Now unless a test sets it before the first call.
	Now func() time.Time

	home   Home
	config Config
	prover *api.Prover
	base   *http.Transport
	// tokened are the calls with the sign-in's token, open those without: a stale token must not get in the way of
	// signing in again. Both share base and with it the connection.
	tokened, open *api.Clients
}

// Open reads what an earlier Login has left in home ("" means SEKISHO_HOME or ~/.sekisho). Where nobody has
// logged in yet, or a file is readable by others, the error is a *sekisho.Refusal that says what to do.
func Open(home string) (*Client, error) {
	h, err := OpenHome(home)
	if err != nil {
		return nil, err
	}
	config, err := h.Config()
	if err != nil {
		return nil, err
	}
	if _, err := h.SignIn(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return newClient(h, config)
}

func newClient(h Home, config Config) (*Client, error) {
	key, err := h.deviceKey()
	if err != nil {
		return nil, err
	}
	prover, err := api.NewProver(key)
	if err != nil {
		return nil, err
	}
	base, err := newTransport(config.CA)
	if err != nil {
		return nil, err
	}
	c := &Client{Now: time.Now, home: h, config: config, prover: prover, base: base}
	c.tokened = c.clients(c.token)
	c.open = c.clients(nil)
	return c, nil
}

// clients makes the services that send this token, all through the one transport.
func (c *Client) clients(token func() string) *api.Clients {
	return api.NewClients(c.signed(c.config.URL, token),
		connect.WithReadMaxBytes(maxMessage), connect.WithInterceptors(sentences{c.config.URL}))
}

// maxMessage bounds what control can make the client hold at once, in bytes: a batch of the audit log's export.
const maxMessage = 16 << 20

// signed makes requests with a proof for that token to origin only; no token goes with them if token is nil.
func (c *Client) signed(origin string, token func() string) *api.Transport {
	return &api.Transport{
		Base: c.base, Prover: c.prover, Origin: origin, Token: token,
		Now: func() time.Time { return c.Now() },
	}
}

// token is read for every call: another process may have signed in again meanwhile.
func (c *Client) token() string {
	s, err := c.home.SignIn()
	if err != nil {
		return ""
	}
	return s.Token
}

// Home is the folder the client works from.
func (c *Client) Home() Home { return c.home }

// Config is what the last Login has learned about control.
func (c *Client) Config() Config { return c.config }

// SignIns is the service for the person's own sign-ins.
func (c *Client) SignIns() apiv1connect.SignInServiceClient { return c.tokened.SignIn }

// Access is the service that gives access to targets.
func (c *Client) Access() apiv1connect.AccessServiceClient { return c.tokened.Access }

// Sessions is the service for sessions that run.
func (c *Client) Sessions() apiv1connect.SessionServiceClient { return c.tokened.Session }

// Recordings is the service for sealed recordings.
func (c *Client) Recordings() apiv1connect.RecordingServiceClient { return c.tokened.Recording }

// Audit is the service for the audit log.
func (c *Client) Audit() apiv1connect.AuditServiceClient { return c.tokened.Audit }

// CAs calls the CA service.
func (c *Client) CAs() apiv1connect.CAServiceClient { return c.tokened.CA }

// Certificates calls the certificate service.
func (c *Client) Certificates() apiv1connect.CertificateServiceClient { return c.tokened.Certificate }

// Tokens calls the service of API tokens.
func (c *Client) Tokens() apiv1connect.TokenServiceClient { return c.tokened.Token }

// PublishedKeys calls the service of published keys.
func (c *Client) PublishedKeys() apiv1connect.PublishedKeyServiceClient {
	return c.tokened.PublishedKey
}
