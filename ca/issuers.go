package ca

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// Names of the issuers, as events and Key IDs say them.
const (
	IssuerPeople   = "people"
	IssuerGateways = "gateways"
	IssuerHosts    = "hosts"
)

// PeopleRequest asks for the certificate of a person who is signed in, for one login on one target.
type PeopleRequest struct {
	SignIn *sekisho.SignIn
	Target *sekisho.Target
	Login  string
	// Key is the key made for this connection.
	Key ssh.PublicKey
	// Limits are the decision's: TTL, and what sshd holds by extensions, end up in the certificate.
	Limits sekisho.Limits
	// Gateway makes the certificate good for the audit door only. A must where the limits or the target say audit.
	Gateway bool
	// Request names what it is made for: the target token's ID.
	Request       string
	ClientAddress string
	// Before are events, such as the decision, noted in one group with the certificate's own and in front of it.
	Before []*sekisho.Event
}

// People issues to persons, by the user CA.
func (a *Authority) People(ctx context.Context, r PeopleRequest) (*ssh.Certificate, error) {
	if err := a.checkSignIn(r.SignIn); err != nil {
		return nil, err
	}
	if r.Target == nil {
		return nil, errors.New("people's certificate: target missing")
	}
	if err := checkAccount(r.Login, r.Target.Name); err != nil {
		return nil, err
	}
	if !slices.Contains(r.Target.Logins, r.Login) {
		return nil, fmt.Errorf("people's certificate: target %s has no login %s", r.Target.Name, r.Login)
	}
	if !r.Gateway && (r.Target.Audited || r.Limits.Audit != sekisho.AuditNone) {
		return nil, fmt.Errorf("people's certificate: target %s is audited: only the gateway may log in there", r.Target.Name)
	}
	if err := sekisho.CheckMapping(r.Target, r.Login); err != nil {
		return nil, fmt.Errorf("people's certificate: %w", err)
	}
	i := a.issuers[IssuerPeople]
	// The sshd behind the pass door knows no allow-lists: it has forwards of all kinds, to and from anywhere, or none.
	templates, forwards := i.template(r.Target.Mapping.Template()), anywhere(r.Limits.Forward) && anywhere(r.Limits.Listen)
	if r.Gateway {
		forwards = forwardsAny(r.Limits)
		templates = i.template("gateway:{login}:{target}")
	}
	return a.sign(ctx, &order{
		issuer:     i,
		certType:   ssh.UserCert,
		id:         sekisho.KeyID{Subject: r.SignIn.Identity.Subject, Issuer: IssuerPeople, SignIn: r.SignIn.ID, Request: r.Request},
		key:        r.Key,
		templates:  templates,
		values:     map[string]string{"login": r.Login, "target": r.Target.Name, "class": r.Target.Class},
		ttl:        r.Limits.TTL,
		until:      r.SignIn.Expires,
		address:    parseAddress(r.ClientAddress),
		unseen:     !r.Gateway,
		extensions: extensions(r.Limits, forwards),
		before:     r.Before,
		event: &sekisho.Event{
			Actor: r.SignIn.Identity.Subject, SignIn: r.SignIn.ID, Target: r.Target.Name, Login: r.Login,
			ClientAddress: r.ClientAddress,
		},
	})
}

// AnyDoorRequest asks for the certificate of a person who is signed in, for the gateway's doors and for any target.
type AnyDoorRequest struct {
	SignIn *sekisho.SignIn
	// Key stays in the person's ssh-agent for as long as TTL.
	Key           ssh.PublicKey
	TTL           time.Duration
	ClientAddress string
}

// doorRate is what one person gets by AnyDoor. These certificates live for hours, and all of a person's must fit into a
// revocation list.
var doorRate = Rate{PerMinute: doorsAMinute, Burst: doorsAtOnce}

const (
	doorsAMinute = 60
	doorsAtOnce  = 30
)

// AnyDoor issues to persons, by the user CA, what no host takes: the gateway asks about the sign-in and judges each
// connection that the certificate is shown for. It carries no extension, because only the gateway looks at it.
func (a *Authority) AnyDoor(ctx context.Context, r AnyDoorRequest) (*ssh.Certificate, error) {
	if err := a.checkSignIn(r.SignIn); err != nil {
		return nil, err
	}
	if ok, _ := a.doors.allow(r.SignIn.Identity.Subject, a.now()); !ok {
		return nil, &Refused{IssuerPeople, "rate", &sekisho.Refusal{
			Sentence: fmt.Sprintf("The issuer people refuses this (rule rate): that were more than %s for an ssh-agent.", doorRate), Next: "Wait a minute, then try again.",
		}}
	}
	return a.sign(ctx, &order{
		issuer:    a.issuers[IssuerPeople],
		certType:  ssh.UserCert,
		id:        sekisho.KeyID{Subject: r.SignIn.Identity.Subject, Issuer: IssuerPeople, SignIn: r.SignIn.ID},
		key:       r.Key,
		templates: a.issuers[IssuerPeople].template(sekisho.AnyDoorPrincipal),
		ttl:       r.TTL,
		until:     r.SignIn.Expires,
		address:   parseAddress(r.ClientAddress),
		event:     &sekisho.Event{Actor: r.SignIn.Identity.Subject, SignIn: r.SignIn.ID, ClientAddress: r.ClientAddress},
	})
}

func (a *Authority) checkSignIn(s *sekisho.SignIn) error {
	if s == nil {
		return errors.New("people's certificate: sign-in missing")
	}
	if !s.Live(a.now()) || s.Identity.Subject == "" {
		return &sekisho.Refusal{Sentence: "Your sign-in has ended.", Next: "Sign in again: sekisho login."}
	}
	return nil
}

// GatewayRequest asks for the certificate with which a gateway logs in on a target for one audited session.
type GatewayRequest struct {
	Session *sekisho.Session
	// Target is the session's, for its mapping; nil has none, and the certificate is for MapTarget.
	Target *sekisho.Target
	Limits sekisho.Limits
	Key    ssh.PublicKey
	// GatewayName is the gateway that asks, as events name it.
	GatewayName string
}

// Gateways issues to gateways, by the gateway CA: the only one that audited targets trust.
func (a *Authority) Gateways(ctx context.Context, r GatewayRequest) (*ssh.Certificate, error) {
	s := r.Session
	if s == nil || s.ID == "" || s.Identity.Subject == "" {
		return nil, fmt.Errorf("gateway's certificate: no session, or one of nobody")
	}
	if err := checkAccount(s.Login, s.Target); err != nil {
		return nil, err
	}
	target := r.Target
	if target == nil {
		target = &sekisho.Target{Name: s.Target}
	}
	if err := sekisho.CheckMapping(target, s.Login); err != nil || target.Name != s.Target {
		return nil, fmt.Errorf("gateway's certificate for target %s: %w", target.Name, cmp.Or(err, errors.New("it is not the session's")))
	}
	i := a.issuers[IssuerGateways]
	return a.sign(ctx, &order{
		issuer:     i,
		certType:   ssh.UserCert,
		id:         sekisho.KeyID{Subject: s.Identity.Subject, Issuer: IssuerGateways, SignIn: s.SignIn, Request: s.ID},
		key:        r.Key,
		templates:  i.template(target.Mapping.Template()),
		values:     map[string]string{"login": s.Login, "target": s.Target, "class": target.Class},
		ttl:        r.Limits.TTL,
		address:    parseAddress(s.ClientAddress),
		extensions: extensions(r.Limits, forwardsAny(r.Limits)),
		event: &sekisho.Event{
			Actor: "gateway:" + r.GatewayName, SignIn: s.SignIn, Session: s.ID, Target: s.Target, Login: s.Login,
			ClientAddress: s.ClientAddress,
		},
	})
}

// HostRequest asks for a host certificate.
type HostRequest struct {
	// Names are the host names that the certificate proves, the target's own first; at most 16.
	Names []string
	Key   ssh.PublicKey
	TTL   time.Duration
	// Actor is who reported the key: "connector:NAME" or "gateway:NAME".
	Actor string
}

// Hosts issues host certificates, by the host CA.
func (a *Authority) Hosts(ctx context.Context, r HostRequest) (*ssh.Certificate, error) {
	if len(r.Names) == 0 || len(r.Names) > 16 {
		return nil, fmt.Errorf("host certificate: %d names: want 1 to 16", len(r.Names))
	}
	for _, name := range r.Names {
		if err := checkHostName(name); err != nil {
			return nil, fmt.Errorf("host certificate: %w", err)
		}
	}
	return a.sign(ctx, &order{
		issuer:     a.issuers[IssuerHosts],
		certType:   ssh.HostCert,
		id:         sekisho.KeyID{Subject: r.Names[0], Issuer: IssuerHosts},
		key:        r.Key,
		principals: r.Names,
		ttl:        r.TTL,
		event:      &sekisho.Event{Actor: r.Actor, Target: r.Names[0]},
	})
}

// parseAddress reads an address, with or without a port; the zero Addr is one that is not known.
func parseAddress(text string) netip.Addr {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap().WithZone("")
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap().WithZone("")
}

// checkHostName lets host names in, and IP addresses as they are compared: in their one form, without a zone.
func checkHostName(name string) error {
	if a, err := netip.ParseAddr(name); err == nil && a.Zone() == "" && a.String() == name {
		return nil
	}
	return sekisho.CheckTargetName(name)
}

// checkAccount keeps principals unambiguous: neither part may hold the colon between them.
func checkAccount(login, target string) error {
	if err := sekisho.CheckLogin(login); err != nil {
		return err
	}
	return sekisho.CheckTargetName(target)
}

// extensions are what the limits need and nothing else, never a user rc; sorted by name, as a certificate has them
// (PROTOCOL.certkeys).
func extensions(l sekisho.Limits, forwards bool) []string {
	var out []string
	for _, e := range []struct {
		name  string
		given bool
	}{
		{"permit-X11-forwarding", l.X11},
		{"permit-agent-forwarding", l.Agent},
		{"permit-port-forwarding", forwards},
		{"permit-pty", l.PTY},
	} {
		if e.given {
			out = append(out, e.name)
		}
	}
	return out
}

// forwardsAny reports whether the limits give forwards of any kind; the gateway holds the allow-lists itself.
func forwardsAny(l sekisho.Limits) bool { return len(l.Forward)+len(l.Listen) > 0 }

func anywhere(list []sekisho.Destination) bool {
	return slices.ContainsFunc(list, sekisho.Destination.Any)
}
