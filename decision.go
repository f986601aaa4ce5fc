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
)

// Limits are what an allowed session may do.
type Limits struct {
	Audit AuditMode `json:"audit,omitempty"`
	// TTL is how long the certificate is valid.
	TTL time.Duration `json:"ttl"`
	// PTY says whether a terminal may be asked for.
	PTY bool `json:"pty"`
}

// Decision is what the policies make of one question.
type Decision struct {
	Effect Effect `json:"effect"`
	// Policies are the @id of the policies that decided, sorted. Empty: nothing permitted it.
	Policies []string `json:"policies,omitempty"`
	Limits   Limits   `json:"limits"`
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
