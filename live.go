package sekisho

import "time"

// Live is a session that runs, as its gateway sees it at one moment.
type Live struct {
	Session
	// Limits are those that it was given when it started.
	Limits Limits
	// Relayed says that the gateway ends the SSH (door "audit"), so that the person can be told something. Otherwise the
	// stream is passed through, and nothing is known of channels.
	Relayed bool
	// Idle is how long no byte has moved in either direction.
	Idle time.Duration
	// BytesIn came from the person, BytesOut from the target.
	BytesIn, BytesOut int64
	// Watchers is how many see it.
	Watchers int
	// Channels are the open ones that run a program, by number.
	Channels []LiveChannel
	// Forwards is how many are open.
	Forwards int
}

// LiveChannel is an open channel of a session.
type LiveChannel struct {
	Number uint32
	// Kind is "shell", "exec" or "subsystem", Command what was asked for with it: its first 256 bytes.
	Kind, Command string
}

// Recorded reports whether there is a recording of it.
func (l *Live) Recorded() bool { return l.Audit != AuditNone }
