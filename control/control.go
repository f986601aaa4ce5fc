// Package control is the HTTP door: it serves the contract of api/v1 and the pages on which a browser signs a
// person in.
//
// Every call goes through the same steps, and each handler shows them in this order:
//
//  1. who: the token and the proof of its key (auth.go); the identity is a return value, so no handler has one
//     that was not proven in it;
//  2. form: what was sent is checked before anything is looked up;
//  3. may they: the policies in force decide;
//  4. note: the decision is durable in the audit log before anything is handed out;
//  5. answer.
//
// Watching a session (watch.go) lasts: it is judged again when policies change or sign-ins end, and the door holds no more
// of what is watched than the piece that is being sent, sealed.
//
// What is refused is said in one sentence with what to do next (errors.go); the cause goes to the log, under a
// request ID that the person gets to see when the fault is ours.
//
// The package believes no header about where a caller is: addresses are those of the connection, and URLs in
// proofs are compared with the configured one, never with Host. It never keeps a token and never logs one.
//
// What bounds a caller here: bodies of 1 MiB, half a minute to send one, a minute for each piece of an answer to be
// taken. The http.Server around it should set ReadHeaderTimeout, IdleTimeout and MaxHeaderBytes (32 KiB is
// plenty) and leave ReadTimeout and WriteTimeout at 0: downloads are long, and the gateway takes connections over.
package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/login"
	"github.com/sekisho/sekisho/policy"
)

// Config is what the door is made of. Everything must be set unless its comment says otherwise.
type Config struct {
	// Name is the organisation's name for this installation.
	Name string
	// URL is the public URL, https://host[:port] without a path: what proofs are made for.
	URL string
	// Domain lets targets be written with it: with example.internal, web1.example.internal is web1. May be empty.
	Domain string
	// SSHHosts are host patterns for people's ssh_config.
	SSHHosts []string
	// Gateways are the URLs of the stream endpoint, nearest first.
	Gateways []string
	// SSHGateway is HOST:PORT of the gateway's SSH port; empty: it has none.
	SSHGateway string
	// AgentTTL is how long certificates for people's ssh-agents are valid; 0 means DefaultAgentTTL.
	AgentTTL time.Duration
	// AuditKey is the verifier key of the audit log, RecordingKeys the public key lines of gateways.
	AuditKey      string
	RecordingKeys []string
	// Recipients are the public keys that new recordings may be sealed to.
	Recipients func() []*apiv1.Recipient

	// Desk signs people in; Passes signs target-scoped tokens.
	Desk   *login.Desk
	Passes *login.Issuer
	// CA issues certificates, Links those of connectors' links.
	CA    CA
	Links Links
	// Rotation takes CAs from one key to the next.
	Rotation *Rotation
	// ProbeHostKey asks a target's SSH server, over its connector's link, for its host key of that type (as in
	// authorized_keys), and gives the one that the server proved to hold in a key exchange. No host key is certified that was
	// not seen so.
	ProbeHostKey func(ctx context.Context, target, keyType string) (ssh.PublicKey, error)
	// Policies gives the set in force.
	Policies func() *policy.Set
	Store    Store
	// Note appends events to the audit log and returns when they are durable.
	Note func(ctx context.Context, events ...*sekisho.Event) error
	// Events reads the audit log.
	Events Events
	// OpenRecording opens a sealed recording as it is kept and tells its bytes. Absence wraps sekisho.ErrNotFound.
	OpenRecording func(ctx context.Context, session string) (io.ReadCloser, int64, error)
	// Live is what the gateways know of the sessions that run.
	Live LiveSessions
	// FollowRecording opens the sealed recording of a live session at an offset and tells how many bytes of it are durable.
	// Reading gives what is durable, waits for more, and ends when the recording is closed, or with ctx. Absence wraps
	// sekisho.ErrNotFound.
	FollowRecording func(ctx context.Context, session string, offset int64) (file io.ReadCloser, durable int64, err error)
	// Changed gives a channel that is closed when something has changed since by which people may do what they do: the
	// policies in force, or whose sign-in lives. What lasts is then judged again. May be nil.
	Changed func() <-chan struct{}
	// Closing is closed when calls that last are to end, because the house goes down. May be nil.
	Closing <-chan struct{}
	// Revoked knows and changes what is revoked.
	Revoked *ca.Revocations
	// Enforce puts a new revocation into effect: it ends sign-ins and sessions, and says how many and which.
	Enforce func(ctx context.Context, r *sekisho.Revocation) (signIns int, sessions []string, err error)
	// Barred reports, by a Refusal, why a person may get nothing any more: they are revoked. May be nil.
	Barred func(ctx context.Context, subject string) error
	// Linked reports whether a connector's link to that target is up. May be nil.
	Linked func(target string) bool
	// Cut ends the links of a connector whose targets were given to another, so that it must link anew and gets only
	// what is still its own. May be nil.
	Cut func(connector string)
	// Healthy reports why the house cannot serve. May be nil.
	Healthy func(context.Context) error

	Now func() time.Time
	Log *slog.Logger
}

// CA is what the door needs of ca.Authority.
type CA interface {
	People(context.Context, ca.PeopleRequest) (*ssh.Certificate, error)
	AnyDoor(context.Context, ca.AnyDoorRequest) (*ssh.Certificate, error)
	Hosts(context.Context, ca.HostRequest) (*ssh.Certificate, error)
	// CheckPublished reports, by a Refusal, why a key may not log in without a certificate.
	CheckPublished(ssh.PublicKey, sekisho.KeyID) error
	// Issue issues by configured issuers, Issuers lists those and the built-in ones.
	Issue(context.Context, ca.IssueRequest) (*ssh.Certificate, error)
	Issuers() []*ca.Issuer
	// Lines are the CAs' public keys as authorized_keys lines.
	Lines() ca.Lines
}

// Links is what the door needs of ca.Links.
type Links interface {
	Sign(ca.LinkRequest) ([]byte, error)
}

// LiveSessions is what the door needs of gateways.
type LiveSessions interface {
	// Sessions lists those that were let in, in any order.
	Sessions(context.Context) ([]sekisho.Live, error)
	// Watch counts a watcher until leave is called, and tells the session's user over told channels if the limits say so.
	// The error wraps sekisho.ErrNotFound where the session does not run, and is a Refusal where nobody can watch it.
	Watch(ctx context.Context, session, who string) (told int, leave func(), err error)
	// Stop ends a session and reports whether it ran. Its user is told by whom and why.
	Stop(ctx context.Context, session, by, reason string) (bool, error)
}

// Events is what the door needs of audit.Log.
type Events interface {
	Query(context.Context, sekisho.EventQuery) ([][]byte, error)
	Export(ctx context.Context, from int64, yield func(lines [][]byte) error) (checkpoint string, err error)
	Prove(ctx context.Context, seq int64) (*audit.Inclusion, error)
}

// Store is what the door needs kept. What is absent is sekisho.ErrNotFound, wrapped or not.
type Store interface {
	Targets
	Connectors
	Pendings
	SaveHostReports(ctx context.Context, reports []*sekisho.HostReport) error
	Tokens
	PublishedKeys
	Revocation(ctx context.Context, id string) (*sekisho.Revocation, error)
	Revocations(context.Context, sekisho.RevocationQuery) ([]*sekisho.Revocation, error)
	Inventory
	Recordings(context.Context, sekisho.RecordingQuery) ([]*sekisho.Recording, error)
	SignIn(ctx context.Context, id string) (*sekisho.SignIn, error)
}

// Targets keeps targets by name.
type Targets interface {
	Target(ctx context.Context, name string) (*sekisho.Target, error)
	Targets(ctx context.Context) ([]*sekisho.Target, error)
	SaveTarget(ctx context.Context, t *sekisho.Target) error
}

// Connectors keeps connectors by ID.
type Connectors interface {
	Connector(ctx context.Context, id string) (*sekisho.Connector, error)
	SaveConnector(ctx context.Context, c *sekisho.Connector) error
	// EndConnector says whether this call is the one that ended it.
	EndConnector(ctx context.Context, id string, at time.Time) (bool, error)
}

// Pendings keeps records that expire. A second Put under the same key replaces the first.
type Pendings interface {
	PutPending(ctx context.Context, key string, expires time.Time, body []byte) error
	Pending(ctx context.Context, key string, now time.Time) ([]byte, error)
	// TakePending reads and removes in one step: of any number of callers at once, one gets the body.
	TakePending(ctx context.Context, key string, now time.Time) ([]byte, error)
}

// maxMessage bounds what one call can send, in bytes, before and after decompression.
const maxMessage = 1 << 20

// compressFrom is the size, in bytes, of answers that are worth compressing for who asks for it. Smaller ones are mostly
// signatures and keys, and compressing a certificate costs more than signing it.
const compressFrom = 16 << 10

// door is the handlers' common ground.
type door struct {
	Config
	origin string
	// binding is held while targets are read to be written back, so that two connectors cannot be given one target
	// and no report of a host undoes a binding.
	binding  sync.Mutex
	hosts    hostCertificates
	watches  watches
	alarms   alarms
	reports  reports
	programs programs
	// publishing is held while the published keys that there are decide whether there may be one more.
	publishing sync.Mutex
}

// New makes the handler of everything under the public URL except what the gateway and the links serve.
func New(cfg Config) (http.Handler, error) {
	d := &door{Config: cfg}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	d.URL = strings.TrimSuffix(d.URL, "/")
	mux := http.NewServeMux()
	opts := []connect.HandlerOption{
		connect.WithReadMaxBytes(maxMessage),
		connect.WithCompressMinBytes(compressFrom),
		connect.WithInterceptors(voices{d}),
		connect.WithRecover(d.recovered),
		strict,
	}
	mux.Handle(apiv1connect.NewSignInServiceHandler(signIns{d}, opts...))
	mux.Handle(apiv1connect.NewAccessServiceHandler(access{d}, opts...))
	mux.Handle(apiv1connect.NewSessionServiceHandler(sessions{d}, opts...))
	mux.Handle(apiv1connect.NewRecordingServiceHandler(recordings{d}, opts...))
	mux.Handle(apiv1connect.NewAuditServiceHandler(auditLog{d}, opts...))
	mux.Handle(apiv1connect.NewConnectorServiceHandler(connectors{d}, opts...))
	mux.Handle(apiv1connect.NewCAServiceHandler(cas{d}, opts...))
	mux.Handle(apiv1connect.NewCertificateServiceHandler(certificates{d}, opts...))
	mux.Handle(apiv1connect.NewTokenServiceHandler(tokens{d}, opts...))
	mux.Handle(apiv1connect.NewPublishedKeyServiceHandler(published{d}, opts...))
	mux.HandleFunc("GET "+pathRevokedUsers, d.revokedUsers)
	mux.HandleFunc("GET "+pathRevokedHosts, d.revokedHosts)
	d.mountCAs(mux)
	mux.Handle("/", newPages(d))
	mux.HandleFunc("GET /healthz", d.healthz)
	return bounded(plainCalls(mux), sendTime), nil
}

func (d *door) check() error {
	u, err := url.Parse(d.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return fmt.Errorf("URL %q: want https://host[:port]", d.URL)
	}
	d.origin = u.Scheme + "://" + u.Host
	switch {
	case d.Desk == nil || d.Passes == nil || d.CA == nil || d.Links == nil:
		return errors.New("sign-in desk, pass issuer, CA and link CA are all needed")
	case d.Policies == nil || d.Store == nil || d.Note == nil || d.Events == nil || d.OpenRecording == nil:
		return errors.New("policies, store, audit log and recordings are all needed")
	case d.Live == nil || d.FollowRecording == nil:
		return errors.New("live sessions and a way to follow recordings are both needed")
	case d.Revoked == nil || d.Enforce == nil:
		return errors.New("revocations and a way to enforce them are both needed")
	case d.Rotation == nil || d.ProbeHostKey == nil:
		return errors.New("rotation of CA keys and a way to probe host keys are both needed")
	case d.Now == nil || d.Log == nil:
		return errors.New("clock and log are both needed")
	}
	if d.AgentTTL <= 0 {
		d.AgentTTL = DefaultAgentTTL
	}
	if d.Linked == nil {
		d.Linked = func(string) bool { return false }
	}
	if d.Cut == nil {
		d.Cut = func(string) {}
	}
	if d.Barred == nil {
		d.Barred = func(context.Context, string) error { return nil }
	}
	if d.Changed == nil {
		d.Changed = func() <-chan struct{} { return nil }
	}
	if d.Healthy == nil {
		d.Healthy = func(context.Context) error { return nil }
	}
	return nil
}

func (d *door) healthz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err := d.Healthy(r.Context()); err != nil {
		d.Log.Error("not healthy", "error", err)
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "not healthy\n")
		return
	}
	io.WriteString(w, "ok\n")
}
