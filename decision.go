package sekisho

import (
	"errors"
	"time"
)

// Effect is what a decision says.
type Effect string

const (
	Allow Effect = "allow"
	Deny  Effect = "deny"
)

// AuditMode says whether the gateway ends the SSH itself and how strictly it records.
type AuditMode string

const (
	// AuditNone passes the stream through untouched.
	AuditNone AuditMode = ""
	// AuditStrict delivers no byte to the user before the frame that holds it is durable.
	AuditStrict AuditMode = "strict"
	// AuditBounded delivers while no more than Limits.Ahead is not durable yet.
	AuditBounded AuditMode = "bounded"
	// AuditBestEffort never waits for the disk, and says what it lost.
	AuditBestEffort AuditMode = "best-effort"
)

// Rank orders the modes by how strict they are, from 0 for AuditNone. What is no mode at all is as strict as AuditStrict.
func (m AuditMode) Rank() int {
	switch m {
	case AuditNone:
		return 0
	case AuditBestEffort:
		return 1
	case AuditBounded:
		return 2
	}
	return 3
}

// Ahead is how far what the user sees may be ahead of what is durable. The zero Ahead is not at all.
type Ahead struct {
	Bytes int64         `json:"bytes"`
	Time  time.Duration `json:"time"`
}

// Limits are what an allowed session may do. Where several permits allow it, what they give adds up, and of what
// they watch (Audit, Keystrokes, Watched, Nested, Longest, Idle, Fresh) the strictest holds.
type Limits struct {
	Audit AuditMode `json:"audit,omitempty"`
	// Ahead is there with AuditBounded only.
	Ahead Ahead `json:"ahead,omitzero"`
	// Keystrokes says that what the user types is recorded, too.
	Keystrokes bool `json:"keystrokes,omitempty"`
	// Recipients are labels or IDs of the keys that the recording is sealed to; empty: the house's default.
	Recipients []string `json:"recipients,omitempty"`
	// Watched says that the user is told when somebody watches the session.
	Watched bool `json:"watched,omitempty"`
	// TTL is how long the certificate is valid.
	TTL time.Duration `json:"ttl"`
	// PTY, Shell and Exec say whether a terminal may be asked for, a login shell or a command be started.
	PTY   bool `json:"pty"`
	Shell bool `json:"shell"`
	Exec  bool `json:"exec"`
	// Subsystems are those that may be started, by name; "*" is any.
	Subsystems []string `json:"subsystems,omitempty"`
	// Env are the environment variables that may be set: names, "*" at the end standing for any ending.
	Env []string `json:"env,omitempty"`
	// Agent and X11 say whether the user's agent or display may be forwarded to the target.
	Agent bool `json:"agent,omitempty"`
	X11   bool `json:"x11,omitempty"`
	// Forward is where the user may reach through the target (ssh -L, -D, -W), Listen where the target may listen for
	// the user (ssh -R).
	Forward []Destination `json:"forward,omitempty"`
	Listen  []Destination `json:"listen,omitempty"`
	// Nested says what becomes of SSH inside a forward.
	Nested NestedMode `json:"nested,omitempty"`
	// Files are what SFTP may do; an operation is allowed if one of them allows it.
	Files []FileLimit `json:"files,omitempty"`
	// Longest is how long a session may last, Idle how long it may be silent; 0 is without end.
	Longest time.Duration `json:"longest,omitempty"`
	Idle    time.Duration `json:"idle,omitempty"`
	// Fresh is how long ago the person may have proved themselves when a session starts; 0 is any time.
	Fresh time.Duration `json:"fresh,omitempty"`
}

// NestedMode says what becomes of SSH inside a forward.
type NestedMode string

const (
	// NestedRefuse closes the forward.
	NestedRefuse NestedMode = ""
	// NestedRecord ends the inner SSH at the gateway, as a session of its own with a decision of its own. It is recorded,
	// whatever that decision says of audit.
	NestedRecord NestedMode = "record"
)

// FileLimit is what SFTP may do. The zero FileLimit allows everything.
type FileLimit struct {
	// Paths are absolute; what is in them or below may be touched. Empty: everything.
	Paths []string `json:"paths,omitempty"`
	// ReadOnly allows nothing that changes a file, a folder or an attribute.
	ReadOnly bool `json:"read_only,omitempty"`
	// NoRemove allows neither removing nor renaming, nor cutting a file short that is there.
	NoRemove bool `json:"no_remove,omitempty"`
}

// Decision is what the policies make of one question.
type Decision struct {
	Effect Effect `json:"effect"`
	// Policies are the @id of the policies that decided, sorted. Empty: nothing permitted it.
	Policies []string `json:"policies,omitempty"`
	Limits   Limits   `json:"limits,omitzero"`
	// Reason is one sentence for the person, Next what they can do about it; both empty when allowed.
	Reason string `json:"reason,omitempty"`
	Next   string `json:"next,omitempty"`
}

// Refusal is an error with two voices: Sentence and Next are for the person, Cause is for the log.
type Refusal struct {
	// Sentence says in one sentence what was refused and by which policy.
	Sentence string
	// Next says what the person can do next.
	Next string
	// Cause is what really happened; it never reaches the person.
	Cause error
}

// Error is the voice for the log.
func (r *Refusal) Error() string {
	if r.Cause != nil {
		return r.Sentence + ": " + r.Cause.Error()
	}
	return r.Sentence
}

func (r *Refusal) Unwrap() error { return r.Cause }

// Say is the voice for the person: the sentence and the next step. Errors that are no refusal give a general
// sentence, so that no inner cause leaks.
func Say(err error) string {
	var r *Refusal
	if !errors.As(err, &r) {
		return "Something went wrong on our side; the administrator's log has the cause."
	}
	if r.Next == "" {
		return r.Sentence
	}
	return r.Sentence + " " + r.Next
}
