package ca

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// MaxRevocations is how many may be in force at once.
const MaxRevocations = 10000

// RevocationStore keeps revocations. What is absent is sekisho.ErrNotFound, wrapped or not.
type RevocationStore interface {
	// SaveRevocation writes one anew, or over the one with its ID unless that was lifted.
	SaveRevocation(ctx context.Context, r *sekisho.Revocation) error
	Revocation(ctx context.Context, id string) (*sekisho.Revocation, error)
	// UnliftedRevocations gives all that nobody has lifted, the oldest first.
	UnliftedRevocations(ctx context.Context) ([]*sekisho.Revocation, error)
}

// RevocationsConfig is what Revocations are made of.
type RevocationsConfig struct {
	Store RevocationStore
	// Certificates is the inventory: events of kind certificate, newest first, complete up to the moment of the call.
	Certificates func(context.Context, sekisho.CertificateQuery) ([]*sekisho.Event, error)
	// Events reads lines of the audit log, newest first. What is missing in the store is taken from there.
	Events func(context.Context, sekisho.EventQuery) ([][]byte, error)
	// Note appends events to the audit log, returns when they are durable, and fills in Seq and Time.
	Note func(context.Context, ...*sekisho.Event) error
	// CAs gives the CAs with all their keys, retired ones too.
	CAs func(context.Context) ([]*sekisho.CA, error)
	Now func() time.Time
}

// Revocations knows what is revoked. A revocation holds in this process from the moment before it is noted: whoever asks
// about a certificate after its own line is durable, and hears nothing, has a certificate whose serial is smaller than the
// revocation's line, so that every list with that line's number can name it.
//
// The audit log says what is revoked; the store is what a crash between the two leaves to be caught up with (Load).
type Revocations struct {
	cfg      RevocationsConfig
	changing sync.Mutex // held while one is noted and kept
	state    atomic.Pointer[revoked]

	listing sync.Mutex
	lists   *lists
}

// revoked is what holds at one moment. It does not change.
type revoked struct {
	number int64     // of the list: the line that made it so; 0: nothing was ever revoked
	at     time.Time // of that line
	all    []*sekisho.Revocation
	by     map[thing]*sekisho.Revocation
	// requests are those that certificates were made for which fall under a revocation that does not name them: target
	// tokens and sessions.
	requests map[string]*sekisho.Revocation
	under    map[string][]string // the same, by the revocation's ID
}

type thing struct {
	kind  sekisho.RevocationKind
	value string
}

// OpenRevocations reads what is in force.
func OpenRevocations(ctx context.Context, cfg RevocationsConfig) (*Revocations, error) {
	if cfg.Store == nil || cfg.Certificates == nil || cfg.Events == nil || cfg.Note == nil || cfg.CAs == nil || cfg.Now == nil {
		return nil, errors.New("revocations: store, inventory, audit log, CAs and clock are all needed")
	}
	b := &Revocations{cfg: cfg}
	b.state.Store(newRevoked(0, time.Time{}, nil, nil))
	return b, b.Load(ctx)
}

func newRevoked(number int64, at time.Time, all []*sekisho.Revocation, under map[string][]string) *revoked {
	s := &revoked{
		number: number, at: at, all: all, under: under,
		by: make(map[thing]*sekisho.Revocation, len(all)), requests: map[string]*sekisho.Revocation{},
	}
	for _, r := range all {
		at := thing{r.Kind, r.Value}
		s.by[at] = longer(s.by[at], r)
		for _, request := range under[r.ID] {
			s.requests[request] = longer(s.requests[request], r)
		}
	}
	return s
}

// longer is that which lasts longer, the first of both if neither does; a may be nil.
func longer(a, b *sekisho.Revocation) *sekisho.Revocation {
	if a == nil || !a.Until.IsZero() && (b.Until.IsZero() || b.Until.After(a.Until)) {
		return b
	}
	return a
}

// find gives the first of the things that is revoked now.
func (b *Revocations) find(things ...thing) *sekisho.Revocation {
	s, now := b.state.Load(), b.cfg.Now()
	for _, t := range things {
		if t.value == "" {
			continue
		}
		if r := s.by[t]; r != nil && r.InForce(now) {
			return r
		}
	}
	return nil
}

// Person reports by a refusal that a person is revoked.
func (b *Revocations) Person(subject string) error {
	return refuseRevoked(b.find(thing{sekisho.RevokedPerson, subject}))
}

// SignIn reports by a refusal that a sign-in is revoked, or its person.
func (b *Revocations) SignIn(subject, id string) error {
	return refuseRevoked(b.find(thing{sekisho.RevokedPerson, subject}, thing{sekisho.RevokedSignIn, id}))
}

// Certificate reports by a refusal that a certificate is revoked, or what it rests on. Its signature is not looked at.
func (b *Revocations) Certificate(cert *ssh.Certificate) error {
	things := []thing{
		{sekisho.RevokedCertificate, strconv.FormatUint(cert.Serial, 10)}, {sekisho.RevokedKeyID, cert.KeyId},
		{sekisho.RevokedKey, ssh.FingerprintSHA256(cert.Key)}, {sekisho.RevokedCA, ssh.FingerprintSHA256(cert.SignatureKey)},
	}
	if id, err := sekisho.ParseKeyID(cert.KeyId); err == nil && cert.CertType == ssh.UserCert {
		things = append([]thing{{sekisho.RevokedPerson, id.Subject}, {sekisho.RevokedSignIn, id.SignIn}}, things...)
	}
	return refuseRevoked(b.find(things...))
}

// Key reports by a refusal that a key is revoked, by its fingerprint.
func (b *Revocations) Key(fingerprint string) error {
	return refuseRevoked(b.find(thing{sekisho.RevokedKey, fingerprint}))
}

// Refuse fills Config.Refuse.
func (b *Revocations) Refuse(id sekisho.KeyID, r *sekisho.CertificateRecord) error {
	things := []thing{{sekisho.RevokedKey, r.Key}, {sekisho.RevokedCA, r.CA}}
	if r.Type == "user" {
		things = append([]thing{{sekisho.RevokedPerson, id.Subject}, {sekisho.RevokedSignIn, id.SignIn}}, things...)
	}
	return refuseRevoked(b.find(things...))
}

// Session reports by a refusal that what a session came in by is revoked.
func (b *Revocations) Session(s *sekisho.Session) error {
	serial := ""
	if s.Serial != 0 {
		serial = strconv.FormatUint(s.Serial, 10)
	}
	r := b.find(thing{sekisho.RevokedPerson, s.Identity.Subject}, thing{sekisho.RevokedSignIn, s.SignIn},
		thing{sekisho.RevokedCertificate, serial}, thing{sekisho.RevokedKey, s.Key}, thing{sekisho.RevokedCA, s.CA})
	state, now := b.state.Load(), b.cfg.Now()
	for _, request := range []string{s.Request, s.ID} { // a gateway's certificate is made for the session itself
		if by := state.requests[request]; r == nil && by != nil && by.InForce(now) {
			r = by
		}
	}
	return refuseRevoked(r)
}

// refuseRevoked says what is revoked, and under which ID administrators find why.
func refuseRevoked(r *sekisho.Revocation) error {
	if r == nil {
		return nil
	}
	sentence, next := "This certificate is revoked.", "Get a new one"
	switch r.Kind {
	case sekisho.RevokedPerson:
		sentence, next = "Your access is revoked.", "Ask an administrator"
	case sekisho.RevokedSignIn:
		sentence, next = "This sign-in is revoked.", "Sign in again"
	case sekisho.RevokedKey:
		sentence, next = "This SSH key is revoked.", "Use another key"
	case sekisho.RevokedCA:
		sentence, next = "The CA key behind this certificate is revoked.", "Ask an administrator"
	}
	return &sekisho.Refusal{Sentence: sentence, Next: next + " (revocation " + r.ID + ").", Cause: fmt.Errorf("%s %.200s is revoked by %s", r.Kind, r.Value, r.ID)}
}

// Number is that of the newest lists, 0 where nothing was ever revoked.
func (b *Revocations) Number() uint64 { return uint64(b.state.Load().number) }

// MadeBy counts those that somebody made and nobody has lifted.
func (b *Revocations) MadeBy(actor string) (n int) {
	for _, r := range b.state.Load().all {
		if r.By == actor {
			n++
		}
	}
	return n
}

// InForce counts those that hold now.
func (b *Revocations) InForce() int { return len(b.state.Load().all) }
