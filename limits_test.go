package sekisho_test

import (
	"testing"
	"time"

	"github.com/sekisho/sekisho"
)

func TestLimitsWithin(t *testing.T) {
	db2, _ := sekisho.ParseDestination("db2:5432")
	db3, _ := sekisho.ParseDestination("db3:5432")
	full := func(change func(*sekisho.Limits)) sekisho.Limits {
		l := sekisho.Limits{Audit: sekisho.AuditStrict, TTL: time.Minute, PTY: true, Shell: true, Exec: true, Agent: true, X11: true,
			Subsystems: []string{"sftp"}, Env: []string{"LANG"}, Forward: []sekisho.Destination{db2}, Listen: []sekisho.Destination{db2},
			Nested: sekisho.NestedRecord, Recipients: []string{"auditors", "dpo"}, Files: []sekisho.FileLimit{{Paths: []string{"/srv"}}}, Longest: time.Hour, Idle: time.Minute,
			Fresh: time.Hour}
		change(&l)
		return l
	}
	before := full(func(*sekisho.Limits) {})
	for what, c := range map[string]struct {
		change func(*sekisho.Limits)
		within bool
	}{
		"the same":        {func(*sekisho.Limits) {}, true},
		"other ttl":       {func(l *sekisho.Limits) { l.TTL, l.Fresh = time.Second, time.Second }, true},
		"more":            {func(l *sekisho.Limits) { l.Forward = append(l.Forward, db3); l.Env = append(l.Env, "X") }, true},
		"longer":          {func(l *sekisho.Limits) { l.Longest, l.Idle = 0, time.Hour }, true},
		"shorter":         {func(l *sekisho.Limits) { l.Longest = time.Minute }, false},
		"less idle":       {func(l *sekisho.Limits) { l.Idle = time.Second }, false},
		"no audit":        {func(l *sekisho.Limits) { l.Audit = sekisho.AuditNone }, false},
		"bounded":         {func(l *sekisho.Limits) { l.Audit, l.Ahead = sekisho.AuditBounded, sekisho.Ahead{Bytes: 1, Time: 1} }, true},
		"best effort":     {func(l *sekisho.Limits) { l.Audit = sekisho.AuditBestEffort }, true},
		"keystrokes":      {func(l *sekisho.Limits) { l.Keystrokes = true }, false},
		"told":            {func(l *sekisho.Limits) { l.Watched = true }, false},
		"fewer readers":   {func(l *sekisho.Limits) { l.Recipients = []string{"dpo"} }, false},
		"more readers":    {func(l *sekisho.Limits) { l.Recipients = []string{"auditors", "dpo", "x"} }, false},
		"no terminal":     {func(l *sekisho.Limits) { l.PTY = false }, false},
		"no shell":        {func(l *sekisho.Limits) { l.Shell = false }, false},
		"no exec":         {func(l *sekisho.Limits) { l.Exec = false }, false},
		"no agent":        {func(l *sekisho.Limits) { l.Agent = false }, false},
		"no x11":          {func(l *sekisho.Limits) { l.X11 = false }, false},
		"no nested":       {func(l *sekisho.Limits) { l.Nested = sekisho.NestedRefuse }, false},
		"other forward":   {func(l *sekisho.Limits) { l.Forward = []sekisho.Destination{db3} }, false},
		"no listen":       {func(l *sekisho.Limits) { l.Listen = nil }, false},
		"other env":       {func(l *sekisho.Limits) { l.Env = []string{"TZ"} }, false},
		"other subsystem": {func(l *sekisho.Limits) { l.Subsystems = []string{"netconf"} }, false},
		"read-only":       {func(l *sekisho.Limits) { l.Files = []sekisho.FileLimit{{Paths: []string{"/srv"}, ReadOnly: true}} }, false},
		"other paths":     {func(l *sekisho.Limits) { l.Files = []sekisho.FileLimit{{Paths: []string{"/opt"}}} }, false},
	} {
		if got := before.Within(full(c.change)); got != c.within {
			t.Errorf("%s: %v", what, got)
		}
	}
	if full(func(l *sekisho.Limits) { l.Longest = 0 }).Within(before) {
		t.Error("a session without end goes on where an hour is the longest")
	}
}

// A recording may become less strict while it is made, not stricter.
func TestLimitsWithinRecording(t *testing.T) {
	bounded := func(bytes int64, span time.Duration) sekisho.Limits {
		return sekisho.Limits{Audit: sekisho.AuditBounded, Ahead: sekisho.Ahead{Bytes: bytes, Time: span}}
	}
	strict, bestEffort, none := sekisho.Limits{Audit: sekisho.AuditStrict}, sekisho.Limits{Audit: sekisho.AuditBestEffort}, sekisho.Limits{}
	told := sekisho.Limits{Audit: sekisho.AuditStrict, Watched: true}
	for _, c := range []struct {
		before, now sekisho.Limits
		within      bool
	}{
		{bounded(2, 2), strict, false}, {bestEffort, bounded(2, 2), false}, {none, bestEffort, false}, {bestEffort, none, false},
		{bounded(2, 2), bestEffort, true}, {strict, bounded(2, 2), true}, {bounded(2, 2), bounded(2, 2), true}, {bounded(2, 2), bounded(3, 9), true},
		{bounded(2, 2), bounded(1, 9), false}, {bounded(2, 2), bounded(9, 1), false}, {none, none, true}, {told, strict, true}, {strict, told, false},
	} {
		if got := c.before.Within(c.now); got != c.within {
			t.Errorf("%+v where now is %+v: %v", c.before, c.now, got)
		}
	}
}

func TestLimitsInBrief(t *testing.T) {
	every := func(change func(*sekisho.Limits)) sekisho.Limits {
		l := sekisho.Limits{TTL: time.Minute, PTY: true, Shell: true, Exec: true, Subsystems: []string{"*"}, Files: []sekisho.FileLimit{{}}}
		change(&l)
		return l
	}
	var list []sekisho.Destination
	for _, s := range []string{"db2:5432", "*.internal:443", "/run/a.sock"} {
		d, err := sekisho.ParseDestination(s)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	for want, l := range map[string]sekisho.Limits{
		"":                    every(func(*sekisho.Limits) {}),
		"no pty":              every(func(l *sekisho.Limits) { l.PTY = false }),
		"keystrokes recorded": every(func(l *sekisho.Limits) { l.Audit, l.Keystrokes, l.Watched = sekisho.AuditStrict, true, true }),
		"no subsystem, x11":   every(func(l *sekisho.Limits) { l.Subsystems, l.X11 = nil, true }),
		"agent, fresh 1h30m":  every(func(l *sekisho.Limits) { l.Agent, l.Fresh = true, 90*time.Minute }),
		"no shell, no exec, subsystem sftp, files read-only":                                           {Subsystems: []string{"sftp"}, Files: []sekisho.FileLimit{{ReadOnly: true, NoRemove: true}}},
		"no shell, no exec, subsystem sftp, files no-remove in /a /b and 1 more":                       {Subsystems: []string{"sftp"}, Files: []sekisho.FileLimit{{NoRemove: true, Paths: []string{"/a", "/b", "/c"}}}},
		"no shell, no exec, subsystem sftp, files limited":                                             {Subsystems: []string{"sftp"}, Files: []sekisho.FileLimit{{ReadOnly: true}, {Paths: []string{"/a"}}}},
		"no shell, no exec, no subsystem, forward db2:5432, listen db2:5432 *.internal:443 and 1 more": {Forward: list[:1], Listen: list},
		"nested recorded, longest 8h, idle 15m, fresh 10s": every(func(l *sekisho.Limits) {
			l.Nested, l.Longest, l.Idle, l.Fresh = sekisho.NestedRecord, 8*time.Hour, 15*time.Minute, 10*time.Second
		}),
	} {
		if got := l.Brief(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	// A line of a time when limits were terminal and ttl only says nothing about the others.
	if got := (sekisho.Limits{Audit: sekisho.AuditStrict, TTL: time.Minute, PTY: true}).Brief(); got != "" {
		t.Errorf("an old decision is told as %q", got)
	}
}
