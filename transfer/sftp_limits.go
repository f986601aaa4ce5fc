package transfer

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sekisho/sekisho"
)

// sftpLimits are what a conversation may do; it is allowed what one of the rules allows. Touched by FromUser only.
type sftpLimits struct {
	free     bool // everything
	rules    []sftpRule
	resolved bool   // the rules' prefixes are the target's
	outside  string // why what is not within the prefixes is refused
}

// Why limits refuse, besides sftpLimits.outside.
const (
	whyNothing  = "no policy gives you files here"
	whyReadOnly = "by policy, files are read-only here"
	whyNoRemove = "by policy, nothing is removed, renamed or cut short here"
	whyApart    = "by policy, this is not done from one of these places to the other"
	whyUnopened = "it was not opened to be written"
)

// sftpMaxNamed is how many prefixes a refusal names.
const sftpMaxNamed = 3

type sftpRule struct {
	act      sftpAct // the furthest that it allows
	anywhere bool
	under    []string // prefixes
}

func newSFTPLimits(limits []sekisho.FileLimit) (l sftpLimits) {
	for _, limit := range limits {
		rule := sftpRule{act: sftpRemoves, anywhere: len(limit.Paths) == 0, under: limit.Paths}
		if limit.NoRemove {
			rule.act = sftpChanges
		}
		if limit.ReadOnly {
			rule.act = sftpReads
		}
		l.rules = append(l.rules, rule)
		l.free = l.free || rule.anywhere && rule.act == sftpRemoves
	}
	l.outside = "by policy, only what is in " + named(limits) + " may be touched"
	return l
}

// named names the prefixes, the first of them where there are many.
func named(limits []sekisho.FileLimit) string {
	var prefixes []string
	for _, limit := range limits {
		prefixes = append(prefixes, limit.Paths...)
	}
	slices.Sort(prefixes)
	prefixes = slices.Compact(prefixes)
	more := len(prefixes) - sftpMaxNamed
	var names []string
	for _, prefix := range prefixes[:min(len(prefixes), sftpMaxNamed)] {
		names = append(names, cut(toldPath([]byte(prefix)), 128))
	}
	if more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	if last := len(names) - 1; last > 0 {
		return strings.Join(names[:last], ", ") + " and " + names[last]
	}
	return strings.Join(names, "")
}

// why says which limit it is that does not allow act in all the places; none are given where it allows act nowhere.
func (l *sftpLimits) why(act sftpAct, places ...string) string {
	each := func(act sftpAct) bool {
		for _, place := range places {
			if !l.allow(act, place) {
				return false
			}
		}
		return len(places) > 0 || l.allow(act)
	}
	switch {
	case !each(sftpReads):
		return l.outside
	case act > sftpReads && !each(sftpChanges):
		return whyReadOnly
	case act == sftpRemoves && !each(sftpRemoves):
		return whyNoRemove
	}
	return whyApart
}

// everywhere says that act is allowed wherever it is done.
func (l *sftpLimits) everywhere(act sftpAct) bool {
	for _, r := range l.rules {
		if r.anywhere && r.act >= act {
			return true
		}
	}
	return false
}

// somewhere says that there may be a place where act is allowed.
func (l *sftpLimits) somewhere(act sftpAct) bool {
	for _, r := range l.rules {
		if r.act >= act {
			return true
		}
	}
	return false
}

// allow says that one rule allows act in all the places. They are canonical paths, as the target told them.
func (l *sftpLimits) allow(act sftpAct, places ...string) bool {
	for _, r := range l.rules {
		if r.act >= act && r.holds(places) {
			return true
		}
	}
	return false
}

// furthest is the furthest that is allowed in a place, which is empty where it is not known.
func (l *sftpLimits) furthest(place string) (act sftpAct) {
	for _, r := range l.rules {
		if r.anywhere || place != "" && r.holds([]string{place}) {
			act = max(act, r.act)
		}
	}
	return act
}

func (r *sftpRule) holds(places []string) bool {
	for _, place := range places {
		if !r.anywhere && prefixOf(place, r.under) == "" {
			return false
		}
	}
	return true
}

// prefixOf is the prefix that place lies in, or is.
func prefixOf(place string, prefixes []string) string {
	for _, prefix := range prefixes {
		if below, ok := strings.CutPrefix(place, prefix); ok && (below == "" || below[0] == '/' || prefix == "/") {
			return prefix
		}
	}
	return ""
}

// prefix says that p is a prefix itself.
func (l *sftpLimits) prefix(p string) bool {
	for _, r := range l.rules {
		if !r.anywhere && slices.Contains(r.under, p) {
			return true
		}
	}
	return false
}

// resolve has the target tell where the prefixes lead, once. One that cannot be resolved allows nothing.
func (w *SFTPWatcher) resolve() error {
	if w.limits.resolved {
		return nil
	}
	for i := range w.limits.rules {
		rule := &w.limits.rules[i]
		var questions []sftpQuestion
		for _, prefix := range rule.under {
			if path.IsAbs(prefix) {
				questions = append(questions, sftpQuestion{fxpRealpath, path.Clean(prefix)})
			}
		}
		replies, err := w.ask(questions...)
		if err != nil {
			return err
		}
		rule.under = nil
		for _, reply := range replies {
			if reply.code == fxOK {
				rule.under = append(rule.under, reply.path)
			}
		}
	}
	w.limits.resolved = true
	return nil
}
