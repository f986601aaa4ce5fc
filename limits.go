package sekisho

import (
	"slices"
	"time"
)

// Within reports whether a session that was given l may go on as it is where the policies now give other limits:
// nothing that l gives is gone, and nothing is watched more strictly. TTL and Fresh count only when a session starts.
func (l Limits) Within(now Limits) bool {
	switch {
	case l.Audit != now.Audit, l.Nested == NestedRecord && now.Nested != NestedRecord:
		return false
	case l.PTY && !now.PTY, l.Shell && !now.Shell, l.Exec && !now.Exec, l.Agent && !now.Agent, l.X11 && !now.X11:
		return false
	case shorter(now.Longest, l.Longest), shorter(now.Idle, l.Idle):
		return false
	}
	return among(l.Subsystems, now.Subsystems) && among(l.Env, now.Env) && among(l.Forward, now.Forward) &&
		among(l.Listen, now.Listen) && slices.EqualFunc(l.Files, now.Files, FileLimit.equal)
}

// shorter compares limits of time, of which 0 is without end.
func shorter(a, b time.Duration) bool { return a != 0 && (b == 0 || a < b) }

func among[E comparable](some, all []E) bool {
	return !slices.ContainsFunc(some, func(e E) bool { return !slices.Contains(all, e) })
}

func (f FileLimit) equal(g FileLimit) bool {
	return f.ReadOnly == g.ReadOnly && f.NoRemove == g.NoRemove && slices.Equal(f.Paths, g.Paths)
}
