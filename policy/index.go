package policy

import (
	"iter"

	"github.com/cedar-policy/cedar-go"
)

// Cedar weighs every policy it is given, one after the other. The index gives it only those whose head can match;
// the others could not decide anything, nor fail, for Cedar reads the head first.
type index struct {
	byScope map[scopeKey][]*rule
	// permits holds the permits that name a group or a person, by what they ask of the target: to find whom a
	// target would have let in.
	permits map[nearKey][]*rule
}

type scopeKey struct {
	action        Action
	who, resource cedar.EntityUID
}

type nearKey struct {
	action   Action
	resource cedar.EntityUID
	label    string
}

func newIndex(rules []*rule) index {
	x := index{byScope: map[scopeKey][]*rule{}, permits: map[nearKey][]*rule{}}
	for _, r := range rules {
		for _, a := range r.actions {
			key := scopeKey{a, r.who, r.resource}
			x.byScope[key] = append(x.byScope[key], r)
			if r.permit && r.who != (cedar.EntityUID{}) {
				near := nearKey{a, r.resource, r.label}
				x.permits[near] = append(x.permits[near], r)
			}
		}
	}
	return x
}

// relevant is the few policies that can match one query.
type relevant []*rule

// All makes it an iterator of policies for Cedar.
func (rs relevant) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range rs {
			if !yield(cedar.PolicyID(r.id), r.compiled) {
				return
			}
		}
	}
}

// match looks up the policies that can match the query.
func (x index) match(action Action, q *query) relevant {
	var found relevant
	add := func(who cedar.EntityUID) {
		found = append(found, x.byScope[scopeKey{action, who, cedar.EntityUID{}}]...)
		found = append(found, x.byScope[scopeKey{action, who, q.Resource}]...)
	}
	add(cedar.EntityUID{})
	add(q.Principal)
	for group := range q.person.Parents.All() {
		add(group)
	}
	return found
}

// near walks the permits for somebody that the target's labels do not rule out.
func (x index) near(action Action, q *query, labels []string) iter.Seq[*rule] {
	return func(yield func(*rule) bool) {
		for _, resource := range []cedar.EntityUID{q.Resource, {}} {
			for i := -1; i < len(labels); i++ {
				key := nearKey{action: action, resource: resource}
				if i >= 0 {
					key.label = labels[i]
				}
				for _, r := range x.permits[key] {
					if !yield(r) {
						return
					}
				}
			}
		}
	}
}
