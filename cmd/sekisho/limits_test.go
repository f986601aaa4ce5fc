package main

import (
	"testing"
	"time"

	"github.com/sekisho/sekisho"
)

func TestLimited(t *testing.T) {
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
		"":                   every(func(*sekisho.Limits) {}),
		"no pty":             every(func(l *sekisho.Limits) { l.PTY = false }),
		"no subsystem, x11":  every(func(l *sekisho.Limits) { l.Subsystems, l.X11 = nil, true }),
		"agent, fresh 1h30m": every(func(l *sekisho.Limits) { l.Agent, l.Fresh = true, 90*time.Minute }),
		"no shell, no exec, subsystem sftp, files limited":                                             {Subsystems: []string{"sftp"}, Files: []sekisho.FileLimit{{ReadOnly: true}}},
		"no shell, no exec, no subsystem, forward db2:5432, listen db2:5432 *.internal:443 and 1 more": {Forward: list[:1], Listen: list},
		"nested recorded, longest 8h, idle 15m, fresh 10s": every(func(l *sekisho.Limits) {
			l.Nested, l.Longest, l.Idle, l.Fresh = sekisho.NestedRecord, 8*time.Hour, 15*time.Minute, 10*time.Second
		}),
	} {
		if got := limited(l); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	// A line of a time when limits were terminal and ttl only says nothing about the others.
	if got := limited(sekisho.Limits{Audit: sekisho.AuditStrict, TTL: time.Minute, PTY: true}); got != "" {
		t.Errorf("an old decision is told as %q", got)
	}
}
