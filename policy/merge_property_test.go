package policy_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
)

// some gives a random few of the words, at times none.
func (w world) some(words ...string) string {
	var out []string
	for _, word := range words {
		if w.IntN(3) == 0 {
			out = append(out, word)
		}
	}
	return strings.Join(out, " ")
}

// annotations are those of one permit: often of a shell without much else, at times of files, tunnels and all the rest.
func (w world) annotations() string {
	var out []string
	maybe := func(key string, values ...string) {
		if w.IntN(4) == 0 {
			out = append(out, fmt.Sprintf("@%s(%q)", key, pick(w, values...)))
		}
	}
	switch w.IntN(4) {
	case 0:
		out = append(out, `@shell("deny") @exec("deny")`)
		maybe("files", "all", "read-only", "no-remove", "read-only no-remove")
		maybe("paths", "/srv", "/srv/data /home/ann", "/home")
		maybe("subsystems", "sftp", "sftp netconf")
	case 1:
		out = append(out, `@shell("deny") @exec("deny")`)
		maybe("subsystems", "", "netconf", "*")
	default:
		maybe("shell", "allow", "deny")
		maybe("exec", "allow", "deny")
		maybe("subsystems", "*", w.some("sftp", "netconf", "x"))
	}
	maybe("audit", "strict", "bounded", "bounded 4KiB 1m", "bounded 64MiB 10ms", "best-effort")
	maybe("keystrokes", "record", "none")
	maybe("recipients", "auditors", "dpo auditors", "rk_0011223344556677")
	maybe("watched", "told", "silent")
	maybe("ttl", "10s", "1m", "8h")
	maybe("pty", "allow", "deny")
	maybe("env", "*", w.some("LANG", "LC_*", "GIT_*", "GIT_DIR"))
	maybe("agent", "allow", "deny")
	maybe("x11", "allow", "deny")
	everywhere := w.IntN(6) == 0
	for _, key := range []string{"forward", "listen"} {
		if everywhere {
			out = append(out, fmt.Sprintf("@%s(%q)", key, "*:*"))
		} else {
			maybe(key, "*:*", w.some("db2:5432", "10.0.0.0/8:443", "*.internal:80-90", "/run/*.sock", "*:22"))
		}
	}
	maybe("nested", "refuse", "record", "record")
	maybe("longest", "5s", "1h", "8h")
	maybe("idle", "10s", "15m")
	maybe("fresh", "10s", "1h")
	return strings.Join(out, " ")
}

// may is all that limits could be asked for, as a reader of the documentation would judge it.
func may(l sekisho.Limits) map[string]bool {
	out := map[string]bool{"pty": l.PTY, "shell": l.Shell, "exec": l.Exec, "agent": l.Agent, "x11": l.X11}
	for _, name := range []string{"sftp", "netconf", "x", "other"} {
		out["subsystem "+name] = slices.Contains(l.Subsystems, name) || slices.Contains(l.Subsystems, "*")
	}
	for _, name := range []string{"LANG", "LC_ALL", "GIT_DIR", "GIT_X", "LD_PRELOAD"} {
		out["env "+name] = slices.ContainsFunc(l.Env, func(form string) bool {
			prefix, open := strings.CutSuffix(form, "*")
			return name == form || open && strings.HasPrefix(name, prefix)
		})
	}
	for list, destinations := range map[string][]sekisho.Destination{"forward": l.Forward, "listen": l.Listen} {
		for _, host := range []string{"db2", "10.1.2.3", "a.internal", "else"} {
			for _, port := range []uint16{22, 85, 443, 5432} {
				out[fmt.Sprintf("%s %s:%d", list, host, port)] = slices.ContainsFunc(destinations, func(d sekisho.Destination) bool { return d.Holds(host, port) })
			}
		}
		for _, socket := range []string{"/run/a.sock", "/run/x/a.sock"} {
			out[list+" "+socket] = slices.ContainsFunc(destinations, func(d sekisho.Destination) bool { return d.HoldsSocket(socket) })
		}
	}
	for _, name := range []string{"/srv", "/srv/data/x", "/srv2", "/home/ann/x", "/etc/passwd"} {
		for _, how := range []string{"read", "write", "remove"} {
			out[how+" "+name] = l.Shell || l.Exec || out["subsystem sftp"] && slices.ContainsFunc(l.Files, func(f sekisho.FileLimit) bool {
				within := slices.ContainsFunc(f.Paths, func(p string) bool { return name == p || strings.HasPrefix(name, p+"/") })
				return (within || len(f.Paths) == 0) && !(f.ReadOnly && how != "read") && !(f.NoRemove && how == "remove")
			})
		}
	}
	return out
}

// Several permits give what one of them gives, no more and no less.
func TestMergeGivesTheUnion(t *testing.T) {
	w := world{rand.New(rand.NewPCG(7, 7))}
	answers := map[bool]int{}
	for range 300 {
		var permits []string
		union := map[string]bool{}
		for range 1 + w.IntN(4) {
			permits = append(permits, w.annotations())
			for what, yes := range may(given(t, permits[len(permits)-1])) {
				union[what] = union[what] || yes
			}
		}
		got := may(given(t, permits...))
		if diff := cmp.Diff(union, got); diff != "" {
			t.Fatalf("together they give (-union +got):\n%s\n%s", diff, strings.Join(permits, "\n"))
		}
		for _, yes := range got {
			answers[yes]++
		}
	}
	if answers[true] < 1000 || answers[false] < 1000 {
		t.Errorf("too few of one answer: %v", answers)
	}
}

// Several permits watch as the strictest of them does.
func TestMergeWatchesAsTheStrictest(t *testing.T) {
	w := world{rand.New(rand.NewPCG(8, 8))}
	for range 300 {
		var permits []string
		var each []sekisho.Limits
		for range 1 + w.IntN(4) {
			permits = append(permits, w.annotations())
			each = append(each, given(t, permits[len(permits)-1]))
		}
		got := given(t, permits...)
		refused, keystrokes, told, strictest, named := false, false, false, 0, map[string]bool{}
		for _, l := range each {
			refused, strictest = refused || l.Nested == sekisho.NestedRefuse, max(strictest, l.Audit.Rank())
			keystrokes, told = keystrokes || l.Keystrokes, told || l.Watched
			for _, name := range l.Recipients {
				named[name] = true
			}
			if l.Audit == sekisho.AuditBounded && got.Audit == l.Audit && (got.Ahead.Bytes > l.Ahead.Bytes || got.Ahead.Time > l.Ahead.Time) {
				t.Fatalf("%v ahead where one permit says %v\n%s", got.Ahead, l.Ahead, strings.Join(permits, "\n"))
			}
			for _, span := range [][2]time.Duration{{got.Longest, l.Longest}, {got.Idle, l.Idle}, {got.Fresh, l.Fresh}} {
				if span[1] != 0 && (span[0] == 0 || span[0] > span[1]) {
					t.Fatalf("%v where one permit says %v\n%s", span[0], span[1], strings.Join(permits, "\n"))
				}
			}
		}
		if got.Audit.Rank() != strictest || (got.Nested == sekisho.NestedRefuse) != refused || got.Keystrokes != keystrokes || got.Watched != told {
			t.Fatalf("audit %q, nested %q, keystrokes %v, told %v\n%s", got.Audit, got.Nested, got.Keystrokes, got.Watched, strings.Join(permits, "\n"))
		}
		if (got.Audit == sekisho.AuditBounded) != (got.Ahead != sekisho.Ahead{}) {
			t.Fatalf("audit %q with %v ahead\n%s", got.Audit, got.Ahead, strings.Join(permits, "\n"))
		}
		if want := slices.Sorted(maps.Keys(named)); !slices.Equal(got.Recipients, want) {
			t.Fatalf("recipients %v, want %v\n%s", got.Recipients, want, strings.Join(permits, "\n"))
		}
	}
}

// Whatever is not audited is what a certificate can hold: the pass door has nothing else.
func TestUnauditedIsHeldByACertificate(t *testing.T) {
	w := world{rand.New(rand.NewPCG(9, 9))}
	unaudited := 0
	for range 2000 {
		var permits []string
		for range 1 + w.IntN(3) {
			permits = append(permits, w.annotations())
		}
		got := given(t, permits...)
		if got.Audit != sekisho.AuditNone {
			continue
		}
		unaudited++
		want := plain(lasting(got.TTL), func(l *sekisho.Limits) {
			l.PTY, l.Agent, l.X11, l.Fresh = got.PTY, got.Agent, got.X11, got.Fresh
			if len(got.Forward)+len(got.Listen) > 0 {
				l.Forward, l.Listen = destinations(t, "*:*"), destinations(t, "*:*")
			}
		})
		if diff := cmp.Diff(want, got, sameDestinations); diff != "" {
			t.Fatalf("no certificate holds (-holds +got):\n%s\n%s", diff, strings.Join(permits, "\n"))
		}
	}
	if unaudited < 20 {
		t.Errorf("only %d were not audited", unaudited)
	}
}

// Neither the order of permits nor saying one twice changes anything.
func TestMergeOrderAndRepetition(t *testing.T) {
	w := world{rand.New(rand.NewPCG(10, 10))}
	for range 300 {
		var permits []string
		for range 1 + w.IntN(4) {
			permits = append(permits, w.annotations())
		}
		want := given(t, permits...)
		again := append(slices.Clone(permits), pick(w, permits...))
		w.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		if diff := cmp.Diff(want, given(t, again...), sameDestinations); diff != "" {
			t.Fatalf("another order, one twice (-before +after):\n%s\n%s", diff, strings.Join(again, "\n"))
		}
	}
}
