package policy

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cedar-policy/cedar-go"

	"github.com/sekisho/sekisho"
)

// Bounds of what a denial looks into and says.
const (
	// maxTried is how many policies are run to find one that would have let somebody else in. A denial must not
	// cost more than a few decisions, so with very many policies a near miss can go unmentioned.
	maxTried = 24
	maxNamed = 3
	maxName  = 64
)

// unpermitted denies because no policy permits, and says which policy would have and for whom.
func (s *Set) unpermitted(r Request, q *query, found relevant) sekisho.Decision {
	reason := "No policy lets " + person(r.Identity) + " " + going(r)
	if id := factorMissing(r, q, found); id != "" {
		return deny(reason+" without a second factor; policy "+id+" lets you do so with one.",
			"Sign in again with a second factor.")
	}
	near := s.nearMisses(r, q)
	if len(near) == 0 {
		return deny(reason+".", "Ask an administrator to write a policy that permits "+self(r.Identity)+".")
	}
	clauses := make([]string, len(near))
	var groups []string
	for i, n := range near {
		clauses[i] = "policy " + n.id + " lets " + whom(n.who)
		if n.who.Type == "Group" {
			groups = append(groups, whom(n.who))
		}
	}
	slices.Sort(groups)
	next := "Ask an administrator to write a policy that permits " + self(r.Identity) + "."
	if groups = slices.Compact(groups); len(groups) > 0 {
		next = "Ask an administrator to add you to " + list(groups, "or") + ", or to write a policy that permits " + self(r.Identity) + "."
	}
	return deny(reason+"; "+list(clauses, "and")+" do so.", next)
}

// factorMissing asks whether the same person with a second factor ("mfa", RFC 8176) would be let in, and by what.
func factorMissing(r Request, q *query, found relevant) string {
	if slices.Contains(r.Identity.Methods, "mfa") {
		return ""
	}
	with := r.Identity
	with.Methods = append(slices.Clone(with.Methods), "mfa")
	other := *q
	other.as(personEntity(with))
	verdict, diagnostic := cedar.Authorize(found, &other, other.Request)
	if verdict != cedar.Allow || len(diagnostic.Errors) > 0 {
		return ""
	}
	return names(diagnostic.Reasons)[0]
}

// nearMisses finds permits that would have let in somebody else: the same person in exactly the group that the
// policy's head names, or the person it names. It leaves out those of which joining would not help, because a
// forbid stands in the way.
func (s *Set) nearMisses(r Request, q *query) []*rule {
	var labels []string
	if r.Action.onTarget() {
		labels = r.Target.Labels
	}
	var near []*rule
	other, alone, tried := *q, make(relevant, 1), 0
	for candidate := range s.index.near(r.Action, q, labels) {
		if candidate.who == q.Principal || q.person.Parents.Contains(candidate.who) {
			continue // it has been weighed already
		}
		if slices.ContainsFunc(near, func(n *rule) bool { return n.who == candidate.who }) {
			continue // one policy for each group says enough
		}
		if tried++; tried > maxTried || len(near) == maxNamed {
			break
		}
		other.as(hypothetical(q, r.Identity, candidate.who, nil))
		alone[0] = candidate
		if verdict, diagnostic := cedar.Authorize(alone, &other, other.Request); verdict != cedar.Allow || len(diagnostic.Errors) > 0 {
			continue
		}
		other.as(hypothetical(q, r.Identity, candidate.who, r.Identity.Groups))
		verdict, diagnostic := cedar.Authorize(s.index.match(r.Action, &other), &other, other.Request)
		if verdict == cedar.Allow && len(diagnostic.Errors) == 0 {
			near = append(near, candidate)
		}
	}
	slices.SortFunc(near, func(a, b *rule) int { return strings.Compare(a.id, b.id) })
	return near
}

// hypothetical is the person with the group that a policy names and the groups given, or whom the policy names.
func hypothetical(q *query, i sekisho.Identity, who cedar.EntityUID, groups []string) cedar.Entity {
	if who.Type != "Group" {
		i.Subject, i.Groups = string(who.ID), nil
		return personEntity(i)
	}
	member := q.person
	member.Parents = cedar.NewEntityUIDSet(who)
	if len(groups) > 0 {
		member.Parents = groupSet(append(slices.Clone(groups), string(who.ID)))
	}
	return member
}

// The words. Names come from identity providers and from whoever asks: each is cut to 64 characters and freed of
// anything that a terminal would obey.

func person(i sekisho.Identity) string {
	if len(i.Groups) == 0 {
		return clip(i.Subject) + " (no groups)"
	}
	return clip(i.Subject) + " (groups: " + strings.Join(some(i.Groups), ", ") + ")"
}

// self is how a policy could name the person: by their group, if they have one.
func self(i sekisho.Identity) string {
	switch len(i.Groups) {
	case 0:
		return clip(i.Subject)
	case 1:
		return "group " + clip(i.Groups[0])
	}
	return "one of your groups"
}

func whom(id cedar.EntityUID) string {
	if id.Type == "Group" {
		return "group " + clip(string(id.ID))
	}
	return clip(string(id.ID))
}

// going completes "No policy lets ken …".
func going(r Request) string {
	if r.Action == Connect {
		return "onto " + clip(r.Target.Name) + " as " + clip(r.Login)
	}
	return doing(r)
}

// doing completes "forbids ken to …".
func doing(r Request) string {
	switch r.Action {
	case Connect:
		return "go onto " + clip(r.Target.Name) + " as " + clip(r.Login)
	case ReadRecordings:
		return "read recordings"
	case ReadAudit:
		return "read the audit log"
	case WatchSessions:
		return "watch " + sessionOf(r)
	case EndSessions:
		return "end " + sessionOf(r)
	case Certify:
		return "get certificates from issuer " + clip(r.Issuer)
	case PublishKeys:
		return "publish keys for " + clip(r.Login) + " on " + clip(r.Target.Name)
	case ManageCA:
		return "manage CAs"
	case RevokeCertificates:
		return "revoke certificates"
	}
	return "manage targets"
}

// sessionOf completes "watch …". Whoever has just been denied is not told more of the session than they asked for.
func sessionOf(r Request) string {
	return "a session of " + clip(r.Person) + " on " + clip(r.Target.Name) + " as " + clip(r.Login)
}

// which begins a sentence about policies.
func which(ids []string) string {
	if len(ids) == 1 {
		return "Policy " + ids[0]
	}
	return "Policies " + list(some(ids), "and")
}

func verb(of []string, one, many string) string {
	if len(of) == 1 {
		return one
	}
	return many
}

// some gives the first few names, and how many more there are.
func some(names []string) []string {
	out := make([]string, 0, maxNamed+1)
	for i, n := range names {
		if i == maxNamed {
			return append(out, number(len(names)-maxNamed)+" more")
		}
		out = append(out, clip(n))
	}
	return out
}

func list(parts []string, conjunction string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	last := len(parts) - 1
	return strings.Join(parts[:last], ", ") + " " + conjunction + " " + parts[last]
}

func number(n int) string { return strconv.Itoa(n) }

func clip(s string) string { return printable(s, maxName) }

// printable cuts s to that many characters and replaces those that are not for printing.
func printable(s string, limit int) string {
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit-1]) + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}
