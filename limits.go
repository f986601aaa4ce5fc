package sekisho

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Within reports whether a session that was given l may go on as it is where the policies now give other limits:
// nothing that l gives is gone, and nothing is watched more strictly. What a recording holds and who can read it has to be
// the same. TTL and Fresh count only when a session starts.
func (l Limits) Within(now Limits) bool {
	switch {
	case !l.recordedWithin(now), l.Keystrokes != now.Keystrokes, now.Watched && !l.Watched, l.Nested == NestedRecord && now.Nested != NestedRecord:
		return false
	case l.PTY && !now.PTY, l.Shell && !now.Shell, l.Exec && !now.Exec, l.Agent && !now.Agent, l.X11 && !now.X11:
		return false
	case shorter(now.Longest, l.Longest), shorter(now.Idle, l.Idle):
		return false
	}
	return among(l.Subsystems, now.Subsystems) && among(l.Env, now.Env) && among(l.Forward, now.Forward) &&
		among(l.Listen, now.Listen) && slices.EqualFunc(l.Files, now.Files, FileLimit.equal)
}

// recordedWithin reports whether a recording that l asked for is also what now asks for. Whom it is sealed to cannot be
// changed any more: it has to be the same people.
func (l Limits) recordedWithin(now Limits) bool {
	switch {
	case (l.Audit == AuditNone) != (now.Audit == AuditNone), now.Audit.Rank() > l.Audit.Rank():
		return false
	case l.Audit == AuditBounded && now.Audit == AuditBounded && (now.Ahead.Bytes < l.Ahead.Bytes || now.Ahead.Time < l.Ahead.Time):
		return false
	}
	return among(l.Recipients, now.Recipients) && among(now.Recipients, l.Recipients)
}

// shorter compares limits of time, of which 0 is without end.
func shorter(a, b time.Duration) bool { return a != 0 && (b == 0 || a < b) }

func among[E comparable](some, all []E) bool {
	return !slices.ContainsFunc(some, func(e E) bool { return !slices.Contains(all, e) })
}

func (f FileLimit) equal(g FileLimit) bool {
	return f.ReadOnly == g.ReadOnly && f.NoRemove == g.NoRemove && slices.Equal(f.Paths, g.Paths)
}

// Brief tells in a few words what a connection may not do that others may, and what it may that others may not. It is
// empty for one that has only what every permit gives, and for limits of a time before there were such. That it is
// recorded is not in it, but that what is typed is.
func (l Limits) Brief() string {
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
	add(len(l.Files) > 0 && !slices.ContainsFunc(l.Files, FileLimit.all), "files %s", briefFiles(l.Files))
	add(len(l.Forward) > 0, "forward %s", briefPlaces(l.Forward))
	add(len(l.Listen) > 0, "listen %s", briefPlaces(l.Listen))
	add(l.Agent, "agent")
	add(l.X11, "x11")
	add(l.Keystrokes, "keystrokes recorded")
	add(l.Nested == NestedRecord, "nested recorded")
	add(l.Longest > 0, "longest %s", Span(l.Longest))
	add(l.Idle > 0, "idle %s", Span(l.Idle))
	add(l.Fresh > 0, "fresh %s", Span(l.Fresh))
	return strings.Join(parts, ", ")
}

func (f FileLimit) all() bool { return len(f.Paths) == 0 && !f.ReadOnly && !f.NoRemove }

// briefFiles tells a single limit on files; several may differ from path to path.
func briefFiles(list []FileLimit) string {
	if len(list) != 1 {
		return "limited"
	}
	var words []string
	if list[0].ReadOnly {
		words = append(words, "read-only")
	} else if list[0].NoRemove {
		words = append(words, "no-remove")
	}
	if paths := list[0].Paths; len(paths) > 0 {
		words = append(words, "in "+few(paths))
	}
	return strings.Join(words, " ")
}

func briefPlaces(list []Destination) string {
	names := make([]string, len(list))
	for i, d := range list {
		names[i] = d.String()
	}
	return few(names)
}

// few gives the first names of a list, and how many more there are.
func few(names []string) string {
	const most = 2
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], " "), more)
	}
	return strings.Join(names, " ")
}

// Span writes a duration as policies and people do, without the zeros that String ends in: 8h, 1h30m, 45s.
func Span(d time.Duration) string {
	s := d.String()
	if short, ok := strings.CutSuffix(s, "m0s"); ok {
		s = short + "m"
	}
	if short, ok := strings.CutSuffix(s, "h0m"); ok {
		s = short + "h"
	}
	return s
}
