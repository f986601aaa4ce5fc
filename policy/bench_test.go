package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/policy"
)

// crowd is a set of n policies, five for each group; every fourth is a forbid.
func crowd(b *testing.B, n int) *policy.Set {
	b.Helper()
	var text strings.Builder
	for i := range n {
		effect := "permit"
		if i%4 == 3 {
			effect = "forbid"
		}
		fmt.Fprintf(&text, `@id("p%d") %s (principal in Group::"g%d", action == Action::"connect", resource)
			when { resource.labels.contains("env:prod") && ["l%d", "root"].contains(context.login) && principal.methods.contains("mfa") }
			unless { context has client_address && context.client_address.isInRange(ip("198.51.100.0/24")) };`, i, effect, i/5, i)
		text.WriteByte('\n')
	}
	return load(b, text.String())
}

// BenchmarkEvaluate measures decisions by the number of policies in force, and the slowest one in a hundred.
func BenchmarkEvaluate(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		set := crowd(b, n)
		allowed := someone("sam", "g0", "staff", "dev", "oncall", "web")
		allowed.Methods = []string{"pwd", "mfa"}
		prod := &sekisho.Target{Name: "db1", Labels: []string{"env:prod", "app:ledger"}, Logins: []string{"root", "l0"}}
		stranger := allowed
		stranger.Groups = []string{"staff", "dev", "oncall", "web", "visitors"}
		for _, c := range []struct {
			name    string
			request policy.Request
			effect  sekisho.Effect
		}{
			{"allow", connect(allowed, prod, "l0"), sekisho.Allow},
			{"forbid", connect(allowed, prod, "root"), sekisho.Deny},
			{"deny", connect(stranger, prod, "l0"), sekisho.Deny},
			{"deny-no-near-miss", connect(stranger, &sekisho.Target{Name: "x", Labels: prod.Labels, Logins: []string{"x"}}, "x"), sekisho.Deny},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				if d := set.Evaluate(c.request, now); d.Effect != c.effect {
					b.Fatalf("%+v, want %s", d, c.effect)
				}
				b.ReportAllocs()
				took := make([]time.Duration, 0, 1<<16)
				for b.Loop() {
					start := time.Now()
					set.Evaluate(c.request, now)
					if d := time.Since(start); len(took) < cap(took) {
						took = append(took, d)
					}
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
			})
		}
	}
}

// BenchmarkMerge measures a decision by several permits, each with lists of its own.
func BenchmarkMerge(b *testing.B) {
	for _, n := range []int{1, 4, 16} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var text strings.Builder
			for i := range n {
				fmt.Fprintf(&text, "@id(\"p%d\") @forward(\"db%d:5432 10.%d.0.0/16:443\") @env(\"LANG X%d\") @longest(\"8h\")\n", i, i, i, i)
				text.WriteString("permit (principal, action == Action::\"connect\", resource);\n")
			}
			set, request := load(b, text.String()), connect(someone("sam"), db1, "root")
			b.ReportAllocs()
			for b.Loop() {
				if d := set.Evaluate(request, now); len(d.Limits.Forward) != 2*n {
					b.Fatalf("%+v", d)
				}
			}
		})
	}
}
