package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/sekisho/sekisho"
)

const (
	// idpSkew is how far the IdP's clock may be from ours, either way.
	idpSkew = 60 * time.Second
	// idpFresh is how old an ID token may be: it was made for the code that we just exchanged.
	idpFresh = 10 * time.Minute
	// idpTimeout bounds one question to the IdP.
	idpTimeout = 10 * time.Second
	// idpPause is how long a failed discovery is remembered, so that a broken IdP is not asked on every click.
	idpPause = 2 * time.Second
	// maxIDPBody bounds what we read of any answer of the IdP, in bytes.
	maxIDPBody = 1 << 20
)

// ProviderConfig says how to reach the company's IdP.
type ProviderConfig struct {
	// Issuer is the IdP's issuer URL: https, or http on a loopback address.
	Issuer       string
	ClientID     string
	ClientSecret string
	// RedirectURL is control's public URL + PathCallback, as registered at the IdP.
	RedirectURL string
	// Scopes to ask for beside openid; nil means email and profile.
	Scopes []string
	// GroupsClaim names the ID token's claim with the person's groups, an array or one string; empty means "groups".
	GroupsClaim string
	// AssumeVerified lets in ID tokens that lack the email_verified claim, for IdPs that verify every address and do
	// not say so. A claim that says false is refused all the same.
	AssumeVerified bool
	// HTTPClient asks the IdP; nil means one with default settings.
	HTTPClient *http.Client
	Now        func() time.Time
	Log        *slog.Logger
}

// Provider is the relying party toward one OpenID Connect IdP (OpenID Connect Core 1.0, authorization code with PKCE).
type Provider struct {
	cfg  ProviderConfig
	http *http.Client

	mu       sync.Mutex
	found    *discovered
	failed   error
	failedAt time.Time
}

// discovered is what the IdP's discovery document gave.
type discovered struct {
	verifier *oidc.IDTokenVerifier
	oauth    oauth2.Config
}

// Open checks the configuration and tries once to reach the IdP. That the IdP is down is no error: it is asked again
// when the next person signs in.
func Open(ctx context.Context, cfg ProviderConfig) (*Provider, error) {
	if cfg.ClientID == "" || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("open provider: client ID, clock and log are needed")
	}
	if err := checkURL(cfg.Issuer); err != nil {
		return nil, fmt.Errorf("open provider: issuer: %w", err)
	}
	if err := checkURL(cfg.RedirectURL); err != nil {
		return nil, fmt.Errorf("open provider: redirect URL: %w", err)
	}
	if cfg.Scopes == nil {
		cfg.Scopes = []string{"email", "profile"}
	}
	if !slices.Contains(cfg.Scopes, oidc.ScopeOpenID) {
		cfg.Scopes = append([]string{oidc.ScopeOpenID}, cfg.Scopes...)
	}
	if cfg.GroupsClaim == "" {
		cfg.GroupsClaim = "groups"
	}
	p := &Provider{cfg: cfg, http: boundedClient(cfg.HTTPClient)}
	if _, err := p.discover(ctx); err != nil {
		cfg.Log.Warn("the IdP cannot be reached yet; it is asked again at the next sign-in", "issuer", cfg.Issuer, "error", err)
	}
	return p, nil
}

// checkURL lets in https anywhere and http on loopback only, where nobody listens on the wire.
func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return err
	case u.Host == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("%q is not a plain URL", s)
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%q is not https (http is for loopback only)", s)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// discover gives the IdP's endpoints and keys, asking for them if need be.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	if since := p.cfg.Now().Sub(p.failedAt); p.failed != nil && since >= 0 && since < idpPause {
		return nil, p.failed
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.http), idpTimeout)
	defer cancel()
	found, err := p.ask(ctx)
	if err != nil {
		// From the end of the attempt, so that those who waited for it behind the lock do not each try again.
		p.failed, p.failedAt = fmt.Errorf("%w: %w", ErrUnreachable, err), p.cfg.Now()
		return nil, p.failed
	}
	p.found, p.failed = found, nil
	return found, nil
}

func (p *Provider) ask(ctx context.Context) (*discovered, error) {
	op, err := oidc.NewProvider(ctx, p.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discover %s: %w", p.cfg.Issuer, err)
	}
	var keys struct {
		URL string `json:"jwks_uri"`
	}
	if err := op.Claims(&keys); err != nil {
		return nil, fmt.Errorf("discover %s: %w", p.cfg.Issuer, err)
	}
	end := op.Endpoint()
	for _, u := range []string{end.AuthURL, end.TokenURL, keys.URL} {
		if err := checkURL(u); err != nil {
			return nil, fmt.Errorf("discover %s: %w", p.cfg.Issuer, err)
		}
	}
	return &discovered{
		verifier: op.Verifier(&oidc.Config{
			ClientID:             p.cfg.ClientID,
			SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256, oidc.PS256, oidc.EdDSA},
			// The library gives exp no leeway, so it gets a clock that is behind by ours.
			Now: func() time.Time { return p.cfg.Now().Add(-idpSkew) },
		}),
		oauth: oauth2.Config{
			ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret,
			Endpoint: end, RedirectURL: p.cfg.RedirectURL, Scopes: p.cfg.Scopes,
		},
	}, nil
}

// Authorization is one visit of a browser to the IdP.
type Authorization struct {
	// State comes back with the browser, Nonce in the ID token. Verifier is the PKCE verifier (RFC 7636); only its S256
	// challenge goes through the browser.
	State, Nonce, Verifier string
	// Since wants the person to prove themselves anew, not before that time, even where the IdP still knows the browser.
	// Zero: as the IdP likes.
	Since time.Time
}

// AuthCodeURL is where the browser goes to sign in at the IdP.
func (p *Provider) AuthCodeURL(ctx context.Context, a Authorization) (string, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return "", refuseUnreachable(err)
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)}
	if !a.Since.IsZero() {
		// Either would do by OpenID Connect Core §3.1.2.1; there are IdPs that know only one of them. max_age also makes
		// them say auth_time.
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	return d.oauth.AuthCodeURL(a.State, options...), nil
}

// Exchange trades the IdP's code for the person's identity, checked.
func (p *Provider) Exchange(ctx context.Context, code string, a Authorization) (sekisho.Identity, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return sekisho.Identity{}, refuseUnreachable(err)
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.http), idpTimeout)
	defer cancel()
	token, err := d.oauth.Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return sekisho.Identity{}, refuseIdP(fmt.Errorf("exchange code: %w", err))
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return sekisho.Identity{}, refuseIdP(errors.New("exchange code: no ID token in the answer"))
	}
	verified, err := d.verifier.Verify(ctx, raw)
	if err != nil {
		return sekisho.Identity{}, refuseIdP(fmt.Errorf("verify ID token: %w", err))
	}
	return p.identity(verified, a)
}

func refuseUnreachable(cause error) error {
	return refuse("The company's identity provider cannot be reached right now.", "Try again in a minute.", cause)
}

func refuseIdP(cause error) error {
	return refuse("The answer of the company's identity provider was not accepted.", again, cause)
}

// boundedClient is the client with a bound on what it reads.
func boundedClient(c *http.Client) *http.Client {
	out := &http.Client{Timeout: idpTimeout}
	if c != nil {
		copied := *c
		out = &copied
	}
	if out.Transport == nil {
		out.Transport = http.DefaultTransport
	}
	out.Transport = bounded{out.Transport}
	return out
}

type bounded struct{ base http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxIDPBody), resp.Body}
	return resp, nil
}
