package sekisho

import "time"

// Event is one line of the audit log. Its JSON, with Seq and Time filled in by the log, is the leaf that the
// Merkle tree holds, byte for byte.
type Event struct {
	// Seq is the line's index in the log, from 0, without gaps.
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`
	// Who did it: a person's subject, or "connector:NAME", "gateway:NAME", "control".
	Actor         string `json:"actor,omitempty"`
	SignIn        string `json:"sign_in,omitempty"`
	Session       string `json:"session,omitempty"`
	Target        string `json:"target,omitempty"`
	Login         string `json:"login,omitempty"`
	ClientAddress string `json:"client_address,omitempty"`
	// Decision is there on kind "decision" and where a door judged.
	Decision *Decision `json:"decision,omitempty"`
	// Certificate is there on kind "certificate"; its serial is the line's own Seq.
	Certificate *CertificateRecord `json:"certificate,omitempty"`
	// Error is the cause of a failure, for administrators.
	Error string `json:"error,omitempty"`
	// Detail holds the few facts that only this kind has; keys are documented with the kind.
	Detail map[string]string `json:"detail,omitempty"`
}

// Kinds of events. Detail keys are named beside each.
const (
	EventSignIn             = "sign-in"             // detail: device, issuer
	EventSignInRefused      = "sign-in.refused"     // error
	EventSignInEnded        = "sign-in.ended"       // detail: why (logout, expired, revoked)
	EventProofAsked         = "proof.asked"         // a person is to prove themselves for one connection; detail: why (ended, stale, no certificate)
	EventProofGiven         = "proof.given"         // they did, sign_in says by which sign-in; detail: how (renewed, began)
	EventProofRefused       = "proof.refused"       // error
	EventDecision           = "decision"            // decision
	EventCertificate        = "certificate"         // certificate
	EventCertificateRefused = "certificate.refused" // an issuer refused; detail: issuer, rule, key; error
	EventCAKey              = "ca.key"              // a CA's key stepped; detail: ca, type, key, state, before, store (its kind), forced (yes), reason, lagging (how many hosts)
	EventRevoked            = "revoked"             // from now on; detail: revocation, kind, value, reason, until
	EventRevocationLifted   = "revocation.lifted"   // detail: revocation, kind, value, reason
	EventTokenMade          = "token.made"          // an API token; detail: token, name, scopes, expires, from
	EventTokenEnded         = "token.ended"         // detail: token, name
	EventTokenRefused       = "token.refused"       // somebody used one for what it is not for; detail: token, scope; error
	EventKeyPublished       = "key.published"       // it may log in; decision; detail: published, key, targets, expires, reason, allow, from
	EventKeyWithdrawn       = "key.withdrawn"       // detail: published, key, targets
	EventSessionStarted     = "session.started"     // detail: door (pass, audit), way, parent (the session it came through), request (the target token), certificate (serial of the one that the gateway was shown)
	EventSessionEnded       = "session.ended"       // detail: seconds, bytes_in, bytes_out, refused; error
	EventSessionRefused     = "session.refused"     // detail: way, parent; error
	EventVisit              = "visit"               // somebody came to the SSH port without saying where to; session is the visit's ID
	EventSessionWarned      = "session.warned"      // it will end soon; detail: limit (longest, idle), seconds, told (how many channels could be told)
	EventSessionWatched     = "session.watched"     // somebody watches it from now on; decision; detail: person (whose it is), offset, told (how many channels were told)
	EventSessionUnwatched   = "session.unwatched"   // they do not any more; detail: person, seconds, bytes, why
	EventSessionStopped     = "session.stopped"     // somebody ends it; decision, unless it is their own; detail: person, reason
	EventChannel            = "session.channel"     // detail: channel, type, command or subsystem
	EventRequest            = "session.request"     // detail: channel, type (pty-req, env, signal, break, x11-req …), value
	EventFile               = "session.file"        // detail: channel, protocol, operation, path, to, bytes, result, seconds, sha256
	EventForward            = "session.forward"     // detail: channel, type, destination, origin
	EventForwardClosed      = "forward.closed"      // detail: channel, bytes_in, bytes_out, seconds, why
	EventListen             = "session.listen"      // the target listens for the user; detail: type, address, state (open, closed)
	EventChannelRefused     = "channel.refused"     // detail: channel, type, destination, why; the first 100 of a session
	EventChannelClosed      = "channel.closed"      // detail: channel, exit_status or exit_signal
	EventRecordingOpened    = "recording.opened"    // detail: header (hex SHA-256), recipients
	EventRecordingClosed    = "recording.closed"    // detail: chain, bytes
	EventRecordingCut       = "recording.interrupted"
	EventRecordingLost      = "recording.lost"    // best-effort: at the first loss, and at the end; detail: bytes (lost until now), why; error
	EventRecipientsLoaded   = "recipients.loaded" // who can open recordings from now on; detail: keys (ID, label, and whether it must be named)
	EventRecordingRead      = "recording.read"    // somebody downloaded it
	EventTargetAdded        = "target.added"      // detail: labels, logins, audited, mapping, addresses
	EventTargetHostKey      = "target.host_key"   // its connector reports another one; detail: key, before (fingerprints)
	EventConnectorJoined    = "connector.joined"
	EventConnectorRefused   = "connector.refused" // error
	EventConnectorConnected = "connector.linked"
	EventConnectorLost      = "connector.unlinked"
	EventPolicyLoaded       = "policy.loaded"  // detail: policies, digest
	EventPolicyRefused      = "policy.refused" // error
	EventStarted            = "control.started"
)
