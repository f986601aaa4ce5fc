package policy

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/sekisho/sekisho"
)

// Limits of an allowed connection where no policy says otherwise, and the bounds of @ttl.
const (
	defaultTTL = 2 * time.Minute
	minTTL     = 10 * time.Second
	maxTTL     = 24 * time.Hour
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

var (
	idForm      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	annotations = []string{"id", "audit", "ttl", "pty"}
)

// annotationError is what is wrong with one annotation.
type annotationError struct{ key, text string }

// annotate reads the annotations into the rule and reports all that is wrong with them.
func (r *rule) annotate() []annotationError {
	var wrong []annotationError
	bad := func(key, format string, args ...any) {
		wrong = append(wrong, annotationError{key, fmt.Sprintf(format, args...)})
	}
	if r.permit {
		r.limits = sekisho.Limits{TTL: defaultTTL, PTY: true, Shell: true, Exec: true, Subsystems: []string{"*"},
			Env: []string{"LANG", "LC_*", "COLORTERM"}, Files: []sekisho.FileLimit{{}}}
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
			bad(key, "unknown annotation @%s%s; known are @id, @audit, @ttl and @pty", key, didYouMean(key, annotations))
		case !r.permit:
			bad(key, "@%s says what a permit gives; it has no meaning on a forbid", key)
		case !slices.Contains(r.actions, Connect):
			bad(key, "@%s says what a connection may do; this policy does not cover the action connect", key)
		default:
			if text := r.limit(key, value); text != "" {
				bad(key, "%s", text)
			}
		}
	}
	return wrong
}

// limit takes one annotation into the limits, or says why it cannot.
func (r *rule) limit(key, value string) string {
	switch key {
	case "audit":
		if value != string(sekisho.AuditStrict) {
			return fmt.Sprintf("@audit(%q): want \"strict\"%s", value, didYouMean(value, []string{"strict"}))
		}
		r.limits.Audit = sekisho.AuditStrict
	case "ttl":
		ttl, err := time.ParseDuration(value)
		if err != nil {
			return fmt.Sprintf("@ttl(%q): want a duration such as \"90s\", \"2m\" or \"8h\"", value)
		}
		if ttl < minTTL || ttl > maxTTL {
			return fmt.Sprintf("@ttl(%q): want a duration from 10s to 24h", value)
		}
		r.limits.TTL = ttl
	case "pty":
		if value != "allow" && value != "deny" {
			return fmt.Sprintf("@pty(%q): want \"allow\" or \"deny\"%s", value, didYouMean(value, []string{"allow", "deny"}))
		}
		r.limits.PTY = value == "allow"
	}
	return ""
}

// merge folds the limits of permits that all allow: the strictest audit, the longest ttl, a terminal if any
// gives one.
func merge(permits []*rule) sekisho.Limits {
	var all sekisho.Limits
	for _, r := range permits {
		if r.limits.Audit == sekisho.AuditStrict {
			all.Audit = sekisho.AuditStrict
		}
		all.TTL = max(all.TTL, r.limits.TTL)
		all.PTY = all.PTY || r.limits.PTY
		all.Shell, all.Exec = all.Shell || r.limits.Shell, all.Exec || r.limits.Exec
		all.Subsystems, all.Env, all.Files = r.limits.Subsystems, r.limits.Env, r.limits.Files
	}
	return all
}
