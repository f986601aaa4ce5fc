package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"github.com/sekisho/sekisho"
)

// rule is one policy, ready to be weighed.
type rule struct {
	id          string
	file        string
	at, idAt    position
	annotations map[string]string
	compiled    *cedar.Policy
	permit      bool
	// limits is what a permit gives; zero for a forbid.
	limits sekisho.Limits
	scope
}

func (r *rule) effect() string {
	if r.permit {
		return "permit"
	}
	return "forbid"
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// annotationError is what is wrong with one annotation.
type annotationError struct{ key, text string }

// annotate reads the annotations into the rule and reports all that is wrong with them.
func (r *rule) annotate() []annotationError {
	var wrong []annotationError
	bad := func(key, format string, args ...any) {
		wrong = append(wrong, annotationError{key, fmt.Sprintf(format, args...)})
	}
	if r.permit {
		r.limits = defaultLimits()
	}
	id, named := r.annotations["id"]
	switch {
	case !named:
		bad("", "this policy has no name: put @id(\"…\") before %s", r.effect())
	case !idForm.MatchString(id):
		bad("id", "@id(%q): want 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit", id)
	default:
		r.id = id
	}
	for key, value := range r.annotations {
		switch {
		case key == "id":
		case !slices.Contains(annotations, key):
			bad(key, "unknown annotation @%s%s; known are @%s", key, didYouMean(key, annotations), strings.Join(annotations, " @"))
		case !r.permit:
			bad(key, "@%s says what a permit gives; it has no meaning on a forbid", key)
		case !slices.Contains(r.actions, Connect):
			bad(key, "@%s says what a connection may do; this policy does not cover the action connect", key)
		default:
			if err := readerOf(key)(&r.limits, value); err != nil {
				bad(key, "@%s(%q): %v", key, clip(value), err)
			}
		}
	}
	if r.permit && len(wrong) == 0 {
		if key, text := r.settle(); text != "" {
			bad(key, "@%s %s", key, text)
		}
	}
	return wrong
}
