package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// explain puts the validator's findings into words and places.
func (c *checker) explain(file string, clause []token, err error, trouble *LoadError) {
	said := map[Problem]bool{}
	errs := flatten(err)
	for _, e := range errs {
		if len(errs) > 1 && inapplicable(e.Error()) {
			continue // it follows from the others
		}
		at, text := c.finding(clause, e.Error())
		p := Problem{File: file, Line: at.line, Column: at.column, Text: text}
		if !said[p] {
			said[p] = true
			trouble.add(file, at, "%s", text)
		}
	}
}

func flatten(err error) []error {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}

var (
	missingAttribute = regexp.MustCompile("^attribute `([^`]*)` (?:on entity type `([^`]*)`|in context for ([^ ]*)) not found$")
	optional         = regexp.MustCompile("^unable to guarantee safety of access to optional attribute `([^`]*)`")
	unknownAction    = regexp.MustCompile("^unrecognized action `[A-Za-z_:]*::\"(.*)\"`$")
	unknownType      = regexp.MustCompile("^unrecognized entity type `([^`]*)`$")
	unfitArgument    = regexp.MustCompile("failed to parse as (.*): `(.*)`$")
	incompatible     = regexp.MustCompile(`^the types (.*) and (.*) are not compatible$`)
	unexpected       = regexp.MustCompile(`^unexpected type: expected (.*) but saw (.*)$`)
)

// finding puts one message of the validator into our words, and finds the place it means.
func (c *checker) finding(clause []token, message string) (position, string) {
	if m := missingAttribute.FindStringSubmatch(message); m != nil {
		return c.attribute(clause, m[1], m[2], m[3])
	}
	if m := optional.FindStringSubmatch(message); m != nil {
		name := lastPart(m[1])
		return find(clause, name, ".", "["), fmt.Sprintf("%s may be absent: ask for it first, with \"has %s &&\"", name, name)
	}
	if m := unknownAction.FindStringSubmatch(message); m != nil {
		known := make([]string, len(actions))
		for i, a := range actions {
			known[i] = string(a)
		}
		return find(clause, strconv.Quote(m[1]), "::"), fmt.Sprintf("there is no action %q%s; there are %s", m[1], didYouMean(m[1], known), strings.Join(known, ", "))
	}
	if m := unknownType.FindStringSubmatch(message); m != nil {
		return find(clause, m[1]), fmt.Sprintf("there is no entity type %s%s; there are Person, Group, Target, Issuer, House and Action", m[1], didYouMean(m[1], []string{"Person", "Group", "Target", "Issuer", "House", "Action"}))
	}
	if m := unfitArgument.FindStringSubmatch(message); m != nil {
		return find(clause, m[2]), fmt.Sprintf("%s cannot be read as %s", m[2], m[1])
	}
	if m := unexpected.FindStringSubmatch(message); m != nil {
		return clause[0].at, fmt.Sprintf("somewhere in this condition stands a %s where a %s is wanted", typeName(m[2]), typeName(m[1]))
	}
	if m := incompatible.FindStringSubmatch(message); m != nil {
		return clause[0].at, fmt.Sprintf("this condition compares what can never be equal: %s and %s", typeName(m[1]), typeName(m[2]))
	}
	if inapplicable(message) {
		return clause[0].at, "this policy can never apply: no action has such a principal and resource (connect, publishKeys, watchSessions and endSessions are for a Person and a Target, certify for a Person and an Issuer, the others for a Person and House::\"sekisho\")"
	}
	return clause[0].at, typeName(message)
}

func inapplicable(message string) bool {
	return strings.HasPrefix(message, "unable to find an applicable action")
}

// attribute explains an attribute that the schema does not have.
func (c *checker) attribute(clause []token, name, entity, action string) (position, string) {
	at := find(clause, lastPart(name), ".", "has", "[")
	if action != "" {
		return at, fmt.Sprintf("%s has no context.%s%s", action, name, didYouMean(name, c.contextOf(action)))
	}
	var known []string
	for attribute := range c.schema.Entities[cedar.EntityType(entity)].Shape {
		known = append(known, string(attribute))
	}
	text := fmt.Sprintf("%s has no attribute %s%s", entity, name, didYouMean(name, known))
	if entity == "House" || entity == "Issuer" {
		if _, ok := c.schema.Entities["Target"].Shape[cedar.String(name)]; ok {
			text = fmt.Sprintf("only a Target has %s, and this policy covers actions on other things too: write action == Action::\"connect\"", name)
		}
	}
	return at, text
}

func (c *checker) contextOf(action string) []string {
	var known []string
	for id, a := range c.schema.Actions {
		if id.String() == action && a.AppliesTo != nil {
			for attribute := range a.AppliesTo.Context {
				known = append(known, string(attribute))
			}
		}
	}
	return known
}

// find gives the place of a word that follows one of the signs (any, if none are given), or the clause's start.
func find(clause []token, word string, after ...string) position {
	for i, t := range clause {
		if t.text != word && t.text != strconv.Quote(word) {
			continue
		}
		if len(after) == 0 || i > 0 && slices.Contains(after, clause[i-1].text) {
			return t.at
		}
	}
	return clause[0].at
}

func lastPart(path string) string { return path[strings.LastIndex(path, ".")+1:] }

// typeName takes the validator's inner names out of its words.
func typeName(s string) string {
	return strings.NewReplacer(
		"__cedar::internal::OpenRecord{}", "record", "__cedar::internal::AnyEntity", "entity", "__cedar::internal::Any", "anything",
		"__cedar::internal::", "", ", or ", " or ",
	).Replace(s)
}
