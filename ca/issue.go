package ca

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// IssueRequest asks a configured issuer for a certificate. Whoever calls has found that the policies, or the token's scopes,
// allow it.
type IssueRequest struct {
	Issuer string
	// SignIn is whose sign-in it is, or Token which API token: one of them, as the issuer's proof says.
	SignIn *sekisho.SignIn
	Token  *sekisho.Token
	Key    ssh.PublicKey
	Proven Possession
	// TTL is how long it is to be valid; 0 is the issuer's default.
	TTL time.Duration
	// Principals are some of those that the issuer gives; empty is all. Command and SourceAddress narrow what it gives.
	Principals    []string
	Command       string
	SourceAddress string
	ClientAddress netip.Addr
	// Before are events, such as the decision, noted in one group with the certificate's own and in front of it.
	Before []*sekisho.Event
}

// Issue issues by a configured issuer. What a rule refuses is a *Refused.
func (a *Authority) Issue(ctx context.Context, r IssueRequest) (*ssh.Certificate, error) {
	i, ok := a.issuers[r.Issuer]
	if !ok || i.builtIn {
		return nil, &sekisho.Refusal{Sentence: fmt.Sprintf("There is no issuer %.60q to ask.", r.Issuer), Next: "Look which there are: sekisho ca issuers"}
	}
	if r := a.rings.Load().byName[i.CA]; r == nil || r.ca.Type != i.Type {
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("The issuer %s cannot sign: there is no CA %s for %s certificates.", i.Name, i.CA, i.Type),
			Next:     fmt.Sprintf("An administrator creates it: sekisho ca create %s --type %s", i.CA, i.Type),
		}
	}
	o := &order{
		issuer: i, certType: ssh.UserCert, key: r.Key, signed: &r.Proven, ttl: r.TTL, principals: r.Principals, command: r.Command,
		sources: r.SourceAddress, address: r.ClientAddress.Unmap().WithZone(""), before: r.Before,
	}
	if err := o.asker(a, i, r); err != nil {
		return nil, err
	}
	return a.sign(ctx, o)
}

// asker puts in who asks.
func (o *order) asker(a *Authority, i *Issuer, r IssueRequest) error {
	client := ""
	if o.address.IsValid() {
		client = o.address.String()
	}
	switch {
	case i.Proof == ProofSignIn && r.SignIn != nil && r.Token == nil:
		if err := a.checkSignIn(r.SignIn); err != nil {
			return err
		}
		o.until = r.SignIn.Expires
		o.id = sekisho.KeyID{Subject: r.SignIn.Identity.Subject, Issuer: i.Name, SignIn: r.SignIn.ID}
		o.event = &sekisho.Event{Actor: o.id.Subject, SignIn: r.SignIn.ID, ClientAddress: client}
	case i.Proof == ProofToken && r.Token != nil && r.SignIn == nil:
		if err := a.checkToken(r.Token); err != nil {
			return err
		}
		o.until = r.Token.Expires
		o.id = sekisho.KeyID{Subject: "token:" + r.Token.Name, Issuer: i.Name, Request: r.Token.ID}
		o.event = &sekisho.Event{Actor: o.id.Subject, ClientAddress: client}
	default:
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("The issuer %s refuses this (rule proof): it takes a %s.", i.Name, i.Proof), Next: "Look what it takes: sekisho ca issuers",
		}
	}
	return nil
}

// checkToken refuses a token that is not good now; one that was made after now, too, for then the clock has been set back.
func (a *Authority) checkToken(t *sekisho.Token) error {
	now := a.now()
	if t.ID == "" || !t.Ended.IsZero() || !now.Before(t.Expires) || now.Before(t.Created.Add(-time.Minute)) {
		return &sekisho.Refusal{Sentence: "The API token has ended.", Next: "Ask for a new one."}
	}
	return nil
}
