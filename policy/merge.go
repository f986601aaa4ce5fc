package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
)

// maxMerged is how many entries each list of merged limits has at the most: a decision is one line of the audit log.
const maxMerged = 256

// merge folds the limits of permits that all allow. What gives adds up; of what watches, the strictest holds. It is
// false where that is more than a decision may say. The lists of the outcome can be those of the rules.
func merge(permits []*rule) (sekisho.Limits, bool) {
	all := permits[0].limits
	for _, r := range permits[1:] {
		give(&all, &r.limits)
		watch(&all, &r.limits)
		if max(len(all.Subsystems), len(all.Env), len(all.Forward), len(all.Listen), len(all.Files), len(all.Recipients)) > maxMerged {
			return sekisho.Limits{}, false
		}
	}
	return all, true
}

func give(all, more *sekisho.Limits) {
	all.TTL = max(all.TTL, more.TTL)
	all.PTY, all.Shell, all.Exec = all.PTY || more.PTY, all.Shell || more.Shell, all.Exec || more.Exec
	all.Agent, all.X11 = all.Agent || more.Agent, all.X11 || more.X11
	all.Subsystems = union(all.Subsystems, more.Subsystems, strings.Compare, anyName)
	all.Env = union(all.Env, more.Env, strings.Compare, anyName)
	all.Forward = union(all.Forward, more.Forward, sekisho.Destination.Compare, nil)
	all.Listen = union(all.Listen, more.Listen, sekisho.Destination.Compare, nil)
	all.Files = union(all.Files, more.Files, compareFiles, anyFile)
}

func watch(all, more *sekisho.Limits) {
	stricter(all, more)
	all.Keystrokes, all.Watched = all.Keystrokes || more.Keystrokes, all.Watched || more.Watched
	all.Recipients = union(all.Recipients, more.Recipients, strings.Compare, nil)
	if more.Nested == sekisho.NestedRefuse {
		all.Nested = sekisho.NestedRefuse
	}
	all.Longest = shortest(all.Longest, more.Longest)
	all.Idle = shortest(all.Idle, more.Idle)
	all.Fresh = shortest(all.Fresh, more.Fresh)
}

// shortest is the shorter of two spans; 0 is without end.
func shortest(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// union adds to a, which is sorted, what b has and a has not. An entry that is everything sorts first and stands alone.
// It makes no list where there is nothing to add; the one it gives has no room to grow, so that adding to it, here or
// by whoever gets it, does not write into a rule's.
func union[T any](a, b []T, compare func(T, T) int, everything func(T) bool) []T {
	whole := func() bool { return everything != nil && len(a) > 0 && everything(a[0]) }
	if whole() {
		return a
	}
	for _, entry := range b {
		if i, found := slices.BinarySearchFunc(a, entry, compare); !found {
			a = slices.Insert(a, i, entry)
		}
	}
	if whole() {
		return a[:1:1]
	}
	return slices.Clip(a)
}

func anyName(name string) bool { return name == "*" }

func anyFile(f sekisho.FileLimit) bool { return len(f.Paths) == 0 && !f.ReadOnly && !f.NoRemove }

func compareFiles(a, b sekisho.FileLimit) int {
	return cmp.Or(slices.Compare(a.Paths, b.Paths), compareBools(a.ReadOnly, b.ReadOnly), compareBools(a.NoRemove, b.NoRemove))
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
