package policy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/policy"
)

// world makes random policies and requests from few names, so that they often meet. None of its policies fails.
type world struct{ *rand.Rand }

func pick[T any](w world, of ...T) T { return of[w.IntN(len(of))] }

func (w world) policy(id int, effect string) string {
	principal := pick(w, "principal", "principal", `principal in Group::"sre"`, `principal in Group::"dev"`, `principal is Person in Group::"ops"`,
		`principal == Person::"sam@example.com"`, `principal in Person::"ken@example.com"`, "principal is Person")
	action := pick(w, `action == Action::"connect"`, `action in [Action::"connect"]`, `action in Action::"connect"`)
	resource := pick(w, "resource", "resource", `resource == Target::"db1"`, `resource is Target`, `resource in Target::"dev1"`, `resource is Target in Target::"db1"`)
	condition := pick(w, "", "", `when { resource.labels.contains("env:prod") }`, `when { context.login == "root" && resource.labels.contains("env:dev") }`,
		`unless { principal.methods.contains("mfa") }`, `when { principal in [Group::"ops", Group::"sre"] }`)
	return fmt.Sprintf("@id(\"p%d\") %s (%s, %s, %s) %s;\n", id, effect, principal, action, resource, condition)
}

func (w world) policies(n int, effects ...string) string {
	var text strings.Builder
	for i := range n {
		text.WriteString(w.policy(i, pick(w, effects...)))
	}
	return text.String()
}

func (w world) request() policy.Request {
	who := someone(pick(w, "sam", "ken", "ann"))
	for _, g := range []string{"sre", "dev", "ops", "none"} {
		if w.IntN(3) == 0 {
			who.Groups = append(who.Groups, g)
		}
	}
	who.Methods = pick(w, nil, []string{"mfa"})
	return connect(who, pick(w, db1, dev), pick(w, "root", "deploy", "oracle"))
}

func TestNothingIsAllowedWithoutPolicy(t *testing.T) {
	empty, err := policy.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := world{rand.New(rand.NewPCG(1, 1))}
	for range 100 {
		r := w.request()
		r.Action = pick(w, policy.Connect, policy.ReadAudit, policy.ReadRecordings, policy.ManageTargets, policy.WatchSessions, policy.EndSessions,
			policy.Certify, policy.PublishKeys, policy.ManageCA, policy.RevokeCertificates)
		r.Issuer = "git"
		forbids := load(t, w.policies(5, "forbid"))
		for _, set := range []*policy.Set{empty, forbids} {
			if d := set.Evaluate(r, now); d.Effect != sekisho.Deny || d.Reason == "" || d.Next == "" || !reflect.DeepEqual(d.Limits, sekisho.Limits{}) {
				t.Fatalf("%+v for %+v", d, r)
			}
		}
	}
}

func TestForbidWins(t *testing.T) {
	w := world{rand.New(rand.NewPCG(2, 2))}
	forbidden := 0
	for range 300 {
		r := w.request()
		text := w.policies(4, "permit", "permit", "forbid")
		alone := strings.Builder{}
		for _, line := range strings.Split(text, "\n") {
			if strings.Contains(line, "forbid") {
				alone.WriteString(line + "\n")
			}
		}
		forbids := load(t, alone.String()).Evaluate(r, now)
		d := load(t, text).Evaluate(r, now)
		if len(forbids.Policies) == 0 {
			continue
		}
		forbidden++
		if diff := cmp.Diff(forbids, d); diff != "" {
			t.Fatalf("permits change what a forbid decides (-alone +all):\n%s\n%s", diff, text)
		}
	}
	if forbidden < 20 {
		t.Errorf("only %d requests were forbidden", forbidden)
	}
}

func TestAddingAPermitTakesNothingAway(t *testing.T) {
	w := world{rand.New(rand.NewPCG(3, 3))}
	granted := 0
	for range 300 {
		r := w.request()
		text := w.policies(4, "permit", "permit", "permit", "forbid")
		before := load(t, text).Evaluate(r, now)
		after := load(t, text+w.policy(99, "permit")).Evaluate(r, now)
		if before.Effect == sekisho.Allow {
			granted++
			if after.Effect != sekisho.Allow || after.Limits.TTL < before.Limits.TTL || before.Limits.PTY && !after.Limits.PTY {
				t.Fatalf("before %+v, after %+v\n%s", before, after, text)
			}
		}
	}
	if granted < 20 {
		t.Errorf("only %d requests were granted", granted)
	}
}

// The index must not change any decision: the same policies with heads that the index cannot use decide the same.
func TestIndexDecidesAsAScanDoes(t *testing.T) {
	w := world{rand.New(rand.NewPCG(4, 4))}
	for range 300 {
		r := w.request()
		text := w.policies(6, "permit", "permit", "forbid")
		var scan strings.Builder
		for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
			id, rest, _ := strings.Cut(line, ") ")
			effect, inner, _ := strings.Cut(rest, " (")
			end := strings.Index(inner, ")")
			parts := strings.SplitN(inner[:end], ", ", 3)
			fmt.Fprintf(&scan, "%s) %s (principal, action == Action::\"connect\", resource) when { (%s) && (%s) } %s\n", id, effect,
				condition(parts[0]), condition(parts[2]), inner[end+1:])
		}
		got, want := load(t, text).Evaluate(r, now), load(t, scan.String()).Evaluate(r, now)
		got.Reason, got.Next, want.Reason, want.Next = "", "", "", ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("index decides differently (-scan +index):\n%s\n%s\n%s", diff, text, &scan)
		}
	}
}

func condition(part string) string {
	if part == "principal" || part == "resource" {
		return "true"
	}
	return part
}

// Targets that the examples speak of.
var (
	depot     = &sekisho.Target{Name: "files1", Labels: []string{"app:files"}, Logins: []string{"root", "drop"}}
	desk      = &sekisho.Target{Name: "desk1", Labels: []string{"env:dev", "app:workstation"}, Logins: []string{"root", "deploy"}}
	sandbox   = &sekisho.Target{Name: "box1", Labels: []string{"env:sandbox"}, Logins: []string{"root", "deploy"}}
	tunnelled = &sekisho.Target{Name: "db1", Labels: db1.Labels, Logins: []string{"root", "tunnel"}}
)

func examples(t *testing.T) *policy.Set {
	t.Helper()
	paths, err := filepath.Glob("../examples/policies/*.cedar")
	if err != nil || len(paths) < 3 {
		t.Fatalf("found %d examples: %v", len(paths), err)
	}
	var files []policy.File
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, policy.File{Name: filepath.Base(path), Text: text})
	}
	set, err := policy.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestExamples(t *testing.T) {
	set := examples(t)
	appliance := &sekisho.Target{Name: "nas1", Labels: []string{"app:appliance"}, Logins: []string{"deploy"}}
	tests := []struct {
		request policy.Request
		effect  sekisho.Effect
		decider string
	}{
		{connect(someone("sam", "sre"), db1, "deploy"), sekisho.Allow, "sre-prod"},
		{connect(someone("sam", "sre"), db1, "root"), sekisho.Deny, "root-needs-mfa"},
		{connect(someone("ken", "dev"), dev, "deploy"), sekisho.Allow, "dev-nonprod"},
		{connect(someone("ken", "dev"), dev, "root"), sekisho.Deny, ""},
		{connect(someone("deployer"), dev, "deploy"), sekisho.Allow, "deploy-no-terminal"},
		{connect(someone("sue", "suppliers"), depot, "drop"), sekisho.Allow, "suppliers-drop"},
		{connect(someone("sue", "suppliers"), depot, "root"), sekisho.Deny, ""},
		{connect(someone("con", "contractors"), dev, "deploy"), sekisho.Allow, "contractors-nonprod"},
		{connect(someone("con", "contractors"), db1, "deploy"), sekisho.Deny, ""},
		{connect(someone("ida", "ide"), desk, "deploy"), sekisho.Allow, "ide-workstations"},
		{connect(someone("ken", "dev"), sandbox, "deploy"), sekisho.Allow, "sandbox-forwards"},
		{connect(someone("ana", "analysts"), tunnelled, "tunnel"), sekisho.Allow, "analysts-ledger"},
		{connect(someone("ana", "analysts"), tunnelled, "root"), sekisho.Deny, ""},
		{policy.Request{Action: policy.ReadRecordings, Identity: someone("kay", "auditors")}, sekisho.Allow, "auditors"},
		{policy.Request{Action: policy.ReadRecordings, Identity: someone("kay", "auditors", "admins")}, sekisho.Deny, "admins-read-nothing"},
		{policy.Request{Action: policy.ManageTargets, Identity: someone("kay", "admins")}, sekisho.Allow, "admins"},
		{policy.Request{Action: policy.ManageCA, Identity: someone("kay", "admins")}, sekisho.Allow, "admins"},
		{policy.Request{Action: policy.RevokeCertificates, Identity: someone("kay", "auditors")}, sekisho.Deny, ""},
		{policy.Request{Action: policy.Certify, Identity: someone("ken", "dev"), Issuer: "git"}, sekisho.Allow, "dev-git"},
		{policy.Request{Action: policy.Certify, Identity: someone("ken", "dev"), Issuer: "gti"}, sekisho.Deny, ""},
		{policy.Request{Action: policy.PublishKeys, Identity: someone("sam", "sre"), Target: appliance, Login: "deploy"}, sekisho.Allow, "sre-publish-keys"},
		{policy.Request{Action: policy.PublishKeys, Identity: someone("sam", "sre"), Target: db1, Login: "deploy"}, sekisho.Deny, ""},
		{session(policy.WatchSessions, someone("kay", "auditors"), db1), sekisho.Allow, "auditors-watch"},
		{session(policy.WatchSessions, someone("kay", "auditors", "admins"), db1), sekisho.Deny, "admins-read-nothing"},
		{session(policy.WatchSessions, someone("mei"), db1), sekisho.Deny, ""},
		{session(policy.EndSessions, someone("kay", "admins"), db1), sekisho.Allow, "admins-end-sessions"},
		{session(policy.EndSessions, someone("mei"), db1), sekisho.Allow, "own-sessions"},
		{session(policy.EndSessions, someone("ken", "dev"), db1), sekisho.Deny, ""},
	}
	for _, tt := range tests {
		d := set.Evaluate(tt.request, now)
		if d.Effect != tt.effect || tt.decider != "" && !slices.Contains(d.Policies, tt.decider) {
			t.Errorf("%s by %s: %+v, want %s by %s", tt.request.Action, tt.request.Identity.Subject, d, tt.effect, tt.decider)
		}
	}
}

// What the comments in the examples say about recording.
func TestExamplesAudit(t *testing.T) {
	set := examples(t)
	for _, tt := range []struct {
		who    sekisho.Identity
		target *sekisho.Target
		login  string
		audit  sekisho.AuditMode
	}{
		{someone("ken", "dev"), dev, "deploy", sekisho.AuditNone},
		{someone("ken", "dev"), sandbox, "deploy", sekisho.AuditNone},
		{someone("ken", "dev"), desk, "deploy", sekisho.AuditNone},
		{someone("ken", "dev", "ide"), desk, "deploy", sekisho.AuditStrict},
		{someone("sue", "suppliers"), depot, "drop", sekisho.AuditStrict},
		{someone("con", "contractors"), dev, "deploy", sekisho.AuditStrict},
		{someone("ana", "analysts"), tunnelled, "tunnel", sekisho.AuditStrict},
	} {
		if d := set.Evaluate(connect(tt.who, tt.target, tt.login), now); d.Effect != sekisho.Allow || d.Limits.Audit != tt.audit {
			t.Errorf("%s as %s on %s: %+v, want audit %q", tt.who.Subject, tt.login, tt.target.Name, d, tt.audit)
		}
	}
}

func TestSetDescribesItself(t *testing.T) {
	a := policy.File{Name: "a.cedar", Text: []byte("\n" + `@id("one") @ttl("1m") permit (principal, action == Action::"connect", resource);`)}
	b := policy.File{Name: "b.cedar", Text: []byte(`@id("two") forbid (principal, action, resource);`)}
	set, err := policy.Load([]policy.File{b, a})
	if err != nil {
		t.Fatal(err)
	}
	want := []policy.Info{
		{ID: "one", Effect: "permit", File: "a.cedar", Line: 2, Annotations: map[string]string{"id": "one", "ttl": "1m"}},
		{ID: "two", Effect: "forbid", File: "b.cedar", Line: 1, Annotations: map[string]string{"id": "two"}},
	}
	if diff := cmp.Diff(want, set.Policies()); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	set.Policies()[0].Annotations["ttl"] = "24h"
	if got := set.Policies()[0].Annotations["ttl"]; got != "1m" {
		t.Errorf("a caller can change the set: ttl is %s", got)
	}
	digests := map[string]bool{set.Digest(): true}
	for _, files := range [][]policy.File{nil, {a}, {b}, {{Name: "c.cedar", Text: a.Text}, b}, {{Name: a.Name, Text: a.Text[1:]}, b}} {
		other, err := policy.Load(files)
		if err != nil {
			t.Fatal(err)
		}
		if digests[other.Digest()] || len(other.Digest()) != 64 {
			t.Errorf("digest %q is not its own", other.Digest())
		}
		digests[other.Digest()] = true
	}
	again, err := policy.Load([]policy.File{a, b})
	if err != nil || again.Digest() != set.Digest() {
		t.Errorf("the digest depends on the order of files: %v", err)
	}
}

func TestLoadAcrossFiles(t *testing.T) {
	text := []byte(`@id("one") forbid (principal, action, resource);`)
	_, err := policy.Load([]policy.File{{Name: "b.cedar", Text: text}, {Name: "a.cedar", Text: text}})
	const want = `b.cedar:1:1: @id("one") is taken by the policy at a.cedar:1; every policy needs its own`
	if err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
	if _, err := policy.Load([]policy.File{{Name: "a.cedar", Text: text}, {Name: "a.cedar"}}); err == nil {
		t.Error("two files of one name are taken")
	}
	if _, err := policy.Load(make([]policy.File, 1001)); err == nil {
		t.Error("1001 files are taken")
	}
	many := []byte(strings.Repeat("permit (principal, action, resource);\n", 250))
	var loadError *policy.LoadError
	if _, err := policy.Load([]policy.File{{Name: "many.cedar", Text: many}}); !errors.As(err, &loadError) || len(loadError.Problems) != 100 || loadError.More != 150 {
		t.Errorf("250 problems: %.300v", err)
	}
}

func TestEvaluateFromManyGoroutines(t *testing.T) {
	w := world{rand.New(rand.NewPCG(5, 5))}
	set := load(t, w.policies(50, "permit", "permit", "forbid"))
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			w := world{rand.New(rand.NewPCG(6, uint64(i%2)))}
			for range 100 {
				r := w.request()
				if diff := cmp.Diff(set.Evaluate(r, now), set.Evaluate(r, now)); diff != "" {
					t.Errorf("one request, two decisions:\n%s", diff)
				}
			}
		})
	}
	wait.Wait()
}
