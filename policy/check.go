package policy

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

//go:embed schema.cedarschema
var schemaText []byte

// checker turns text into rules. Cedar's experimental packages are used here and in scope.go only.
type checker struct {
	schema    *resolved.Schema
	validator *validate.Validator
}

func newChecker() (*checker, error) {
	var s schema.Schema
	s.SetFilename("schema.cedarschema")
	if err := s.UnmarshalCedar(schemaText); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	r, err := s.Resolve()
	if err != nil {
		return nil, fmt.Errorf("resolve the schema: %w", err)
	}
	return &checker{schema: r, validator: validate.New(r, validate.WithStrict())}, nil
}

// file gives the policies of one file; what is wrong goes to trouble.
func (c *checker) file(f File, trouble *LoadError) []*rule {
	if len(f.Text) > maxFileBytes {
		trouble.add(f.Name, position{1, 1}, "this file has %d bytes; at most %d are read", len(f.Text), maxFileBytes)
		return nil
	}
	if !utf8.Valid(f.Text) {
		trouble.add(f.Name, position{1, 1}, "this file is not UTF-8 text")
		return nil
	}
	all, broken := statements(string(f.Text))
	var rules []*rule
	for _, s := range all {
		rules = append(rules, c.rule(f.Name, s, trouble))
	}
	if broken != nil {
		trouble.add(f.Name, broken.at, "%s", broken.text)
	}
	return rules
}

// rule makes one policy of one statement. Its id is empty if the policy cannot be used.
func (c *checker) rule(file string, s statement, trouble *LoadError) *rule {
	r := &rule{file: file, at: s.tokens[0].at}
	if at, text := s.bounds(); text != "" {
		trouble.add(file, at, "%s", text)
		return r
	}
	parsed, err := cedar.NewPolicyListFromBytes(file, []byte(s.text))
	if err != nil {
		at, text := s.syntax(err)
		trouble.add(file, at, "%s", text)
		return r
	}
	if len(parsed) != 1 {
		trouble.add(file, r.at, "cannot tell where this policy ends")
		return r
	}
	r.compiled = parsed[0]
	r.permit = r.compiled.Effect() == cedar.Permit
	r.annotations = map[string]string{}
	for k, v := range r.compiled.Annotations() {
		r.annotations[string(k)] = string(v)
	}
	tree := (*ast.Policy)(r.compiled.AST())
	r.scope = readScope(tree)
	for _, wrong := range r.annotate() {
		trouble.add(file, s.annotation(wrong.key), "%s", wrong.text)
	}
	r.idAt = s.annotation("id")
	c.validate(file, s, tree, trouble)
	return r
}

// bounds says what is too much about a statement, before Cedar sees it.
func (s statement) bounds() (position, string) {
	if len(s.text) > maxPolicyBytes {
		return s.tokens[0].at, fmt.Sprintf("this policy has %d bytes; at most %d are read", len(s.text), maxPolicyBytes)
	}
	depth := 0
	for _, t := range s.tokens {
		switch t.text {
		case "(", "[", "{", "if":
			depth++
		case ")", "]", "}":
			depth--
		}
		if depth > maxNesting {
			return t.at, fmt.Sprintf("brackets and ifs are nested more than %d deep", maxNesting)
		}
	}
	return position{}, ""
}

// annotation is where @key stands, or the policy's first token.
func (s statement) annotation(key string) position {
	for i, t := range s.tokens {
		if i > 0 && t.text == key && s.tokens[i-1].text == "@" {
			return s.tokens[i-1].at
		}
	}
	return s.tokens[0].at
}

// validate checks a policy against the schema. The validator gives no positions: it is asked about the head and
// each condition by itself, and the word that it names is looked up there.
func (c *checker) validate(file string, s statement, tree *ast.Policy, trouble *LoadError) {
	whole := c.validator.Policy("", tree)
	if whole == nil {
		return
	}
	head := *tree
	head.Conditions = nil
	clauses := s.clauses()
	before := len(trouble.Problems) + trouble.More
	if err := c.validator.Policy("", &head); err != nil {
		c.explain(file, clauses[0], err, trouble)
		return // conditions are checked for the actions of the head
	}
	for i, condition := range tree.Conditions {
		one := head
		one.Conditions = []ast.ConditionType{condition}
		if err := c.validator.Policy("", &one); err != nil {
			c.explain(file, clauses[min(i+1, len(clauses)-1)], err, trouble)
		}
	}
	if len(trouble.Problems)+trouble.More == before {
		c.explain(file, clauses[0], whole, trouble)
	}
}

// clauses cuts a statement's tokens into its head and its conditions.
func (s statement) clauses() [][]token {
	out := [][]token{nil}
	depth := 0
	for _, t := range s.tokens {
		switch t.text {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			depth--
		case "when", "unless":
			if depth == 0 {
				out = append(out, nil)
			}
		}
		out[len(out)-1] = append(out[len(out)-1], t)
	}
	return out
}

// explain puts the validator's findings into words and places.
func (c *checker) explain(file string, clause []token, err error, trouble *LoadError) {
	said := map[Problem]bool{}
	for _, e := range flatten(err) {
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
		return find(clause, m[1]), fmt.Sprintf("there is no entity type %s%s; there are Person, Group, Target, House and Action", m[1], didYouMean(m[1], []string{"Person", "Group", "Target", "House", "Action"}))
	}
	if m := unfitArgument.FindStringSubmatch(message); m != nil {
		return find(clause, m[2]), fmt.Sprintf("%s cannot be read as %s", m[2], m[1])
	}
	if m := unexpected.FindStringSubmatch(message); m != nil {
		return clause[0].at, fmt.Sprintf("a %s is wanted here, and this is a %s", typeName(m[1]), typeName(m[2]))
	}
	if strings.HasPrefix(message, "unable to find an applicable action") {
		return clause[0].at, "this policy can never apply: no action has such a principal and resource (connect is for a Person and a Target, the others for a Person and House::\"sekisho\")"
	}
	return clause[0].at, typeName(message)
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
	if entity == "House" {
		if _, ok := c.schema.Entities["Target"].Shape[cedar.String(name)]; ok {
			text = fmt.Sprintf("only a Target has %s, and this policy covers actions on the House too: write action == Action::\"connect\"", name)
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
