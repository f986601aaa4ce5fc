package policy

import (
	"slices"

	"github.com/sekisho/sekisho"
)

// settle brings the limits of one permit into agreement, or says which annotation cannot hold, and why.
func (r *rule) settle() (key, text string) {
	l := &r.limits
	for _, key := range []string{"files", "paths"} {
		if r.has(key) {
			if text := r.aboutFiles(); text != "" {
				return key, text
			}
		}
	}
	// A terminal, variables and files that are given for nothing here must not add up with another permit's programs.
	l.PTY = l.PTY && (l.Shell || l.Exec)
	if !l.Shell && !l.Exec && len(l.Subsystems) == 0 {
		l.Env = nil
	}
	if !l.Shell && !l.Exec && !gives(l.Subsystems, "sftp") {
		l.Files = nil
	}
	if l.Audit == sekisho.AuditNone && r.needsAudit() {
		l.Audit = sekisho.AuditStrict
	}
	return "", ""
}

// aboutFiles says why limits on files would hold nothing in this permit. Left to itself, it gives no subsystem but SFTP.
func (r *rule) aboutFiles() string {
	l := &r.limits
	var deny []string
	if l.Shell {
		deny = append(deny, `@shell("deny")`)
	}
	if l.Exec {
		deny = append(deny, `@exec("deny")`)
	}
	if !r.has("subsystems") {
		l.Subsystems = []string{"sftp"}
	}
	switch {
	case len(deny) > 0:
		return "holds nothing beside a shell or a command, for either can touch every file: add " + list(deny, "and")
	case slices.Equal(l.Subsystems, anySubsystem):
		return `holds nothing beside other subsystems, for they can be any program: write @subsystems("sftp")`
	case !gives(l.Subsystems, "sftp"):
		return "says what SFTP may do, which @subsystems does not give: add sftp there"
	}
	return ""
}

// needsAudit reports whether only the audit door can hold the permit to its annotations. A certificate, which is all that
// the pass door has, says no more than terminal, agent and display each yes or no, and forwards of all kinds or none.
func (r *rule) needsAudit() bool {
	l := &r.limits
	return !l.Shell || !l.Exec || !slices.Equal(l.Subsystems, anySubsystem) || anywhere(l.Forward) != anywhere(l.Listen) ||
		!anywhere(l.Forward) && len(l.Forward)+len(l.Listen) > 0 ||
		slices.ContainsFunc([]string{"env", "nested", "files", "paths", "longest", "idle", "keystrokes", "recipients", "watched"}, r.has)
}

func (r *rule) has(key string) bool {
	_, ok := r.annotations[key]
	return ok
}

// anywhere reports whether a list is of every host and port and says no more.
func anywhere(list []sekisho.Destination) bool { return len(list) == 1 && list[0].Any() }

func gives(subsystems []string, name string) bool {
	return slices.Contains(subsystems, name) || slices.Equal(subsystems, anySubsystem)
}
