package policy

import (
	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// scope is what a policy's head and condition say without being run: whom and what it can match at all. The zero
// EntityUID means anyone, or anything.
type scope struct {
	actions  []Action
	who      cedar.EntityUID // a Group or a Person
	resource cedar.EntityUID
	// label is one that the target must have for the policy to match, if the condition says so plainly.
	label string
}

// readScope never narrows by what it does not know: an unfamiliar head counts as anyone or anything.
func readScope(p *ast.Policy) scope {
	s := scope{actions: scopeActions(p.Action)}
	switch n := p.Principal.(type) {
	case ast.ScopeTypeEq:
		s.who = n.Entity
	case ast.ScopeTypeIn:
		s.who = n.Entity
	case ast.ScopeTypeIsIn:
		s.who = n.Entity
	}
	// Resources have no parents, so "in" is "==" for them.
	switch n := p.Resource.(type) {
	case ast.ScopeTypeEq:
		s.resource = n.Entity
	case ast.ScopeTypeIn:
		s.resource = n.Entity
	case ast.ScopeTypeIsIn:
		s.resource = n.Entity
	}
	for _, c := range p.Conditions {
		if c.Condition == ast.ConditionWhen && s.label == "" {
			s.label = requiredLabel(c.Body)
		}
	}
	return s
}

func scopeActions(n ast.IsActionScopeNode) []Action {
	var named []cedar.EntityUID
	switch n := n.(type) {
	case ast.ScopeTypeEq:
		named = append(named, n.Entity)
	case ast.ScopeTypeIn:
		named = append(named, n.Entity) // actions have no parents either
	case ast.ScopeTypeInSet:
		named = n.Entities
	default:
		return actions
	}
	var out []Action
	for _, a := range actions {
		for _, id := range named {
			if id == cedar.NewEntityUID("Action", cedar.String(a)) {
				out = append(out, a)
				break
			}
		}
	}
	return out
}

// requiredLabel finds resource.labels.contains("…") among the terms that && joins.
func requiredLabel(n ast.IsNode) string {
	switch n := n.(type) {
	case ast.NodeTypeAnd:
		if label := requiredLabel(n.Left); label != "" {
			return label
		}
		return requiredLabel(n.Right)
	case ast.NodeTypeContains:
		set, isAccess := n.Left.(ast.NodeTypeAccess)
		value, isValue := n.Right.(ast.NodeValue)
		if !isAccess || !isValue || set.Value != "labels" {
			return ""
		}
		variable, isVariable := set.Arg.(ast.NodeTypeVariable)
		label, isString := value.Value.(cedar.String)
		if isVariable && isString && variable.Name == "resource" {
			return string(label)
		}
	}
	return ""
}
