package policy_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/policy"
)

// Any text is either loaded or refused with problems that point into the text; what is loaded can be asked.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*.cedar", "../examples/policies/*.cedar"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte(`@id("a") permit (principal, action, resource) when { if {a: 1}.a == -1 then [1].isEmpty() else !!!true };`))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := policy.Load([]policy.File{{Name: "fuzz.cedar", Text: text}})
		if err == nil {
			set.Evaluate(connect(someone("sam", "sre"), db1, "root"), now)
			return
		}
		var loadError *policy.LoadError
		if !errors.As(err, &loadError) || len(loadError.Problems) == 0 {
			t.Fatalf("Load gives %v", err)
		}
		lines := strings.Split(string(text), "\n")
		for _, p := range loadError.Problems {
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len([]rune(lines[p.Line-1]))+1 || p.Text == "" {
				t.Errorf("%q points outside the text of %d lines", p, len(lines))
			}
		}
	})
}

// Whatever the request says, the decision is whole: an allow names permits and has limits, a denial has words.
func FuzzEvaluate(f *testing.F) {
	const text = srePolicy + `
		@id("ann") permit (principal == Person::"ann@example.com", action, resource);
		@id("auditors") permit (principal in Group::"audit", action == Action::"readAudit", resource);
		@id("office") forbid (principal, action == Action::"connect", resource) when { resource.class == "pii" }
		unless { context has client_address && context.client_address.isInRange(ip("192.0.2.0/24")) };`
	set, err := policy.Load([]policy.File{{Name: "fuzz.cedar", Text: []byte(text)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("connect", "sam@example.com", "sre,dev", "mfa", "db1", "env:prod,app:x", "root,deploy", "root", "pii", []byte{192, 0, 2, 1}, int64(0), true)
	f.Add("readAudit", "ken@example.com", "", "", "", "", "", "", "", []byte{}, int64(1<<40), false)
	f.Fuzz(func(t *testing.T, action, subject, groups, methods, target, labels, logins, login, class string, address []byte, seconds int64, audited bool) {
		from, _ := netip.AddrFromSlice(address)
		r := policy.Request{
			Action: policy.Action(action), Login: login, ClientAddress: from,
			Identity: sekisho.Identity{Subject: subject, Groups: strings.Split(groups, ","), Methods: strings.Split(methods, ",")},
			Target:   &sekisho.Target{Name: target, Labels: strings.Split(labels, ","), Logins: strings.Split(logins, ","), Class: class, Audited: audited},
		}
		d := set.Evaluate(r, time.Unix(seconds, 0))
		switch d.Effect {
		case sekisho.Allow:
			if len(d.Policies) == 0 || d.Reason != "" || d.Next != "" {
				t.Errorf("allowed with %+v", d)
			}
			if r.Action == policy.Connect && (d.Limits.TTL <= 0 || audited && d.Limits.Audit == sekisho.AuditNone) {
				t.Errorf("limits %+v", d.Limits)
			}
		case sekisho.Deny:
			if d.Reason == "" || d.Next == "" || !reflect.DeepEqual(d.Limits, sekisho.Limits{}) || len(d.Reason)+len(d.Next) > 4000 {
				t.Errorf("denied with %+v", d)
			}
		default:
			t.Errorf("effect %q", d.Effect)
		}
	})
}
