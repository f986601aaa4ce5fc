package sekisho

import "time"

// CertificateRecord is all that a certificate will say, written to the log before it is signed.
type CertificateRecord struct {
	// Issuer is the way it was asked for: "people", "gateways", "hosts", or one that the configuration adds.
	Issuer string `json:"issuer"`
	// Type is "user" or "host".
	Type string `json:"type"`
	// KeyID is the certificate's Key ID without its last field, the serial, which is the event's Seq.
	KeyID string `json:"key_id"`
	// Key is the certified key's SHA256 fingerprint, CA the fingerprint of the key that signs.
	Key         string    `json:"key"`
	CA          string    `json:"ca"`
	Principals  []string  `json:"principals"`
	ValidAfter  time.Time `json:"valid_after"`
	ValidBefore time.Time `json:"valid_before"`
	// Extensions and Options are the extensions and critical options (PROTOCOL.certkeys), sorted by name; one that has a
	// value as "name=value".
	Extensions []string `json:"extensions,omitempty"`
	Options    []string `json:"options,omitempty"`
}

// CA is a certificate authority: a name that stays, and keys that come and go.
type CA struct {
	// Name is "user", "gateway" or "host", or of the form CheckCAName lets in.
	Name string `json:"name"`
	// Type is what it signs: "user" or "host" certificates.
	Type string  `json:"type"`
	Keys []CAKey `json:"keys"`
	// Revision goes up with every change; who saves says which one was read.
	Revision int64 `json:"revision"`
}

// CAKey is one key of a CA.
type CAKey struct {
	// Fingerprint is "SHA256:…", Line the public key as an authorized_keys line without comment.
	Fingerprint string `json:"fingerprint"`
	Line        string `json:"line"`
	// Store is the URI of the private key in its key store.
	Store string     `json:"store"`
	State CAKeyState `json:"state"`
	// When it came into each state; zero where it never did.
	Announced time.Time `json:"announced,omitzero"`
	Trusted   time.Time `json:"trusted,omitzero"`
	Issuing   time.Time `json:"issuing,omitzero"`
	Retiring  time.Time `json:"retiring,omitzero"`
	Retired   time.Time `json:"retired,omitzero"`
	// LastExpiry is when the last certificate that it signed expires; known from Retiring on.
	LastExpiry time.Time `json:"last_expiry,omitzero"`
}

// CAKeyState is where a key of a CA stands. It only ever moves down this list.
type CAKeyState string

const (
	CAKeyAnnounced CAKeyState = "announced" // hosts are told to trust it
	CAKeyTrusted   CAKeyState = "trusted"   // they all report that they do
	CAKeyIssuing   CAKeyState = "issuing"   // it signs; one key of a CA does
	CAKeyRetiring  CAKeyState = "retiring"  // it signs no more, what it signed is still valid
	CAKeyRetired   CAKeyState = "retired"   // hosts are told to trust it no more
)

// InForce reports whether hosts are to trust a key in that state.
func (s CAKeyState) InForce() bool { return s != CAKeyRetired }

// HostReport is what a connector last said of a target's host.
type HostReport struct {
	Target string    `json:"target"`
	At     time.Time `json:"at"`
	// Managed says that the connector keeps the host's sshd in step; otherwise it cannot know the rest.
	Managed bool `json:"managed"`
	// Trusts are the SHA256 fingerprints of the CAs that sshd trusts.
	Trusts []string `json:"trusts,omitempty"`
	// Revocations is the number of the revocation list that sshd goes by.
	Revocations uint64 `json:"revocations,omitempty"`
	// CertificateCA is the fingerprint of the CA key that signed the host certificate in use, empty where there is none.
	CertificateCA string `json:"certificate_ca,omitempty"`
	// Error is why the last change could not be made.
	Error string `json:"error,omitempty"`
}

// RevocationKind says what a revocation names.
type RevocationKind string

const (
	RevokedPerson      RevocationKind = "person"      // by subject: no certificate of theirs is good, and none is issued
	RevokedSignIn      RevocationKind = "sign-in"     // by ID: it is ended, and so are its certificates
	RevokedCertificate RevocationKind = "certificate" // by serial, in decimal
	RevokedKeyID       RevocationKind = "key-id"      // by the whole Key ID, whatever CA has signed it
	RevokedKey         RevocationKind = "key"         // by SHA256 fingerprint: alone, in a certificate, or published
	RevokedCA          RevocationKind = "ca"          // by SHA256 fingerprint: nothing that this key signed is good
)

// Revocation takes back what was good before.
type Revocation struct {
	ID     string         `json:"id"` // rev_…
	Kind   RevocationKind `json:"kind"`
	Value  string         `json:"value"`
	By     string         `json:"by"`
	Reason string         `json:"reason"`
	At     time.Time      `json:"at"`
	// Until is when it ends by itself; zero: when it is lifted.
	Until    time.Time `json:"until,omitzero"`
	Lifted   time.Time `json:"lifted,omitzero"`
	LiftedBy string    `json:"lifted_by,omitempty"`
	// Seq is the line of the audit log that says so, and the number of the first revocation list with it. LiftedSeq is the
	// same for its end.
	Seq       int64 `json:"seq"`
	LiftedSeq int64 `json:"lifted_seq,omitempty"`
}

// InForce reports whether it holds at that time.
func (r *Revocation) InForce(now time.Time) bool {
	return r.Lifted.IsZero() && (r.Until.IsZero() || now.Before(r.Until))
}

// RevocationQuery picks revocations, newest first.
type RevocationQuery struct {
	// InForce keeps those that hold at that time; zero keeps all.
	InForce time.Time
	// Limit is how many at the most; 0 means 100.
	Limit int
	// Before is an ID: only older ones than that.
	Before string
}

// Token is an API token: what a program calls with. The token itself is never stored.
type Token struct {
	ID     string   `json:"id"` // api_…
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
	// From are the networks it may be used from; empty: anywhere.
	From    []string  `json:"from,omitempty"`
	By      string    `json:"by"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Ended   time.Time `json:"ended,omitzero"`
	// Used is when it was used last, to the minute.
	Used time.Time `json:"used,omitzero"`
	// Hash is the SHA-256 of the token.
	Hash []byte `json:"-"`
}

// PublishedKey is a public key that may log in until it expires, for what cannot use certificates.
type PublishedKey struct {
	ID string `json:"id"` // pub_…
	// Line is the key as an authorized_keys line without comment, Fingerprint its "SHA256:…".
	Line        string   `json:"line"`
	Fingerprint string   `json:"fingerprint"`
	Targets     []string `json:"targets"`
	Login       string   `json:"login"`
	// Allow is what it may do beside running commands and subsystems, From the networks it may come from (empty: anywhere).
	Allow []string `json:"allow,omitempty"`
	From  []string `json:"from,omitempty"`
	// By is whose policies must allow it, as they were when they published it, and from where they did.
	By            Identity  `json:"by"`
	ClientAddress string    `json:"client_address,omitempty"`
	Reason        string    `json:"reason"`
	Published     time.Time `json:"published"`
	Expires       time.Time `json:"expires"`
	Withdrawn     time.Time `json:"withdrawn,omitzero"`
	WithdrawnBy   string    `json:"withdrawn_by,omitempty"`
}

// InForce reports whether it is neither withdrawn nor expired at that time. Whether it may log in is for the policies to say.
func (k *PublishedKey) InForce(now time.Time) bool {
	return k.Withdrawn.IsZero() && now.Before(k.Expires)
}

// CertificateQuery picks certificates; what is empty picks all.
type CertificateQuery struct {
	Subject, Issuer, Principal, Key, SignIn, Request, Target, CA, Type string
	Since, Until                                                       time.Time // issued
	// ValidAt keeps those that are valid at that time.
	ValidAt time.Time
	Limit   int
	// Before keeps smaller serials; 0: all.
	Before int64
}

// PublishedKeyQuery picks published keys; what is empty picks all.
type PublishedKeyQuery struct {
	Fingerprint, Target, Person string
	// InForceAt keeps those that are neither withdrawn nor expired at that time.
	InForceAt time.Time
	Limit     int
	// Before keeps those that were published before the one with that ID.
	Before string
}
