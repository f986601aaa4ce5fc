package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sekisho/sekisho/policy"
)

// Text of the greatest length that is made to cost as much as it can is either refused or loaded at once. None of
// these takes a tenth of a second; where a bound is missing they take half a minute, or the stack.
func TestLoadCostlyText(t *testing.T) {
	r := strings.Repeat
	var record strings.Builder
	for i := range 1800 {
		fmt.Fprintf(&record, "a%d:1,", i)
	}
	tests := []struct{ name, condition, problem string }{
		{"has path", "principal has a" + r(".a", 7900), "more than 16 attributes of attributes"},
		{"spaced has path", "context has a" + r(" . a", 3900), "more than 16 attributes of attributes"},
		{"attribute path", "principal" + r(".a", 7900) + " == 1", "more than 16 attributes of attributes"},
		{"short paths", r("principal has a.a.a.a.a.a.a.a.a.a.a.a.a.a.a && ", 330) + "true", ""},
		{"and", r("true && ", 1900) + "true", ""},
		{"or", r("false || ", 1700) + "true", ""},
		{"not", r("!", 16000) + "true", ""},
		{"minus", r("-", 16000) + "1 == 1", ""},
		{"sum", r("1+", 8000) + "1 == 1", ""},
		{"wrong sum", r("principal.a+", 1300) + "1 == 1", "Person has no attribute a"},
		{"if", r("if true then ", 99) + "true" + r(" else false", 99), ""},
		{"ifs", r("if true then ", 101) + "true" + r(" else false", 101), "nested more than 100 deep"},
		{"set", "![" + r("1,", 8000) + "1].isEmpty()", ""},
		{"groups", "principal in [" + r("Group::\"a\",", 1400) + "]", ""},
		{"like", "principal.subject like \"" + r("*a", 8000) + "\"", ""},
		{"record", "{" + record.String() + "} == {a: 1}", "can never be equal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := `@id("a") permit (principal, action == Action::"connect", resource) when { ` + tt.condition + ` };`
			_, err := policy.Load([]policy.File{{Name: "x.cedar", Text: []byte(text)}})
			if tt.problem == "" && err != nil || tt.problem != "" && (err == nil || !strings.Contains(err.Error(), tt.problem)) {
				t.Errorf("error = %.200v, want %q", err, tt.problem)
			}
		})
	}
}
