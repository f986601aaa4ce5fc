package policy

import (
	_ "embed"
	"fmt"
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
	depth, path := 0, 0
	for i, t := range s.tokens {
		// Cedar writes "has a.b.c" out as "has a && a has b && …", which grows with the square of its length and more.
		switch {
		case t.text == ".":
			path++
		case i == 0 || s.tokens[i-1].text != ".":
			path = 0
		}
		if path > maxPath {
			return t.at, fmt.Sprintf("more than %d attributes of attributes", maxPath)
		}
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
