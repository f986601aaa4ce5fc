package control

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/policy"
)

// Bounds of what one wish for a certificate can hold; the issuer's rules are narrower.
const (
	maxIssuerName = 32
	maxPrincipals = 16
	maxWish       = 1024     // bytes of a command
	maxSources    = 4096     // bytes of a list of networks
	maxKeyProof   = 16 << 10 // bytes
	maxPrincipal  = 256      // bytes
)

// Issuers lists the issuers with their rules. They are no secret among people who are signed in: a refusal names them.
func (d certificates) Issuers(ctx context.Context, req *connect.Request[apiv1.IssuersRequest]) (*connect.Response[apiv1.IssuersResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	res := &apiv1.IssuersResponse{}
	for _, i := range d.CA.Issuers() {
		told := tellIssuer(i)
		told.May = i.Name == ca.IssuerPeople
		if !i.BuiltIn() && i.Proof == ca.ProofSignIn {
			told.May = d.maySign(who, i.Name).Effect == sekisho.Allow
		}
		res.Issuers = append(res.Issuers, told)
	}
	return connect.NewResponse(res), nil
}

func tellIssuer(i *ca.Issuer) *apiv1.Issuer {
	told := &apiv1.Issuer{
		Name: i.Name, Ca: i.CA, Type: i.Type, Proof: string(i.Proof), Principals: i.Principals, Match: i.Match, Keys: i.Keys,
		TtlSeconds: int64(i.TTL.Seconds()), MaxTtlSeconds: int64(i.MaxTTL.Seconds()),
		Extensions: i.Extensions, Options: i.Options, Rate: i.Rate.String(),
	}
	for _, p := range i.From {
		told.From = append(told.From, p.String())
	}
	return told
}

func (d certificates) maySign(who *caller, issuer string) sekisho.Decision {
	return d.Policies().Evaluate(policy.Request{
		Action: policy.Certify, Identity: who.Identity, Issuer: issuer, ClientAddress: who.address,
	}, d.Now())
}

// Sign issues a certificate by a configured issuer. The decision and the certificate's line become durable together, before
// it is handed out.
func (d certificates) Sign(ctx context.Context, req *connect.Request[apiv1.SignRequest]) (*connect.Response[apiv1.SignResponse], error) {
	name := req.Msg.Issuer
	if name == "" || len(name) > maxIssuerName {
		return nil, malformed(errors.New("it names no issuer"))
	}
	who, err := d.known(ctx, req, scopeSignPrefix+name)
	if err != nil {
		return nil, err
	}
	r, err := readWish(req.Msg)
	if err != nil {
		return nil, malformed(err)
	}
	r.ClientAddress, r.Proven.Token, r.Token = who.address, who.proves, who.token
	if who.person != nil {
		r.SignIn = who.person.SignIn
		if err := d.askable(name); err != nil {
			return nil, err
		}
		if r.Before, err = d.allowed(ctx, who.person, name); err != nil {
			return nil, err
		}
	}
	cert, err := d.CA.Issue(ctx, r)
	if err != nil {
		return nil, notIssued(err)
	}
	return connect.NewResponse(&apiv1.SignResponse{
		Certificate: ca.Line(cert), Serial: cert.Serial, KeyId: cert.KeyId, Expires: timestamppb.New(time.Unix(int64(cert.ValidBefore), 0)),
	}), nil
}

// askable refuses issuers that no person can ask, whatever the policies say. Everybody who is signed in may list them, so
// that saying so tells nothing new.
func (d certificates) askable(name string) error {
	for _, i := range d.CA.Issuers() {
		switch {
		case i.Name != name || i.BuiltIn():
		case i.Proof == ca.ProofToken:
			return as(connect.CodePermissionDenied, &sekisho.Refusal{
				Sentence: fmt.Sprintf("The issuer %s refuses this (rule proof): it is for programs with an API token.", name),
				Next:     "Look which are for people: sekisho ca issuers",
			})
		default:
			return nil
		}
	}
	return as(connect.CodeNotFound, &sekisho.Refusal{
		Sentence: fmt.Sprintf("There is no issuer %.60q to ask.", name), Next: "Look which there are: sekisho ca issuers",
	})
}

// readWish checks the form of what was sent.
func readWish(m *apiv1.SignRequest) (ca.IssueRequest, error) {
	r := ca.IssueRequest{
		Issuer: m.Issuer, Proven: ca.Possession{Signature: m.KeyProof, Time: m.ProofTime},
		Principals: m.Principals, Command: m.ForceCommand, SourceAddress: m.SourceAddress,
	}
	switch {
	case m.TtlSeconds < 0 || m.TtlSeconds > math.MaxInt32:
		return r, errors.New("the time that is asked for is none")
	case len(m.Principals) > maxPrincipals:
		return r, fmt.Errorf("%d principals are too many, %d may be asked for", len(m.Principals), maxPrincipals)
	case len(m.KeyProof) > maxKeyProof || len(m.ForceCommand) > maxWish || len(m.SourceAddress) > maxSources:
		return r, errors.New("the proof, the command or the list of networks is too long")
	}
	for _, p := range m.Principals {
		if p == "" || len(p) > maxPrincipal {
			return r, fmt.Errorf("a principal has %d bytes, 1 to %d are taken", len(p), maxPrincipal)
		}
	}
	r.TTL = time.Duration(m.TtlSeconds) * time.Second
	key, err := readKey(m.PublicKey)
	r.Key = key
	return r, err
}

// allowed gives the decision's event, to be noted with what follows from it; a denial is noted at once.
func (d certificates) allowed(ctx context.Context, who *caller, issuer string) ([]*sekisho.Event, error) {
	decision := d.maySign(who, issuer)
	ev := &sekisho.Event{
		Kind: sekisho.EventDecision, Actor: who.Identity.Subject, SignIn: who.ID, ClientAddress: text(who.address),
		Decision: &decision, Detail: map[string]string{"action": string(policy.Certify), "issuer": issuer},
	}
	if decision.Effect == sekisho.Allow {
		return []*sekisho.Event{ev}, nil
	}
	if err := d.Note(ctx, ev); err != nil {
		return nil, fmt.Errorf("note decision: %w", err)
	}
	return nil, denied(decision)
}

// notIssued gives a refusal its code. That a rule refused is in the audit log already; the decision before it says nothing
// that this does not.
func notIssued(err error) error {
	code := connect.CodePermissionDenied // somebody is revoked, or has signed out meanwhile
	if refused := new(ca.Refused); errors.As(err, &refused) {
		switch refused.Rule {
		case "rate":
			code = connect.CodeResourceExhausted
		case "proof":
			if errors.Is(err, ca.ErrProofUsed) {
				code = connect.CodeAborted // the same is taken a second later
			}
		case "from":
		default:
			code = connect.CodeInvalidArgument
		}
	}
	return as(code, err)
}
