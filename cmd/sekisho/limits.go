package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
)

// limited tells in a few words what a connection may not do that others may, and what it may that others may not. It is
// empty for one that has only what every permit gives, and for decisions of a time before there were such limits.
func limited(l sekisho.Limits) string {
	if !l.Shell && !l.Exec && len(l.Subsystems)+len(l.Forward)+len(l.Listen) == 0 {
		return ""
	}
	var parts []string
	add := func(when bool, format string, args ...any) {
		if when {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(!l.Shell, "no shell")
	add(!l.Exec, "no exec")
	add(!l.PTY && (l.Shell || l.Exec), "no pty")
	add(len(l.Subsystems) == 0, "no subsystem")
	add(len(l.Subsystems) > 0 && !slices.Contains(l.Subsystems, "*"), "subsystem %s", strings.Join(l.Subsystems, " "))
	add(len(l.Files) > 0 && !slices.ContainsFunc(l.Files, everyFile), "files limited")
	add(len(l.Forward) > 0, "forward %s", places(l.Forward))
	add(len(l.Listen) > 0, "listen %s", places(l.Listen))
	add(l.Agent, "agent")
	add(l.X11, "x11")
	add(l.Nested == sekisho.NestedRecord, "nested recorded")
	add(l.Longest > 0, "longest %s", brief(l.Longest))
	add(l.Idle > 0, "idle %s", brief(l.Idle))
	add(l.Fresh > 0, "fresh %s", brief(l.Fresh))
	return strings.Join(parts, ", ")
}

func everyFile(f sekisho.FileLimit) bool { return len(f.Paths) == 0 && !f.ReadOnly && !f.NoRemove }

// places names the first few destinations, and how many more there are.
func places(list []sekisho.Destination) string {
	const most = 2
	var out []string
	for i, d := range list {
		if i == most {
			out = append(out, fmt.Sprintf("and %d more", len(list)-most))
			break
		}
		out = append(out, d.String())
	}
	return strings.Join(out, " ")
}

// brief writes a span without the zeros that String ends in: 8h for 8h0m0s.
func brief(d time.Duration) string {
	s := d.String()
	if short, ok := strings.CutSuffix(s, "m0s"); ok {
		s = short + "m"
	}
	if short, ok := strings.CutSuffix(s, "h0m"); ok {
		s = short + "h"
	}
	return s
}
