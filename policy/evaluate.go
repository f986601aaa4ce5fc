package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/sekisho/sekisho"
)

// maxGroups bounds the groups of one person. More are not cut short, for a forbid may name the one left out.
const maxGroups = 1000

// Evaluate decides one request at that time. It never errs towards allowing: what cannot be judged is denied. Lists in the
// decision's limits belong to the Set: they are for reading only.
func (s *Set) Evaluate(r Request, now time.Time) sekisho.Decision {
	if d, ok := before(r); !ok {
		return d
	}
	q := newQuery(r, now)
	found := s.index.match(r.Action, q)
	verdict, diagnostic := cedar.Authorize(found, q, q.Request)
	switch {
	case len(diagnostic.Errors) > 0:
		return s.broken(diagnostic.Errors)
	case verdict == cedar.Allow:
		return s.allow(r, diagnostic.Reasons)
	case len(diagnostic.Reasons) > 0:
		return forbidden(r, names(diagnostic.Reasons))
	}
	return s.unpermitted(r, q, found)
}

// before denies what no policy can allow.
func before(r Request) (sekisho.Decision, bool) {
	switch {
	case !slices.Contains(actions, r.Action):
		return deny("There is nothing called "+clip(string(r.Action))+" to be allowed.", "Update your client, or ask an administrator."), false
	case r.Identity.Subject == "":
		return deny("Nobody is signed in.", "Sign in and try again."), false
	case len(r.Identity.Groups) > maxGroups:
		return deny(clip(r.Identity.Subject)+" is in more groups than policies can be asked about.", "Ask an administrator to send fewer groups from the identity provider."), false
	case r.Action == Certify && r.Issuer == "":
		return deny("There is no such issuer.", "Check the name: sekisho ca issuers lists them."), false
	case !r.Action.onTarget():
		return sekisho.Decision{}, true
	case r.Target == nil:
		return deny("There is no such target.", "Check the name, or ask an administrator."), false
	case r.Action.asLogin() && !slices.Contains(r.Target.Logins, r.Login):
		login, target := clip(r.Login), clip(r.Target.Name)
		return deny("Target "+target+" has no login "+login+".",
			"Check the login, or ask an administrator to add "+login+" to the logins of "+target+"."), false
	}
	return sekisho.Decision{}, true
}

func (s *Set) allow(r Request, reasons []cedar.DiagnosticReason) sekisho.Decision {
	d := sekisho.Decision{Effect: sekisho.Allow, Policies: names(reasons)}
	if r.Action != Connect {
		return d
	}
	permits := make([]*rule, len(d.Policies))
	for i, id := range d.Policies {
		permits[i] = s.byID[id]
	}
	var ok bool
	if d.Limits, ok = merge(permits); !ok {
		return tooMuch(r, d.Policies)
	}
	if r.Target.Audited && slices.ContainsFunc(permits, unrecorded) {
		d.Limits.Audit, d.Limits.Ahead = sekisho.AuditStrict, sekisho.Ahead{}
	}
	return d
}

// unrecorded reports whether a permit says nothing of a recording. For an audited target that means a strict one.
func unrecorded(r *rule) bool { return r.limits.Audit == sekisho.AuditNone }

// tooMuch denies because what the permits give together has no room in a decision.
func tooMuch(r Request, ids []string) sekisho.Decision {
	d := deny(which(ids)+verb(ids, " lets ", " let ")+person(r.Identity)+" "+going(r)+", but together they list more than a decision holds.",
		"Ask an administrator to list less in them: at most "+number(maxMerged)+" destinations, variables, recipients or file limits together.")
	d.Policies = ids
	return d
}

func forbidden(r Request, ids []string) sekisho.Decision {
	d := deny(which(ids)+verb(ids, " forbids ", " forbid ")+person(r.Identity)+" to "+doing(r)+".",
		"No permit outweighs a forbid: ask an administrator about "+lower(which(ids))+".")
	d.Policies = ids
	return d
}

// broken denies because a policy failed while it ran: had it run, it might have been a forbid.
func (s *Set) broken(errs []cedar.DiagnosticError) sekisho.Decision {
	var ids []string
	for _, e := range errs {
		ids = append(ids, string(e.PolicyID))
	}
	slices.Sort(ids)
	var cause string
	for _, e := range errs {
		if r := s.byID[string(e.PolicyID)]; r.id == ids[0] {
			cause = r.id + " (" + clip(r.file) + " line " + number(r.at.line) + ") fails with: " + printable(e.Message, 120)
		}
	}
	d := deny(which(ids)+" could not be evaluated, and so nobody is let in.", "Tell an administrator that policy "+cause+".")
	d.Policies = ids
	return d
}

func deny(reason, next string) sekisho.Decision {
	return sekisho.Decision{Effect: sekisho.Deny, Reason: reason, Next: next}
}

// names gives the policies' names, sorted.
func names(reasons []cedar.DiagnosticReason) []string {
	ids := make([]string, len(reasons))
	for i, r := range reasons {
		ids[i] = string(r.PolicyID)
	}
	slices.Sort(ids)
	return ids
}

func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }
