package ca

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sekisho/sekisho"
)

const (
	maxValue     = 256 // bytes of a value that goes into a template
	maxPrincipal = 256 // bytes
	maxText      = 512 // bytes of a template
)

// Variables of templates: those of a configured issuer, by its proof, and those of built-in ones. Configured issuers know no
// target: they give certificates for something else.
var (
	personVariables = []string{"email", "account", "domain", "subject", "sign_in"}
	tokenVariables  = []string{"subject"}
	allVariables    = append(slices.Clone(personVariables), "login", "target", "class")
)

// template is text with variables: parts at odd places are names of variables.
type template []string

// readTemplate reads text with variables in braces. known are those that it may have.
func readTemplate(text string, known []string) (template, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%d bytes are too many: want %d at most", len(text), maxText)
	}
	var t template
	for rest := text; ; {
		literal, after, found := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return nil, fmt.Errorf("%q has a } without a {: write a variable such as {%s}", text, known[0])
		}
		t = append(t, literal)
		if !found {
			return t, nil
		}
		name, after, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("%q has a { without a }: write a variable such as {%s}", text, known[0])
		}
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%q: there is no variable {%.40s} here: write {%s}", text, name, strings.Join(known, "}, {"))
		}
		t, rest = append(t, name), after
	}
}

// fixed is the text of a template without variables.
func (t template) fixed() (string, bool) { return t[0], len(t) == 1 }

// sample is the text with a letter for each variable.
func (t template) sample() string {
	var b strings.Builder
	for n, part := range t {
		if n%2 == 1 {
			part = "x"
		}
		b.WriteString(part)
	}
	return b.String()
}

// expand puts values in. What would not stay one harmless word is refused: a principal must not become two, or another's.
func (t template) expand(values func(name string) string) (string, error) {
	var b strings.Builder
	for n, part := range t {
		if n%2 == 0 {
			b.WriteString(part)
			continue
		}
		v := values(part)
		if err := checkValue(v); err != nil {
			return "", fmt.Errorf("{%s} is %.80q, %w", part, v, err)
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// checkValue lets in one word of letters, digits and @ . _ + = - that does not begin like an option.
func checkValue(v string) error {
	switch {
	case v == "":
		return errors.New("which is empty")
	case len(v) > maxValue:
		return fmt.Errorf("which is longer than %d bytes", maxValue)
	case v[0] == '-':
		return errors.New("which begins with a dash")
	}
	for n := range len(v) {
		if c := v[n]; !plain(c) || c == ':' {
			return errors.New("which has a character beside A-Z a-z 0-9 @ . _ + = -")
		}
	}
	return nil
}

// checkPrincipal is checkValue for a whole principal, in which a colon separates.
func checkPrincipal(p string) error {
	if len(p) > maxPrincipal {
		return fmt.Errorf("is longer than %d bytes", maxPrincipal)
	}
	for part := range strings.SplitSeq(p, ":") {
		if err := checkValue(part); err != nil {
			return fmt.Errorf("has a part %w", err)
		}
	}
	return nil
}

// values are what the order's templates can say.
func (o *order) value(name string) string {
	subject := o.id.Subject
	switch name {
	case "email", "subject":
		return subject
	case "account":
		who := sekisho.Identity{Subject: subject}
		return who.Account()
	case "domain":
		return subject[strings.LastIndexByte(subject, '@')+1:]
	case "sign_in":
		return o.id.SignIn
	}
	return o.values[name]
}

// readMatch compiles an expression that is anchored at both ends; nil for none.
func readMatch(text string) (*regexp.Regexp, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxText {
		return nil, fmt.Errorf("match: %d bytes are too many: want %d at most", len(text), maxText)
	}
	_, err := regexp.Compile(text) // by itself: "a)|(b" would leave the anchors behind
	re, e := regexp.Compile(`\A(?:` + text + `)\z`)
	if err = cmp.Or(err, e); err != nil {
		return nil, fmt.Errorf("match: %.80q cannot be read: write an expression such as [a-z][a-z0-9-]*: %w", text, err)
	}
	return re, nil
}
