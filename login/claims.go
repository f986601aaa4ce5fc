package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/sekisho/sekisho"
)

const (
	maxEmail  = 254  // bytes, RFC 5321
	maxName   = 256  // bytes; longer names are cut, they are for display only
	maxGroup  = 256  // bytes
	maxGroups = 1000 // IdPs with more are asked to filter
	maxAMR    = 16
)

// claims are those of an ID token that the library does not check or read (OpenID Connect Core §2, §5.1).
type claims struct {
	AuthorizedParty string          `json:"azp"`
	Email           string          `json:"email"`
	EmailVerified   json.RawMessage `json:"email_verified"`
	Name            string          `json:"name"`
	Methods         []string        `json:"amr"`
	AuthTime        float64         `json:"auth_time"`
}

// identity does our checks on an ID token whose signature, issuer, audience and expiry are good.
func (p *Provider) identity(t *oidc.IDToken, a Authorization) (sekisho.Identity, error) {
	var c claims
	if err := t.Claims(&c); err != nil {
		return sekisho.Identity{}, refuseIdP(fmt.Errorf("read claims: %w", err))
	}
	if err := p.checkToken(t, &c, a.Nonce); err != nil {
		return sekisho.Identity{}, refuseIdP(fmt.Errorf("check ID token: %w", err))
	}
	if err := p.checkEmail(&c); err != nil {
		return sekisho.Identity{}, refuse("The company's identity provider does not vouch for your e-mail address.",
			"Ask your administrator to verify it there.", fmt.Errorf("check ID token: %w", err))
	}
	groups, err := readGroups(t, p.cfg.GroupsClaim)
	if err != nil {
		return sekisho.Identity{}, refuse("Your groups at the company's identity provider could not be read.",
			"Ask your administrator.", fmt.Errorf("claim %s: %w", p.cfg.GroupsClaim, err))
	}
	id := sekisho.Identity{
		// One person must be one subject however the IdP writes the address: a rule for mei@ must meet Mei@.
		Subject: strings.ToLower(c.Email),
		Issuer:  t.Issuer, IssuerSubject: t.Subject,
		Name: display(c.Name), Groups: groups, Methods: c.Methods,
	}
	if id.AuthTime, err = p.authTime(&c, a.Since); err != nil {
		return sekisho.Identity{}, refuse("The company's identity provider did not ask you to prove yourself again.",
			"Sign out there, then try again.", fmt.Errorf("check ID token: %w", err))
	}
	return id, nil
}

// authTime is when the person proved themselves. An IdP that was asked to have it done again and does not say when it
// was is believed to have done so just now.
func (p *Provider) authTime(c *claims, since time.Time) (time.Time, error) {
	switch at := time.Unix(int64(c.AuthTime), 0).UTC(); {
	case c.AuthTime > 0 && at.Before(since.Add(-idpSkew)):
		return time.Time{}, fmt.Errorf("auth_time %s is before %s", at.Format(time.RFC3339), since.Format(time.RFC3339))
	case c.AuthTime > 0:
		return at, nil
	case since.IsZero():
		return time.Time{}, nil
	}
	return p.cfg.Now().UTC().Truncate(time.Second), nil
}

func (p *Provider) checkToken(t *oidc.IDToken, c *claims, nonce string) error {
	now := p.cfg.Now()
	switch {
	case nonce == "" || !same(t.Nonce, nonce):
		return errors.New("nonce is not the one we sent")
	case c.AuthorizedParty != "" && c.AuthorizedParty != p.cfg.ClientID:
		return errors.New("azp is another client")
	case len(t.Audience) > 1 && c.AuthorizedParty == "":
		return errors.New("several audiences and no azp")
	case t.IssuedAt.After(now.Add(idpSkew)):
		return errors.New("iat is in the future")
	case t.IssuedAt.Before(now.Add(-idpFresh)):
		return errors.New("iat is long ago")
	case t.Subject == "" || len(t.Subject) > 255: // OpenID Connect Core §2
		return errors.New("sub is empty or too long")
	case len(c.Methods) > maxAMR:
		return errors.New("too many values in amr")
	case c.AuthTime < 0 || c.AuthTime > float64(now.Add(idpSkew).Unix()):
		return errors.New("auth_time is in the future")
	}
	return nil
}

func (p *Provider) checkEmail(c *claims) error {
	if err := checkAddress(c.Email); err != nil {
		return err
	}
	switch string(c.EmailVerified) {
	case "true", `"true"`: // a string at some IdPs
		return nil
	case "", "null":
		if p.cfg.AssumeVerified {
			return nil
		}
		return errors.New("no email_verified claim")
	}
	return errors.New("email is not verified")
}

// checkAddress is narrower than RFC 5321: the address names a person in policies, certificates and the log, so it
// must not look like another one or break a line.
func checkAddress(s string) error {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || domain == "" || len(s) > maxEmail || strings.Contains(domain, "@") {
		return errors.New("email is absent or not an address")
	}
	for _, b := range []byte(s) {
		if b <= ' ' || b >= 0x7f || strings.IndexByte(`"(),:;<>[\]`, b) >= 0 {
			return errors.New("email has a character that we do not take")
		}
	}
	return nil
}

// readGroups takes an array of strings or one string; absent means none.
func readGroups(t *oidc.IDToken, claim string) ([]string, error) {
	all := make(map[string]json.RawMessage)
	if err := t.Claims(&all); err != nil {
		return nil, err
	}
	raw := all[claim]
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var groups []string
	if raw[0] == '"' {
		groups = make([]string, 1)
		if err := json.Unmarshal(raw, &groups[0]); err != nil {
			return nil, err
		}
	} else if err := json.Unmarshal(raw, &groups); err != nil {
		return nil, err
	}
	if len(groups) > maxGroups {
		return nil, fmt.Errorf("%d groups, at most %d", len(groups), maxGroups)
	}
	for _, g := range groups {
		if g == "" || len(g) > maxGroup || !printable(g) {
			return nil, fmt.Errorf("group %.40q is empty, too long or not printable", g)
		}
	}
	return groups, nil
}

// display makes a name fit to be shown.
func display(s string) string {
	if !printable(s) {
		return ""
	}
	for len(s) > maxName {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
