package sekisho

import (
	"strings"
	"time"
)

// Identity is a verified person: who they are and how that was proven.
type Identity struct {
	// Subject names the person in policies, certificates and events: their verified e-mail address.
	Subject string `json:"subject"`
	// Issuer is the OIDC issuer URL that vouched for them, IssuerSubject its "sub" claim.
	Issuer        string `json:"issuer"`
	IssuerSubject string `json:"issuer_subject"`
	// Name is for display only.
	Name   string   `json:"name,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// Methods are the authentication methods the IdP reported ("amr", RFC 8176), such as "mfa" or "hwk".
	Methods []string `json:"methods,omitempty"`
	// AuthTime is when the person last proved themselves to the IdP.
	AuthTime time.Time `json:"auth_time,omitzero"`
}

// Account is the part of the address before its last @, with the letters A to Z in lower case; others stay as they are, for
// a letter that only looks like another must not become it. It is unique among people of one domain only.
func (i *Identity) Account() string {
	account := i.Subject
	if at := strings.LastIndexByte(account, '@'); at >= 0 {
		account = account[:at]
	}
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, account)
}

// Fresh reports whether the person proved themselves no longer than limit ago; a limit of 0 asks for nothing. Whose IdP
// did not say when they did is not fresh.
func (i *Identity) Fresh(limit time.Duration, now time.Time) bool {
	return limit <= 0 || !i.AuthTime.IsZero() && now.Sub(i.AuthTime) <= limit
}

// SignIn is a person's login with the IdP, kept as a bounded, revocable record and bound to a key that the
// client made.
type SignIn struct {
	ID       string   `json:"id"`
	Identity Identity `json:"identity"`
	// Thumbprint is the RFC 7638 SHA-256 thumbprint (base64url) of the client's key. Every call proves
	// possession of that key (RFC 9449).
	Thumbprint string `json:"thumbprint"`
	// TokenHash is the SHA-256 of the sign-in token; the token itself is never stored.
	TokenHash []byte `json:"-"`
	// Device is the name the client gave for the machine it runs on; display only.
	Device string `json:"device,omitempty"`
	// ClientAddress is where the sign-in came from.
	ClientAddress string    `json:"client_address,omitempty"`
	Created       time.Time `json:"created"`
	Expires       time.Time `json:"expires"`
	// Ended is zero while the sign-in lives.
	Ended time.Time `json:"ended,omitzero"`
}

// Live reports whether the sign-in may be used at that time.
func (s *SignIn) Live(now time.Time) bool {
	return s.Ended.IsZero() && now.Before(s.Expires) && !now.Before(s.Created.Add(-time.Minute))
}
