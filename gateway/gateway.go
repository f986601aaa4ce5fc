// Package gateway is the SSH door.
//
// A traveller comes in with the client's upgraded HTTPS stream, which carries a target-scoped token (stream.go), or by
// SSH alone: at the SSH port (port.go), inside another connection there (visit.go) or inside a forward of a session, or
// redirected on the way (original.go). Without a token the certificate says who it is, the sign-in behind it must live
// (arrival.go), and one that does not, or is not fresh enough, is mended by the person in a browser while the connection
// waits (prove.go).
//
// From there every session takes the same walk (session.go): decide, note, record, certify, reach, splice. Where the
// decision says nothing of audit, a stream is passed through untouched. Otherwise the gateway ends the SSH itself, logs
// in to the target with a certificate of its own, relays channel by channel (relay.go, channel.go, forward.go) and keeps
// what the target says on a sealed tape, before the user sees it or as close to it as the decision asks (tape.go).
//
// The gateway never dials a target by itself, never holds a CA key, never keeps what it relays in the clear, and
// never lets a byte through that the policies in force did not allow. What it needs of the other rooms are the
// ports in Config.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// Config holds the gateway's ports, one for each step of the walk, and what it must know by itself.
type Config struct {
	// Name names this gateway in events and in the Key IDs of its certificates.
	Name string
	// Host is the name by which people reach the SSH port. Domain, in lower case, lets targets be written with it.
	Host, Domain string
	// WithoutCertificate lets those in at the ways that carry no token who show no certificate but prove themselves in a
	// browser while they wait, for clients that know no certificates.
	WithoutCertificate bool

	// Identify checks the target-scoped token and the proof of possession that a stream's request carries.
	Identify func(*http.Request) (*sekisho.Pass, error)
	// Recall finds the live sign-in behind a user certificate. The signature has been checked before; whether the sign-in
	// still lives has not. Where it has ended the error wraps sekisho.ErrEnded, and the pass says whose it was.
	Recall func(context.Context, *ssh.Certificate) (*sekisho.Pass, error)
	// Revoked reports that a certificate is revoked: a user's, or a target's host certificate. The signature has been or will
	// be checked besides. For a user's the error is a refusal.
	Revoked func(*ssh.Certificate) error
	// Decide judges the pass by the policies in force.
	Decide func(ctx context.Context, pass *sekisho.Pass, client netip.Addr) (*sekisho.Target, sekisho.Decision, error)
	// Note writes an event to the audit log. It returns when the event is durable.
	Note func(context.Context, ...*sekisho.Event) error
	// Record opens a sealed recording, for the recipients that the limits name.
	Record func(context.Context, sekisho.Session, sekisho.Limits) (Tape, error)
	// Certify signs the gateway's key for one session, with the gateway CA.
	Certify func(ctx context.Context, session sekisho.Session, limits sekisho.Limits, key ssh.PublicKey) (*ssh.Certificate, error)
	// Reach opens a connection to the target's sshd through its connector's link.
	Reach func(ctx context.Context, target string) (net.Conn, error)

	// Find names the target that a host name, as typed, or an IP address means; sekisho.ErrNotFound where there is none.
	Find func(ctx context.Context, host string) (target string, err error)
	// Reachable lists what somebody may reach, for those who come to the SSH port without saying where to.
	Reachable func(ctx context.Context, pass *sekisho.Pass, client netip.Addr) ([]Place, error)
	// Prove asks a person to prove themselves in a browser, for one connection.
	Prove func(context.Context, Question) (*Challenge, error)

	// HostSigner gives the gateway's host key with a certificate for the names that the user may have asked for.
	HostSigner func(ctx context.Context, names ...string) (ssh.Signer, error)
	// TrustsUser reports whether a key signs the certificates that users show, TrustsHost whether it signs those of targets.
	// Each may change while a CA goes over to another key.
	TrustsUser, TrustsHost func(ssh.PublicKey) bool

	Now func() time.Time
	Log *slog.Logger
}

// Place is a target that somebody may reach, with the logins they may use there.
type Place struct {
	Target string   `json:"target"`
	Logins []string `json:"logins"`
	Linked bool     `json:"linked"` // a link to it is up
	// Limits are those of each of the logins.
	Limits []sekisho.Limits `json:"limits"`
}

// Question is what a person is asked to prove themselves for.
type Question struct {
	// Certificate was shown and proved; it names a sign-in that has ended or is not fresh enough. nil: the person has none.
	Certificate *ssh.Certificate
	// Why is "ended", "stale" or "no certificate".
	Why string
	// Fresh is how long ago the person may have proved themselves; 0 is any time.
	Fresh time.Duration
	// Login and Target are where the connection leads, both empty where it only asks what may be reached.
	Login, Target, ClientAddress string
}

// Challenge is what the person is told, and the wait for them.
type Challenge struct {
	// Sentence says what to do, in one sentence; Link is where; Code is shown on the page as well, to be compared.
	Sentence, Link, Code string
	// Wait returns once the person has proved themselves, or with a refusal.
	Wait func(context.Context) (*sekisho.Pass, error)
}

// Tape is the recording of one session while it is being written.
type Tape interface {
	// Append seals an entry, or holds it until a frame is full.
	Append(recording.Entry) error
	// Flush hands everything appended so far to the operating system.
	Flush() error
	// Sync returns when everything flushed so far is durable. It may run beside Append and Flush.
	Sync() error
	// Close signs the end record, makes it durable and notes it.
	Close(end recording.End, at time.Duration) error
}

// Bounds on what one traveller, and all of them, may take.
const (
	handshakeTime = 30 * time.Second // for both SSH handshakes, log-in included
	closeTime     = 10 * time.Second // for the last bytes once one side has gone
	maxSessions   = 10000            // a gateway, visits among them
	maxOwn        = 2500             // of these, a person: one alone does not fill it
	maxChannels   = 64               // session channels open at once, a session
	maxForwards   = 256              // forwards open at once, a session: browsers and IDEs open many
	maxListens    = 64               // places where a target listens at once, a session
	maxRefusals   = 100              // noted one by one, a session
	maxRequests   = 1000             // of channels, noted one by one, a session
	maxPayload    = 60 << 10         // bytes, a channel request
	maxOffers     = 20               // public keys offered before one fits
	maxWatchers   = 16               // of one session at once
)

// Gateway is the SSH door. Make one with New.
type Gateway struct {
	cfg  Config
	work sync.WaitGroup

	knocking, waiting *doorstep
	maxOwn            int
	visitIdle         time.Duration
	visitPatience     time.Duration
	openPatience      time.Duration // for a recording
	meter             Meter
	closing           context.Context // done once no more are taken
	close             context.CancelFunc

	mu       sync.Mutex
	sessions map[string]*session
	visits   map[string]*visit
	own      map[string]int // of both, by the person's subject
}

// New checks that every port is filled and makes a gateway.
func New(cfg Config) (*Gateway, error) {
	switch {
	case cfg.Identify == nil, cfg.Recall == nil, cfg.Decide == nil, cfg.Note == nil, cfg.Record == nil,
		cfg.Certify == nil, cfg.Reach == nil, cfg.HostSigner == nil, cfg.Find == nil, cfg.Reachable == nil,
		cfg.Prove == nil, cfg.Revoked == nil:
		return nil, errors.New("gateway: a port is missing")
	case cfg.TrustsUser == nil, cfg.TrustsHost == nil:
		return nil, errors.New("gateway: it is missing whom to trust")
	case cfg.Now == nil, cfg.Log == nil:
		return nil, errors.New("gateway: clock or log is missing")
	}
	g := &Gateway{
		cfg: cfg, sessions: make(map[string]*session), visits: make(map[string]*visit), own: make(map[string]int),
		maxOwn: maxOwn, visitIdle: visitIdle, visitPatience: visitPatience, openPatience: syncPatience,
		knocking: newDoorstep(maxKnocking, earlyKnocking, maxKnockingNear),
		waiting:  newDoorstep(maxWaiting, maxWaiting, maxWaitingNear),
	}
	g.closing, g.close = context.WithCancel(context.Background())
	return g, nil
}

// errClosing is what newcomers hear while the gateway goes down.
var errClosing = &sekisho.Refusal{Sentence: "This gateway is going down.", Next: "Try again in a moment."}

// room takes a place for one more session or visit of a person, if there is one. It is called under the lock.
func (g *Gateway) room(person sekisho.Identity) error {
	switch {
	case g.closing.Err() != nil:
		return errClosing
	case len(g.sessions)+len(g.visits) >= maxSessions:
		return &sekisho.Refusal{Sentence: "This gateway is full.", Next: "Try again later."}
	case g.own[person.Subject] >= g.maxOwn:
		return &sekisho.Refusal{Sentence: fmt.Sprintf("You have %d sessions here, and nobody may have more.", g.maxOwn), Next: "End some of them."}
	}
	g.own[person.Subject]++
	g.work.Add(1)
	return nil
}

// vacate gives a place back that room has taken. It is called under the lock.
func (g *Gateway) vacate(person sekisho.Identity) {
	if g.own[person.Subject]--; g.own[person.Subject] == 0 {
		delete(g.own, person.Subject)
	}
	g.work.Done()
}

// Meter counts what of the sessions is not recorded, or not yet.
func (g *Gateway) Meter() *Meter { return &g.meter }

// enter registers a session, unless the gateway is full or going down.
func (g *Gateway) enter(s *session) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.room(s.Identity); err != nil {
		return err
	}
	g.sessions[s.ID] = s
	return nil
}

// enterVisit registers a visit, unless the gateway is full or going down.
func (g *Gateway) enterVisit(v *visit) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.room(v.Identity); err != nil {
		return err
	}
	g.visits[v.ID] = v
	return nil
}

func (g *Gateway) leaveVisit(v *visit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, there := g.visits[v.ID]; there {
		delete(g.visits, v.ID)
		g.vacate(v.Identity)
	}
}

func (g *Gateway) leave(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, s.ID)
	g.vacate(s.Identity)
}

// decided makes what was decided of a session part of what others see of it. SSH inside a forward is let through because
// it is recorded: that holds whatever is decided of the inner session.
func (g *Gateway) decided(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.Audit, s.judged = s.decision.Limits.Audit, true
	if s.Way == sekisho.WayForward && s.Audit == sekisho.AuditNone {
		s.Audit = sekisho.AuditStrict
	}
}

// End ends the live sessions that match, and the visits (which have no target and no login), and says how many they
// were.
func (g *Gateway) End(match func(sekisho.Session) bool) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, s := range g.sessions {
		if match(s.Session) {
			s.cancel()
			n++
		}
	}
	for _, v := range g.visits {
		if match(v.Session) {
			v.cancel()
			n++
		}
	}
	return n
}

// Shutdown takes no new sessions and waits until the live ones have ended; when ctx is done it ends them, and
// waits until their recordings are closed.
func (g *Gateway) Shutdown(ctx context.Context) {
	g.mu.Lock()
	g.close()
	for _, v := range g.visits {
		v.retire()
	}
	g.mu.Unlock()
	done := make(chan struct{})
	go func() { g.work.Wait(); close(done) }()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	g.End(func(sekisho.Session) bool { return true })
	<-done
}
