package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
)

func destinations(t testing.TB, list ...string) []sekisho.Destination {
	t.Helper()
	out := make([]sekisho.Destination, len(list))
	for i, s := range list {
		var err error
		if out[i], err = sekisho.ParseDestination(s); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// given is what permits with these annotations, one string each, give together to whom they all let in.
func given(t testing.TB, permits ...string) sekisho.Limits {
	t.Helper()
	var text strings.Builder
	for i, annotations := range permits {
		fmt.Fprintf(&text, "@id(\"p%d\") %s permit (principal, action == Action::\"connect\", resource);\n", i, annotations)
	}
	d := load(t, text.String()).Evaluate(connect(someone("sam"), db1, "root"), now)
	if d.Effect != sekisho.Allow || len(d.Policies) != len(permits) {
		t.Fatalf("%+v by\n%s", d, &text)
	}
	return d.Limits
}

// Every annotation says its limit, and asks for the audit door where no certificate can hold it.
func TestLimits(t *testing.T) {
	nothing := func(l *sekisho.Limits) {
		l.PTY, l.Shell, l.Exec, l.Subsystems, l.Env, l.Files = false, false, false, nil, nil, nil
	}
	drop := func(l *sekisho.Limits) {
		l.PTY, l.Shell, l.Exec, l.Subsystems = false, false, false, []string{"sftp"}
	}
	const noPrograms = `@shell("deny") @exec("deny") `
	for annotations, want := range map[string]sekisho.Limits{
		``:                                plain(),
		`@audit("strict")`:                plain(strict),
		`@audit("bounded")`:               plain(bounded(1<<20, time.Second)),
		`@audit("bounded 256KiB  200ms")`: plain(bounded(256<<10, 200*time.Millisecond)),
		`@audit("bounded 4KiB 10ms")`:     plain(bounded(4<<10, 10*time.Millisecond)),
		`@audit("bounded 64MiB 1m")`:      plain(bounded(64<<20, time.Minute)),
		`@audit("best-effort")`:           plain(bestEffort),
		`@keystrokes("none")`:             plain(strict),
		`@keystrokes("record")`:           plain(strict, func(l *sekisho.Limits) { l.Keystrokes = true }),
		`@recipients("dpo auditors rk_0011223344556677 dpo")`: plain(strict, func(l *sekisho.Limits) {
			l.Recipients = []string{"auditors", "dpo", "rk_0011223344556677"}
		}),
		`@watched("silent")`:                     plain(strict),
		`@watched("told") @audit("best-effort")`: plain(bestEffort, func(l *sekisho.Limits) { l.Watched = true }),
		`@longest("5s") @audit("bounded")`:       plain(bounded(1<<20, time.Second), func(l *sekisho.Limits) { l.Longest = 5 * time.Second }),
		`@ttl("24h")`:                            plain(lasting(24 * time.Hour)),
		`@pty("deny")`:                           plain(func(l *sekisho.Limits) { l.PTY = false }),
		`@pty("allow")`:                          plain(),
		`@shell("allow")`:                        plain(),
		`@exec("allow")`:                         plain(),
		`@shell("deny")`:                         plain(strict, func(l *sekisho.Limits) { l.Shell = false }),
		`@exec("deny")`:                          plain(strict, func(l *sekisho.Limits) { l.Exec = false }),
		`@subsystems("*")`:                       plain(),
		`@subsystems("")`:                        plain(strict, func(l *sekisho.Limits) { l.Subsystems = nil }),
		`@env("")`:                               plain(strict, func(l *sekisho.Limits) { l.Env = nil }),
		`@env("LANG *")`:                         plain(strict, func(l *sekisho.Limits) { l.Env = []string{"*"} }),
		`@agent("allow")`:                        plain(func(l *sekisho.Limits) { l.Agent = true }),
		`@x11("allow")`:                          plain(func(l *sekisho.Limits) { l.X11 = true }),
		`@x11("deny")`:                           plain(),
		`@forward("")`:                           plain(),
		`@nested("refuse")`:                      plain(strict),
		`@nested("record")`:                      plain(strict, func(l *sekisho.Limits) { l.Nested = sekisho.NestedRecord }),
		`@longest("5s")`:                         plain(strict, func(l *sekisho.Limits) { l.Longest = 5 * time.Second }),
		`@longest("720h")`:                       plain(strict, func(l *sekisho.Limits) { l.Longest = 720 * time.Hour }),
		`@idle("15m")`:                           plain(strict, func(l *sekisho.Limits) { l.Idle = 15 * time.Minute }),
		`@fresh("15m")`:                          plain(func(l *sekisho.Limits) { l.Fresh = 15 * time.Minute }),

		`@subsystems("sftp netconf sftp")`: plain(strict, func(l *sekisho.Limits) { l.Subsystems = []string{"netconf", "sftp"} }),
		`@env(" LC_*  GIT_*	_x LC_* ")`:    plain(strict, func(l *sekisho.Limits) { l.Env = []string{"GIT_*", "LC_*", "_x"} }),

		// A certificate gives forwards both ways and everywhere, or none.
		`@forward("*:*") @listen("*:*")`: plain(func(l *sekisho.Limits) { l.Forward, l.Listen = destinations(t, "*:*"), destinations(t, "*:*") }),
		`@forward("*:*")`:                plain(strict, func(l *sekisho.Limits) { l.Forward = destinations(t, "*:*") }),
		`@listen("*:*")`:                 plain(strict, func(l *sekisho.Limits) { l.Listen = destinations(t, "*:*") }),
		`@forward("*:* /run/a.sock") @listen("*:*")`: plain(strict, func(l *sekisho.Limits) {
			l.Forward, l.Listen = destinations(t, "/run/a.sock", "*:*"), destinations(t, "*:*")
		}),
		`@forward("*:* db2:5432") @listen("*:*")`: plain(strict, func(l *sekisho.Limits) {
			l.Forward, l.Listen = destinations(t, "*:*", "db2:5432"), destinations(t, "*:*")
		}),
		`@forward("*:1-65535") @listen("*:1-65535")`: plain(strict, func(l *sekisho.Limits) {
			l.Forward, l.Listen = destinations(t, "*:1-65535"), destinations(t, "*:1-65535")
		}),
		`@forward("db2:5432 10.0.0.0/8:443 DB2:5432") @listen("/tmp/*.sock localhost:8000-9000")`: plain(strict, func(l *sekisho.Limits) {
			l.Forward = destinations(t, "10.0.0.0/8:443", "db2:5432")
			l.Listen = destinations(t, "/tmp/*.sock", "localhost:8000-9000")
		}),

		// What starts no program has no use for a terminal or variables, and moves no file.
		noPrograms: plain(strict, func(l *sekisho.Limits) { l.PTY, l.Shell, l.Exec = false, false, false }),
		noPrograms + `@subsystems("") @pty("allow") @env("LANG")`: plain(strict, nothing),
		noPrograms + `@subsystems("netconf")`: plain(strict, nothing, func(l *sekisho.Limits) {
			l.Subsystems, l.Env = []string{"netconf"}, []string{"COLORTERM", "LANG", "LC_*"}
		}),

		noPrograms + `@files("all")`:       plain(strict, drop),
		noPrograms + `@files("read-only")`: plain(strict, drop, func(l *sekisho.Limits) { l.Files = []sekisho.FileLimit{{ReadOnly: true}} }),
		noPrograms + `@files("no-remove read-only") @paths("/srv/data /home/alice /srv/data")`: plain(strict, drop, func(l *sekisho.Limits) {
			l.Files = []sekisho.FileLimit{{Paths: []string{"/home/alice", "/srv/data"}, ReadOnly: true, NoRemove: true}}
		}),
		noPrograms + `@paths("/") @subsystems("sftp netconf")`: plain(strict, drop, func(l *sekisho.Limits) {
			l.Subsystems, l.Files = []string{"netconf", "sftp"}, []sekisho.FileLimit{{Paths: []string{"/"}}}
		}),
	} {
		if diff := cmp.Diff(want, given(t, annotations), sameDestinations); diff != "" {
			t.Errorf("%s (-want +got):\n%s", annotations, diff)
		}
	}
}

func TestMerge(t *testing.T) {
	const (
		drop   = `@shell("deny") @exec("deny") @paths("/srv/drop") @files("no-remove")`
		tunnel = `@shell("deny") @exec("deny") @subsystems("") @forward("db2:5432")`
		anyway = `@forward("*:*") @listen("*:*")`
	)
	limit := []sekisho.FileLimit{{Paths: []string{"/srv/drop"}, NoRemove: true}}
	for _, tt := range []struct {
		name    string
		permits []string
		want    sekisho.Limits
	}{
		{"unaudited stays unaudited", []string{``, anyway, `@agent("allow")`, `@x11("allow") @fresh("1h")`, `@fresh("15m")`},
			plain(func(l *sekisho.Limits) {
				l.Forward, l.Listen, l.Agent, l.X11 = destinations(t, "*:*"), destinations(t, "*:*"), true, true
				l.Fresh = 15 * time.Minute
			})},
		{"one audited audits all", []string{anyway, `@listen("localhost:80")`},
			plain(strict, func(l *sekisho.Limits) {
				l.Forward, l.Listen = destinations(t, "*:*"), destinations(t, "*:*", "localhost:80")
			})},
		{"a tunnel does not open the files of a drop", []string{drop, tunnel},
			sekisho.Limits{Audit: sekisho.AuditStrict, TTL: 2 * time.Minute, Subsystems: []string{"sftp"}, Env: []string{"COLORTERM", "LANG", "LC_*"},
				Forward: destinations(t, "db2:5432"), Files: limit}},
		{"a tunnel does not bring a terminal", []string{`@pty("deny") @shell("deny")`, tunnel},
			plain(strict, func(l *sekisho.Limits) { l.PTY, l.Shell, l.Forward = false, false, destinations(t, "db2:5432") })},
		{"two drops", []string{drop, `@shell("deny") @exec("deny") @files("read-only")`, drop},
			sekisho.Limits{Audit: sekisho.AuditStrict, TTL: 2 * time.Minute, Subsystems: []string{"sftp"}, Env: []string{"COLORTERM", "LANG", "LC_*"},
				Files: []sekisho.FileLimit{{ReadOnly: true}, limit[0]}}},
		{"a drop and a shell", []string{drop, ``}, plain(strict)},
		{"names add up", []string{`@subsystems("sftp") @env("GIT_*")`, `@subsystems("netconf sftp") @env("LANG GIT_*")`, `@subsystems("") @env("")`},
			plain(strict, func(l *sekisho.Limits) { l.Subsystems, l.Env = []string{"netconf", "sftp"}, []string{"GIT_*", "LANG"} })},
		{"any stands alone", []string{`@subsystems("sftp") @env("GIT_*")`, `@env("*")`},
			plain(strict, func(l *sekisho.Limits) { l.Env = []string{"*"} })},
		{"the shortest holds", []string{`@longest("8h") @idle("1h")`, `@longest("30m") @fresh("1h")`, `@idle("15m")`, ``},
			plain(strict, func(l *sekisho.Limits) { l.Longest, l.Idle, l.Fresh = 30*time.Minute, 15*time.Minute, time.Hour })},
		{"the strictest recording holds", []string{`@audit("best-effort")`, `@audit("bounded 8KiB 20s")`, `@audit("bounded 1MiB 50ms")`, ``},
			plain(bounded(8<<10, 50*time.Millisecond))},
		{"strict has no bounds", []string{`@audit("bounded 8KiB 20s")`, `@audit("strict")`, `@audit("bounded")`}, plain(strict)},
		{"what only the audit door holds is strict without a word", []string{`@audit("best-effort")`, `@longest("1h")`},
			plain(strict, func(l *sekisho.Limits) { l.Longest = time.Hour })},
		{"keystrokes are recorded and the watched are told", []string{`@keystrokes("record") @audit("bounded")`, `@keystrokes("none") @watched("silent") @audit("bounded")`, `@watched("told") @audit("bounded")`},
			plain(bounded(1<<20, time.Second), func(l *sekisho.Limits) { l.Keystrokes, l.Watched = true, true })},
		{"recipients add up", []string{`@recipients("b a")`, ``, `@recipients("c b")`},
			plain(strict, func(l *sekisho.Limits) { l.Recipients = []string{"a", "b", "c"} })},
		{"nested is refused unless all record it", []string{`@nested("record")`, ``}, plain(strict)},
		{"nested is recorded if all do", []string{`@nested("record")`, `@nested("record")`},
			plain(strict, func(l *sekisho.Limits) { l.Nested = sekisho.NestedRecord })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, given(t, tt.permits...), sameDestinations); diff != "" {
				t.Errorf("limits (-want +got):\n%s", diff)
			}
		})
	}
}

// What permits give together is bounded: beyond it nobody is let in, and is told why.
func TestMergeTooMuch(t *testing.T) {
	permits := func(n int) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, `@id("p%03d") @forward("`, i)
			for j := range 64 {
				fmt.Fprintf(&text, "h%d:%d ", i, j)
			}
			text.WriteString("\") permit (principal, action == Action::\"connect\", resource);\n")
		}
		return text.String()
	}
	request := connect(someone("sam"), db1, "root")
	if d := load(t, permits(4)).Evaluate(request, now); d.Effect != sekisho.Allow || len(d.Limits.Forward) != 256 {
		t.Errorf("256 destinations: %s, %d given", d.Effect, len(d.Limits.Forward))
	}
	want := denied([]string{"p000", "p001", "p002", "p003", "p004"},
		"Policies p000, p001, p002 and 2 more let sam@example.com (no groups) onto db1 as root, but together they list more than a decision holds.",
		"Ask an administrator to list less in them: at most 256 destinations, variables, recipients or file limits together.")
	if diff := cmp.Diff(want, load(t, permits(5)).Evaluate(request, now), sameDestinations); diff != "" {
		t.Errorf("320 destinations (-want +got):\n%s", diff)
	}
}

// Decisions share lists with the set: merging must not write into them.
func TestMergeLeavesRulesAlone(t *testing.T) {
	set := load(t, `
		@id("a") @env("B D F") @forward("b:1 d:1") permit (principal, action == Action::"connect", resource);
		@id("b") @env("A C E") @forward("a:1 c:1") permit (principal in Group::"sre", action == Action::"connect", resource);`)
	alone, both := connect(someone("ken"), db1, "root"), connect(someone("sam", "sre"), db1, "root")
	before := set.Evaluate(alone, now).Limits
	set.Evaluate(both, now)
	_ = append(before.Env, "Z")
	if got := set.Evaluate(alone, now).Limits; strings.Join(got.Env, " ") != "B D F" || fmt.Sprint(got.Forward) != "[b:1 d:1]" {
		t.Errorf("one permit now gives %v %v", got.Env, got.Forward)
	}
	if got := set.Evaluate(both, now).Limits; strings.Join(got.Env, " ") != "A B C D E F" || fmt.Sprint(got.Forward) != "[a:1 b:1 c:1 d:1]" {
		t.Errorf("both now give %v %v", got.Env, got.Forward)
	}
}
