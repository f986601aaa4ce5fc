package policy

import (
	"net/netip"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/sekisho/sekisho"
)

// Action is what a person wants to do.
type Action string

const (
	// Connect is going onto a target as one of its logins.
	Connect Action = "connect"
	// ReadRecordings is listing and downloading recordings.
	ReadRecordings Action = "readRecordings"
	// ReadAudit is reading and exporting the audit log.
	ReadAudit Action = "readAudit"
	// ManageTargets is adding and changing targets and connectors.
	ManageTargets Action = "manageTargets"
	// WatchSessions is seeing what a live session shows, and EndSessions is ending it. What lists live sessions asks for
	// each whether one of the two is allowed.
	WatchSessions Action = "watchSessions"
	EndSessions   Action = "endSessions"
	// Certify is getting certificates from an issuer that the configuration adds.
	Certify Action = "certify"
	// PublishKeys is letting a public key log in on a target as one of its logins, for a time and without a certificate.
	PublishKeys Action = "publishKeys"
	// ManageCA is creating CAs and rotating their keys, and making API tokens that may.
	ManageCA Action = "manageCA"
	// RevokeCertificates is revoking what is not one's own, and lifting revocations.
	RevokeCertificates Action = "revokeCertificates"
)

var actions = []Action{
	Connect, ReadRecordings, ReadAudit, ManageTargets, WatchSessions, EndSessions, Certify, PublishKeys, ManageCA, RevokeCertificates,
}

// onTarget reports whether the resource is a Target.
func (a Action) onTarget() bool { return a.asLogin() || a.onSession() }

// asLogin reports whether it is about one of the logins that a target has now.
func (a Action) asLogin() bool { return a == Connect || a == PublishKeys }

func (a Action) onSession() bool { return a == WatchSessions || a == EndSessions }

// Request is one question.
type Request struct {
	Action   Action
	Identity sekisho.Identity
	// Target and Login are for Connect, PublishKeys, WatchSessions and EndSessions. The target of a session may have lost the
	// login since.
	Target *sekisho.Target
	Login  string
	// Issuer is the issuer's name, for Certify.
	Issuer string
	// Person is the subject of whose session it is, for WatchSessions and EndSessions.
	Person string
	// ClientAddress is where the person comes from. The zero Addr leaves context.client_address out.
	ClientAddress netip.Addr
}

// query is a request in Cedar's terms. It is its own store of entities: there are two.
type query struct {
	cedar.Request
	person, resource cedar.Entity
}

// Get gives Cedar the entities by their ID.
func (q *query) Get(id cedar.EntityUID) (cedar.Entity, bool) {
	switch id {
	case q.person.UID:
		return q.person, true
	case q.resource.UID:
		return q.resource, true
	}
	return cedar.Entity{}, false
}

var house = cedar.NewEntityUID("House", "sekisho")

func newQuery(r Request, now time.Time) *query {
	q := &query{resource: cedar.Entity{UID: house}}
	context := cedar.RecordMap{"time": cedar.NewDatetime(now)}
	if a := r.ClientAddress.Unmap().WithZone(""); a.IsValid() {
		context["client_address"] = cedar.IPAddr(netip.PrefixFrom(a, a.BitLen()))
	}
	if r.Action.onSession() {
		context["person"] = cedar.String(r.Person)
	}
	if r.Action.onTarget() {
		context["login"] = cedar.String(r.Login)
		q.resource = targetEntity(r.Target)
	}
	if r.Action == Certify {
		q.resource = issuerEntity(r.Issuer)
	}
	q.Request = cedar.Request{
		Action:   cedar.NewEntityUID("Action", cedar.String(r.Action)),
		Resource: q.resource.UID,
		Context:  cedar.NewRecord(context),
	}
	q.as(personEntity(r.Identity))
	return q
}

// as puts another person in the request.
func (q *query) as(person cedar.Entity) {
	q.person, q.Principal = person, person.UID
}

func personEntity(i sekisho.Identity) cedar.Entity {
	attributes := cedar.RecordMap{
		"subject": cedar.String(i.Subject),
		"email":   cedar.String(i.Subject),
		"account": cedar.String(i.Account()),
		"issuer":  cedar.String(i.Issuer),
		"methods": stringSet(i.Methods),
	}
	if !i.AuthTime.IsZero() {
		attributes["auth_time"] = cedar.NewDatetime(i.AuthTime)
	}
	return cedar.Entity{UID: personID(i.Subject), Parents: groupSet(i.Groups), Attributes: cedar.NewRecord(attributes)}
}

func targetEntity(t *sekisho.Target) cedar.Entity {
	return cedar.Entity{
		UID: cedar.NewEntityUID("Target", cedar.String(t.Name)),
		Attributes: cedar.NewRecord(cedar.RecordMap{
			"name":    cedar.String(t.Name),
			"labels":  stringSet(t.Labels),
			"class":   cedar.String(t.Class),
			"logins":  stringSet(t.Logins),
			"audited": cedar.Boolean(t.Audited),
		}),
	}
}

func issuerEntity(name string) cedar.Entity {
	return cedar.Entity{
		UID:        cedar.NewEntityUID("Issuer", cedar.String(name)),
		Attributes: cedar.NewRecord(cedar.RecordMap{"name": cedar.String(name)}),
	}
}

func personID(subject string) cedar.EntityUID {
	return cedar.NewEntityUID("Person", cedar.String(subject))
}
func groupID(name string) cedar.EntityUID { return cedar.NewEntityUID("Group", cedar.String(name)) }

func groupSet(groups []string) cedar.EntityUIDSet {
	ids := make([]cedar.EntityUID, len(groups))
	for i, g := range groups {
		ids[i] = groupID(g)
	}
	return cedar.NewEntityUIDSet(ids...)
}

func stringSet(ss []string) cedar.Set {
	values := make([]cedar.Value, len(ss))
	for i, s := range ss {
		values[i] = cedar.String(s)
	}
	return cedar.NewSet(values...)
}
