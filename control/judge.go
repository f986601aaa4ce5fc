package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/policy"
)

// Finder finds targets by name. What is absent is sekisho.ErrNotFound, wrapped or not.
type Finder interface {
	Target(ctx context.Context, name string) (*sekisho.Target, error)
}

// Find looks a host up as people type it: a target's name, or its name under the domain.
func Find(ctx context.Context, targets Finder, domain, host string) (*sekisho.Target, error) {
	t, err := targets.Target(ctx, host)
	if !errors.Is(err, sekisho.ErrNotFound) || domain == "" {
		return t, err
	}
	name, under := strings.CutSuffix(host, "."+strings.ToLower(domain))
	if !under {
		return nil, err
	}
	return targets.Target(ctx, name)
}

// Traveller is somebody who wants to go somewhere.
type Traveller struct {
	sekisho.Identity
	Address netip.Addr
}

// Judge decides whether somebody may go to a target as a login. A target that does not exist (exists is false, only the
// name is known) is judged like one without labels, so that who may not go there hears the same kind of sentence; only who
// would be let in learns that there is none. Logins are treated alike.
func Judge(set *policy.Set, who Traveller, target *sekisho.Target, exists bool, login string, now time.Time) sekisho.Decision {
	return judge(set, policy.Request{
		Action: policy.Connect, Identity: who.Identity, Target: target, Login: login, ClientAddress: who.Address,
	}, exists, now)
}

// judge is Judge for any action that somebody takes as a login of a target.
func judge(set *policy.Set, request policy.Request, exists bool, now time.Time) sekisho.Decision {
	target, login := request.Target, request.Login
	if !slices.Contains(target.Logins, login) {
		supposed := *target
		supposed.Logins = append(slices.Clone(target.Logins), login)
		request.Target = &supposed
	}
	decision := set.Evaluate(request, now)
	switch {
	case decision.Effect != sekisho.Allow:
	case !exists:
		return sekisho.Decision{
			Effect: sekisho.Deny, Reason: "There is no target called " + target.Name + ".", Next: "Check the name: sekisho targets lists yours.",
		}
	case request.Target != target:
		request.Target = target
		decision = set.Evaluate(request, now)
	}
	if decision.Effect != sekisho.Allow { // perhaps they meant another one; whether this one exists is not told
		decision.Next = strings.TrimSpace(decision.Next + " Or check the name: sekisho targets lists what you may reach.")
	}
	return decision
}

// Place is a target that somebody may reach, as these logins.
type Place struct {
	*sekisho.Target
	Logins []string
	Limits []sekisho.Limits // of each of the logins
}

// doorOf is the door that limits lead through, of an audited target as well: its limits say so.
func doorOf(l sekisho.Limits) string {
	if l.Audit != sekisho.AuditNone {
		return doorAudit
	}
	return doorPass
}

// Door is that of any of the logins: "audit" where one is audited.
func (p *Place) Door() string {
	for _, l := range p.Limits {
		if door := doorOf(l); door != doorPass {
			return door
		}
	}
	return doorPass
}

// Places lists what somebody may reach, by name.
func Places(ctx context.Context, targets Targets, set *policy.Set, who Traveller, now time.Time) ([]Place, error) {
	all, err := targets.Targets(ctx)
	if err != nil {
		return nil, fmt.Errorf("list targets: %w", err)
	}
	var places []Place
	for _, t := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p := Place{Target: t}
		for _, l := range t.Logins {
			decision := set.Evaluate(policy.Request{
				Action: policy.Connect, Identity: who.Identity, Target: t, Login: l, ClientAddress: who.Address,
			}, now)
			if decision.Effect != sekisho.Allow {
				continue
			}
			p.Logins, p.Limits = append(p.Logins, l), append(p.Limits, decision.Limits)
		}
		if len(p.Logins) > 0 {
			places = append(places, p)
		}
	}
	return places, nil
}
