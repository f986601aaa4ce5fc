package api

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho/api/v1/apiv1connect"
)

// Transport puts the token and a fresh proof on every request. It sends them to one origin only.
type Transport struct {
	// Base makes the requests; nil means http.DefaultTransport.
	Base   http.RoundTripper
	Prover *Prover
	// Token gives the token to send now, "" for none; nil means none ever.
	Token func() string
	// Origin is control's public URL; requests for another scheme or host are refused. Empty lets all pass, which is
	// safe only in a client that follows no redirects.
	Origin string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.check(r); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	if err := t.Sign(r); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	return base.RoundTrip(r)
}

// Sign sets the headers on a request that is sent another way, such as one that upgrades its connection.
func (t *Transport) Sign(r *http.Request) error {
	now, token := time.Now, ""
	if t.Now != nil {
		now = t.Now
	}
	if t.Token != nil {
		token = t.Token()
	}
	proof, err := t.Prover.Proof(r.Method, r.URL.String(), token, now())
	if err != nil {
		return err
	}
	r.Header.Set("DPoP", proof)
	if token != "" {
		r.Header.Set("Authorization", "DPoP "+token)
	}
	return nil
}

// check keeps a token from following a redirect to somebody else.
func (t *Transport) check(r *http.Request) error {
	origin := strings.TrimSuffix(t.Origin, "/")
	if origin == "" {
		return nil
	}
	if got := r.URL.Scheme + "://" + r.URL.Host; !strings.EqualFold(got, origin) {
		return fmt.Errorf("request for %s: this client speaks to %s only", got, origin)
	}
	return nil
}

// Clients are the generated clients of all services.
type Clients struct {
	SignIn    apiv1connect.SignInServiceClient
	Access    apiv1connect.AccessServiceClient
	Session   apiv1connect.SessionServiceClient
	Recording apiv1connect.RecordingServiceClient
	Audit     apiv1connect.AuditServiceClient
	CA        apiv1connect.CAServiceClient
	// Certificate is for certificates of configured issuers, the inventory and revocations.
	Certificate  apiv1connect.CertificateServiceClient
	Token        apiv1connect.TokenServiceClient
	PublishedKey apiv1connect.PublishedKeyServiceClient
	Connector    apiv1connect.ConnectorServiceClient
}

// NewClients makes the clients for control at t.Origin, all through t. Redirects are not followed.
func NewClients(t *Transport, opts ...connect.ClientOption) *Clients {
	hc := &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	base := strings.TrimSuffix(t.Origin, "/")
	return &Clients{
		SignIn:       apiv1connect.NewSignInServiceClient(hc, base, opts...),
		Access:       apiv1connect.NewAccessServiceClient(hc, base, opts...),
		Session:      apiv1connect.NewSessionServiceClient(hc, base, opts...),
		Recording:    apiv1connect.NewRecordingServiceClient(hc, base, opts...),
		Audit:        apiv1connect.NewAuditServiceClient(hc, base, opts...),
		CA:           apiv1connect.NewCAServiceClient(hc, base, opts...),
		Certificate:  apiv1connect.NewCertificateServiceClient(hc, base, opts...),
		Token:        apiv1connect.NewTokenServiceClient(hc, base, opts...),
		PublishedKey: apiv1connect.NewPublishedKeyServiceClient(hc, base, opts...),
		Connector:    apiv1connect.NewConnectorServiceClient(hc, base, opts...),
	}
}
