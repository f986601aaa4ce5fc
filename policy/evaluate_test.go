package policy_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/policy"
)

var (
	now = time.Date(2026, 3, 4, 9, 30, 0, 0, time.UTC)
	db1 = &sekisho.Target{Name: "db1", Labels: []string{"env:prod", "app:ledger"}, Logins: []string{"root", "deploy"}}
	dev = &sekisho.Target{Name: "dev1", Labels: []string{"env:dev"}, Logins: []string{"root", "deploy"}}
)

const srePolicy = `@id("sre-prod") @audit("strict") @ttl("5m") permit (principal in Group::"sre", action == Action::"connect", resource)
	when { resource.labels.contains("env:prod") && resource.logins.contains(context.login) };`

func load(t testing.TB, text string) *policy.Set {
	t.Helper()
	set, err := policy.Load([]policy.File{{Name: "test.cedar", Text: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func someone(name string, groups ...string) sekisho.Identity {
	return sekisho.Identity{Subject: name + "@example.com", Issuer: "https://idp.example.com", Groups: groups, AuthTime: now.Add(-time.Hour)}
}

func connect(i sekisho.Identity, target *sekisho.Target, login string) policy.Request {
	return policy.Request{Action: policy.Connect, Identity: i, Target: target, Login: login, ClientAddress: netip.MustParseAddr("192.0.2.7")}
}

func denied(policies []string, reason, next string) sekisho.Decision {
	return sekisho.Decision{Effect: sekisho.Deny, Policies: policies, Reason: reason, Next: next}
}

func allowed(limits sekisho.Limits, policies ...string) sekisho.Decision {
	return sekisho.Decision{Effect: sekisho.Allow, Policies: policies, Limits: limits}
}

// plain is what a permit without annotations gives, with changes.
func plain(changes ...func(*sekisho.Limits)) sekisho.Limits {
	l := sekisho.Limits{TTL: 2 * time.Minute, PTY: true, Shell: true, Exec: true, Subsystems: []string{"*"},
		Env: []string{"COLORTERM", "LANG", "LC_*"}, Files: []sekisho.FileLimit{{}}}
	for _, change := range changes {
		change(&l)
	}
	return l
}

func strict(l *sekisho.Limits) { l.Audit = sekisho.AuditStrict }

func bestEffort(l *sekisho.Limits) { l.Audit = sekisho.AuditBestEffort }

func bounded(bytes int64, span time.Duration) func(*sekisho.Limits) {
	return func(l *sekisho.Limits) {
		l.Audit, l.Ahead = sekisho.AuditBounded, sekisho.Ahead{Bytes: bytes, Time: span}
	}
}

// session asks for something about a session of mei's.
func session(action policy.Action, i sekisho.Identity, target *sekisho.Target) policy.Request {
	return policy.Request{Action: action, Identity: i, Target: target, Login: "gone", Person: "mei@example.com"}
}

func lasting(ttl time.Duration) func(*sekisho.Limits) {
	return func(l *sekisho.Limits) { l.TTL = ttl }
}

// sameDestinations lets cmp compare what hides its fields.
var sameDestinations = cmp.Comparer(func(a, b sekisho.Destination) bool { return a == b })

func TestEvaluate(t *testing.T) {
	audited := *db1
	audited.Audited = true
	mfa := someone("sam", "sre")
	mfa.Methods = []string{"pwd", "mfa"}
	tests := []struct {
		name, policies string
		request        policy.Request
		want           sekisho.Decision
	}{
		{"permit in group", srePolicy, connect(someone("sam", "dev", "sre"), db1, "root"),
			allowed(plain(strict, lasting(5*time.Minute)), "sre-prod")},
		{"near miss by group", srePolicy, connect(someone("ken", "dev"), db1, "root"),
			denied(nil, "No policy lets ken@example.com (groups: dev) onto db1 as root; policy sre-prod lets group sre do so.",
				"Ask an administrator to add you to group sre, or to write a policy that permits group dev.")},
		{"near miss without groups", srePolicy, connect(someone("ken"), db1, "root"),
			denied(nil, "No policy lets ken@example.com (no groups) onto db1 as root; policy sre-prod lets group sre do so.",
				"Ask an administrator to add you to group sre, or to write a policy that permits ken@example.com.")},
		{"no near miss where the label differs", srePolicy, connect(someone("ken", "dev"), dev, "root"),
			denied(nil, "No policy lets ken@example.com (groups: dev) onto dev1 as root.",
				"Ask an administrator to write a policy that permits group dev.")},
		{"no near miss where a forbid stands in the way",
			srePolicy + `@id("never") forbid (principal in Group::"sre", action == Action::"connect", resource) when { principal in Group::"dev" };`,
			connect(someone("ken", "dev"), db1, "root"),
			denied(nil, "No policy lets ken@example.com (groups: dev) onto db1 as root.", "Ask an administrator to write a policy that permits group dev.")},
		{"near miss by person", `@id("only-ann") permit (principal == Person::"ann@example.com", action == Action::"connect", resource);`,
			connect(someone("ken", "dev", "ops"), db1, "root"),
			denied(nil, "No policy lets ken@example.com (groups: dev, ops) onto db1 as root; policy only-ann lets ann@example.com do so.",
				"Ask an administrator to write a policy that permits one of your groups.")},
		{"near miss by resource", `@id("db-team") permit (principal is Person in Group::"dba", action == Action::"connect", resource == Target::"db1");
			@id("other") permit (principal in Group::"web", action == Action::"connect", resource == Target::"web1");` + srePolicy,
			connect(someone("ken", "dev"), db1, "root"),
			denied(nil, "No policy lets ken@example.com (groups: dev) onto db1 as root; policy db-team lets group dba and policy sre-prod lets group sre do so.",
				"Ask an administrator to add you to group dba or group sre, or to write a policy that permits group dev.")},
		{"a second factor is missing", `@id("mfa") permit (principal in Group::"sre", action == Action::"connect", resource) when { principal.methods.contains("mfa") };`,
			connect(someone("sam", "sre"), db1, "root"),
			denied(nil, "No policy lets sam@example.com (groups: sre) onto db1 as root without a second factor; policy mfa lets you do so with one.",
				"Sign in again with a second factor.")},
		{"a second factor is there", `@id("mfa") permit (principal in Group::"sre", action == Action::"connect", resource) when { principal.methods.contains("mfa") };`,
			connect(mfa, db1, "root"), allowed(plain(), "mfa")},
		{"forbid outweighs permit", srePolicy + `@id("freeze") forbid (principal, action == Action::"connect", resource == Target::"db1");`,
			connect(someone("sam", "sre"), db1, "root"),
			denied([]string{"freeze"}, "Policy freeze forbids sam@example.com (groups: sre) to go onto db1 as root.",
				"No permit outweighs a forbid: ask an administrator about policy freeze.")},
		{"a login the target lacks", `@id("all") permit (principal, action, resource);`, connect(someone("sam", "sre"), db1, "oracle"),
			denied(nil, "Target db1 has no login oracle.", "Check the login, or ask an administrator to add oracle to the logins of db1.")},
		{"an audited target is audited whatever the policy says", `@id("all") permit (principal, action, resource);`, connect(someone("sam"), &audited, "root"),
			allowed(plain(strict), "all")},
		{"an audited target may be recorded less strictly", `@id("all") @audit("bounded") permit (principal, action == Action::"connect", resource);`,
			connect(someone("sam"), &audited, "root"), allowed(plain(bounded(1<<20, time.Second)), "all")},
		{"a permit without a word on audit is strict on an audited target", `@id("a") @audit("bounded") permit (principal, action == Action::"connect", resource);
			@id("b") permit (principal, action, resource);`, connect(someone("sam"), &audited, "root"), allowed(plain(strict), "a", "b")},
		{"watching by target and person", `@id("w") permit (principal in Group::"audit", action == Action::"watchSessions", resource)
			when { resource.labels.contains("env:prod") && context.person == "mei@example.com" && context.login == "gone" };`,
			session(policy.WatchSessions, someone("kay", "audit"), db1), allowed(sekisho.Limits{}, "w")},
		{"watching is not ending", `@id("w") permit (principal, action == Action::"watchSessions", resource);`,
			session(policy.EndSessions, someone("kay"), db1),
			denied(nil, "No policy lets kay@example.com (no groups) end a session of mei@example.com on db1 as gone.",
				"Ask an administrator to write a policy that permits kay@example.com.")},
		{"ending one's own", `@id("own") permit (principal, action == Action::"endSessions", resource) when { context.person == principal.subject };`,
			session(policy.EndSessions, someone("mei"), db1), allowed(sekisho.Limits{}, "own")},
		{"watching missed", `@id("w") permit (principal in Group::"audit", action == Action::"watchSessions", resource) when { resource.labels.contains("env:prod") };`,
			session(policy.WatchSessions, someone("ken", "dev"), db1),
			denied(nil, "No policy lets ken@example.com (groups: dev) watch a session of mei@example.com on db1 as gone; policy w lets group audit do so.",
				"Ask an administrator to add you to group audit, or to write a policy that permits group dev.")},
		{"watching forbidden", `@id("w") permit (principal, action, resource); @id("f") forbid (principal, action == Action::"watchSessions", resource == Target::"db1");`,
			session(policy.WatchSessions, someone("ken"), db1),
			denied([]string{"f"}, "Policy f forbids ken@example.com (no groups) to watch a session of mei@example.com on db1 as gone.",
				"No permit outweighs a forbid: ask an administrator about policy f.")},
		{"watching nowhere", `@id("all") permit (principal, action, resource);`, session(policy.WatchSessions, someone("ken"), nil),
			denied(nil, "There is no such target.", "Check the name, or ask an administrator.")},
		{"an issuer by name and account", `@id("git") permit (principal, action == Action::"certify", resource == Issuer::"git") when { principal.account == "ken" && resource.name like "g*" };`,
			policy.Request{Action: policy.Certify, Identity: someone("KEN"), Issuer: "git"}, allowed(sekisho.Limits{}, "git")},
		{"an issuer missed", `@id("git") permit (principal in Group::"dev", action == Action::"certify", resource == Issuer::"git");`,
			policy.Request{Action: policy.Certify, Identity: someone("ken"), Issuer: "git"},
			denied(nil, "No policy lets ken@example.com (no groups) get certificates from issuer git; policy git lets group dev do so.",
				"Ask an administrator to add you to group dev, or to write a policy that permits ken@example.com.")},
		{"no issuer", `@id("all") permit (principal, action, resource);`, policy.Request{Action: policy.Certify, Identity: someone("ken")},
			denied(nil, "There is no such issuer.", "Check the name: sekisho ca issuers lists them.")},
		{"publishing is not connecting", srePolicy, policy.Request{Action: policy.PublishKeys, Identity: someone("sam", "sre"), Target: db1, Login: "root"},
			denied(nil, "No policy lets sam@example.com (groups: sre) publish keys for root on db1.", "Ask an administrator to write a policy that permits group sre.")},
		{"publishing for a login the target lacks", `@id("all") permit (principal, action, resource);`,
			policy.Request{Action: policy.PublishKeys, Identity: someone("sam"), Target: db1, Login: "oracle"},
			denied(nil, "Target db1 has no login oracle.", "Check the login, or ask an administrator to add oracle to the logins of db1.")},
		{"managing CAs", `@id("ca") permit (principal, action == Action::"manageCA", resource);`, policy.Request{Action: policy.RevokeCertificates, Identity: someone("kay")},
			denied(nil, "No policy lets kay@example.com (no groups) revoke certificates.", "Ask an administrator to write a policy that permits kay@example.com.")},
		{"limits of several permits", `
			@id("a") @ttl("30s") @pty("deny") permit (principal, action == Action::"connect", resource);
			@id("b") @ttl("8h") permit (principal in Group::"sre", action == Action::"connect", resource);
			@id("c") @audit("strict") @ttl("10s") @pty("deny") permit (principal == Person::"sam@example.com", action == Action::"connect", resource);`,
			connect(someone("sam", "sre"), db1, "root"),
			allowed(plain(strict, lasting(8*time.Hour)), "a", "b", "c")},
		{"limits of one permit", `@id("a") @ttl("30s") @pty("deny") permit (principal, action == Action::"connect", resource);`,
			connect(someone("sam", "sre"), db1, "root"), allowed(plain(lasting(30*time.Second), func(l *sekisho.Limits) { l.PTY = false }), "a")},
		{"person's attributes", `@id("a") permit (principal, action == Action::"connect", resource) when {
				principal.subject == "sam@example.com" && principal.email like "*@example.com" && principal.issuer == "https://idp.example.com" &&
				principal has auth_time && context.time.durationSince(principal.auth_time) == duration("1h") };`,
			connect(someone("sam"), db1, "root"), allowed(plain(), "a")},
		{"target's attributes and context", `@id("a") permit (principal, action == Action::"connect", resource) when {
				resource.name == "db1" && resource.class == "" && !resource.audited && context.time == datetime("2026-03-04T09:30:00Z") &&
				context has client_address && context.client_address.isInRange(ip("192.0.2.0/24")) };`,
			connect(someone("sam"), db1, "root"), allowed(plain(), "a")},
		{"house action", `@id("auditors") permit (principal in Group::"audit", action == Action::"readAudit", resource == House::"sekisho");`,
			policy.Request{Action: policy.ReadAudit, Identity: someone("kay", "audit")}, allowed(sekisho.Limits{}, "auditors")},
		{"house action missed", `@id("auditors") permit (principal in Group::"audit", action == Action::"readRecordings", resource == House::"sekisho");`,
			policy.Request{Action: policy.ReadRecordings, Identity: someone("ken", "dev")},
			denied(nil, "No policy lets ken@example.com (groups: dev) read recordings; policy auditors lets group audit do so.",
				"Ask an administrator to add you to group audit, or to write a policy that permits group dev.")},
		{"unknown action", `@id("all") permit (principal, action, resource);`, policy.Request{Action: "fly", Identity: someone("ken")},
			denied(nil, "There is nothing called fly to be allowed.", "Update your client, or ask an administrator.")},
		{"nobody", `@id("all") permit (principal, action, resource);`, connect(sekisho.Identity{}, db1, "root"),
			denied(nil, "Nobody is signed in.", "Sign in and try again.")},
		{"no target", `@id("all") permit (principal, action, resource);`, connect(someone("ken"), nil, "root"),
			denied(nil, "There is no such target.", "Check the name, or ask an administrator.")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, load(t, tt.policies).Evaluate(tt.request, now)); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

// The strict validator knows types, not values: sums that overflow pass it. Cedar would skip such a policy.
func TestEvaluateBrokenPolicy(t *testing.T) {
	const overflow = `context.time.toTime().toMilliseconds() + 9223372036854775807 > 0`
	for _, effect := range []string{"permit", "forbid"} {
		set := load(t, srePolicy+"\n@id(\"odd\")\n"+effect+` (principal, action == Action::"connect", resource) when { `+overflow+` };`)
		got := set.Evaluate(connect(someone("sam", "sre"), db1, "root"), now)
		want := denied([]string{"odd"}, "Policy odd could not be evaluated, and so nobody is let in.", got.Next)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: decision (-want +got):\n%s", effect, diff)
		}
		if !strings.HasPrefix(got.Next, "Tell an administrator that policy odd (test.cedar line 3) fails with: ") || !strings.Contains(got.Next, "overflow") {
			t.Errorf("%s: Next = %q", effect, got.Next)
		}
	}
	// It troubles only those whom its head can match.
	set := load(t, srePolicy+`@id("odd") permit (principal in Group::"ops", action == Action::"connect", resource) when { `+overflow+` };`)
	if got := set.Evaluate(connect(someone("sam", "sre"), db1, "root"), now); got.Effect != sekisho.Allow {
		t.Errorf("a broken policy of another group denies: %s", got.Reason)
	}
}

func TestEvaluateWithoutAddress(t *testing.T) {
	set := load(t, `@id("a") permit (principal, action == Action::"connect", resource) when { context has client_address };`)
	r := connect(someone("ken"), db1, "root")
	r.ClientAddress = netip.Addr{}
	if got := set.Evaluate(r, now); got.Effect != sekisho.Deny {
		t.Errorf("effect = %s without an address", got.Effect)
	}
	v4in6 := load(t, `@id("a") permit (principal, action == Action::"connect", resource) when { context has client_address && context.client_address.isIpv4() };`)
	r.ClientAddress = netip.MustParseAddr("::ffff:192.0.2.7")
	if got := v4in6.Evaluate(r, now); got.Effect != sekisho.Allow {
		t.Errorf("an IPv4 address in IPv6 form is not taken as IPv4: %s", got.Reason)
	}
}

// Names from outside cannot make a sentence long, nor move a terminal's cursor.
func TestSentencesAreBounded(t *testing.T) {
	var text strings.Builder
	for _, c := range "abcdefghij" {
		text.WriteString(`@id("` + strings.Repeat(string(c), 64) + `") permit (principal in Group::"` + strings.Repeat(string(c), 4000) + `", action == Action::"connect", resource);`)
	}
	set := load(t, text.String())
	person := someone("ken\x1b[2J" + strings.Repeat("k", 5000))
	for range 500 {
		person.Groups = append(person.Groups, strings.Repeat("z", 1000)+"\n")
	}
	got := set.Evaluate(connect(person, db1, "root"), now)
	if len(got.Reason) > 1500 || len(got.Next) > 1000 {
		t.Errorf("reason has %d bytes, next %d", len(got.Reason), len(got.Next))
	}
	if strings.ContainsAny(got.Reason+got.Next, "\x1b\n") {
		t.Errorf("control characters in %q %q", got.Reason, got.Next)
	}
	login := set.Evaluate(connect(someone("ken"), db1, "\x1b]0;"+strings.Repeat("x", 1<<16)), now)
	if len(login.Reason+login.Next) > 1000 || strings.Contains(login.Reason+login.Next, "\x1b") {
		t.Errorf("login sentence: %.200q", login.Reason+login.Next)
	}
	person.Groups = make([]string, 1001)
	if got := set.Evaluate(connect(person, db1, "root"), now); got.Effect != sekisho.Deny || !strings.Contains(got.Reason, "more groups") {
		t.Errorf("too many groups: %+v", got)
	}
}
