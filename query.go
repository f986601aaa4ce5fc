package sekisho

import "time"

// RecordingQuery selects recordings, newest first. Empty fields select all.
type RecordingQuery struct {
	Person, Target string
	// Session is one session's ID.
	Session string
	// Before is a session ID: only recordings older than it.
	Before string
	State  string
	// Limit is how many at the most; 0 means 100.
	Limit int
}

// EventQuery selects events of the audit log, newest first. Empty fields select all.
type EventQuery struct {
	// Kind is a kind, or a prefix that ends in ".".
	Kind, Actor, Target, Session string
	Since                        time.Time
	// Before is a sequence number: only events with a smaller one. 0 means from the newest.
	Before int64
	// Limit is how many at the most; 0 means 100.
	Limit int
}
