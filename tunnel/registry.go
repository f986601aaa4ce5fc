package tunnel

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sekisho/sekisho"
)

// Member is a connector that may link.
type Member struct {
	// ID is the one that its x509 certificate names, Name what people call it.
	ID, Name string
	// Targets are the only ones its link may serve, whatever it offers.
	Targets []string
}

// RegistryConfig holds what the gateway's end needs. Zero limits mean the defaults.
type RegistryConfig struct {
	// Authorize says who presents this x509 certificate, which TLS has verified already. Called once per link.
	Authorize func(context.Context, *x509.Certificate) (Member, error)
	// Note writes events; a link whose event cannot be written is refused. Nil: none are written.
	Note func(context.Context, *sekisho.Event) error
	Log  *slog.Logger
	// Now is used for the validity of certificates; socket deadlines follow the machine's clock.
	Now func() time.Time

	// MaxLinks bounds all links together (10,000), MaxConns the data connections of one link, spare or in use
	// (10,240: no fewer than the gateway has sessions), MaxSpare the spare ones among them (128), MaxPending the Dials
	// that wait on one link (256).
	MaxLinks, MaxConns, MaxSpare, MaxPending int
	// OpenTime bounds one Dial (10 s).
	OpenTime time.Duration
}

// linksPerConnector is how many links one connector may have here at once: the live one, one that drains, and
// those whose death has not been noticed yet. Above it the oldest is cut.
const linksPerConnector = 4

// The standard bounds; RegistryConfig says what they are on.
const (
	maxLinks   = 10_000
	maxConns   = 10_240
	maxSpare   = 128
	maxPending = 256
)

// refusedPause is how far apart two events are about one connector that is refused.
const refusedPause = time.Minute

// Registry is the gateway's end of all links. Use NewRegistry.
type Registry struct {
	cfg RegistryConfig

	mu      sync.Mutex
	closed  bool
	serving int              // Serve calls under way
	cuts    int              // calls of Cut so far
	idle    chan struct{}    // closed when closed and serving is 0
	links   map[string]*peer // by link ID, as long as any of its connections lives
	targets map[string][]*peer
	refused map[string]time.Time // when a connector's refusal was noted last
}

// NewRegistry checks cfg and fills in its defaults.
func NewRegistry(cfg RegistryConfig) (*Registry, error) {
	if cfg.Authorize == nil {
		return nil, errors.New("tunnel registry: Authorize is missing")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Note == nil {
		cfg.Note = func(context.Context, *sekisho.Event) error { return nil }
	}
	for field, standard := range map[*int]int{
		&cfg.MaxLinks: maxLinks, &cfg.MaxConns: maxConns, &cfg.MaxSpare: maxSpare, &cfg.MaxPending: maxPending,
	} {
		if *field <= 0 {
			*field = standard
		}
	}
	if cfg.OpenTime <= 0 {
		cfg.OpenTime = 10 * time.Second
	}
	return &Registry{
		cfg:     cfg,
		idle:    make(chan struct{}),
		links:   make(map[string]*peer),
		targets: make(map[string][]*peer),
		refused: make(map[string]time.Time),
	}, nil
}

// Dial opens a stream to target over one of its links. The error is a *sekisho.Refusal. The connection has CloseWrite.
func (r *Registry) Dial(ctx context.Context, target string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.OpenTime)
	defer cancel()
	// A spare connection can turn out dead; each try uses one up, so a link of dead ones ends this soon.
	var err error
	full := map[*peer]error{}
	for range 2 * linksPerConnector {
		var s *spare
		if s, err = r.take(ctx, target, full); err != nil {
			return nil, refusal(target, err)
		}
		if err = s.open(ctx, target); err == nil {
			return s.stream(), nil
		}
		s.kill()
		switch {
		case errors.Is(err, errFull):
			full[s.link] = err
		case !errors.Is(err, errDead):
			return nil, refusal(target, err)
		}
	}
	return nil, refusal(target, err)
}

// Linked reports whether some connector's link to target is up.
func (r *Registry) Linked(target string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.pick(target, nil)
	return !errors.Is(err, errNoLink)
}

// Cut ends all links of a connector and every stream on them, at once. Call it once Authorize refuses the connector:
// a link that was being authorized meanwhile, anybody's, has to try again.
func (r *Registry) Cut(connectorID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cuts++
	for _, p := range r.links {
		if p.member.ID == connectorID {
			p.cut()
		}
	}
}

// Close cuts everything and waits until every Serve has returned.
func (r *Registry) Close() error {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		for _, p := range r.links {
			p.cut()
		}
		if r.serving == 0 {
			close(r.idle)
		}
	}
	r.mu.Unlock()
	<-r.idle
	return nil
}

// pick chooses the link for a new stream: the newest that has a spare connection, else the newest that can have one
// more. The connectors of the links in full have said so. The error is errNoLink, or an errFull that says how.
func (r *Registry) pick(target string, full map[*peer]error) (*peer, error) {
	var newest *peer
	err := errNoLink
	for _, p := range slices.Backward(r.targets[target]) {
		switch {
		case !p.usable(r.cfg.Now()):
		case full[p] != nil:
			err = full[p]
		case len(p.spares) > 0:
			return p, nil
		case len(p.conns)+len(p.waiting) >= r.cfg.MaxConns:
			err = fmt.Errorf("%w: link of %s has %d data connections", errFull, p.member.Name, len(p.conns))
		case newest == nil:
			newest = p
		}
	}
	if newest == nil {
		return nil, err
	}
	return newest, nil
}

// take gives a data connection of some link to target, waiting for the connector to dial one if need be.
func (r *Registry) take(ctx context.Context, target string, full map[*peer]error) (*spare, error) {
	r.mu.Lock()
	p, err := r.pick(target, full)
	if err != nil {
		r.mu.Unlock()
		return nil, err
	}
	if n := len(p.spares); n > 0 {
		s := p.spares[n-1]
		p.spares = p.spares[:n-1]
		s.taken = true
		r.mu.Unlock()
		return s, nil
	}
	if len(p.waiting) >= r.cfg.MaxPending {
		r.mu.Unlock()
		return nil, errBusy
	}
	w := make(chan *spare, 1)
	p.waiting = append(p.waiting, w)
	r.askMore(p)
	r.mu.Unlock()

	select {
	case s := <-w:
		if s == nil { // the link ended; another may be there
			return r.take(ctx, target, full)
		}
		return s, nil
	case <-ctx.Done():
		r.leave(p, w)
		return nil, fmt.Errorf("wait for a data connection: %w", ctx.Err())
	}
}

// leave takes back a wait; a connection that came in the meantime goes to the next in line.
func (r *Registry) leave(p *peer, w chan *spare) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(p.waiting, w); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		return
	}
	if s := <-w; s != nil {
		p.hand(s)
	}
}

var (
	errNoLink = errors.New("no link")
	errBusy   = errors.New("too many streams wait for this link")
	errFull   = errors.New("no link has room for one more stream")
	errDead   = errors.New("data connection is dead")
)

// unreachable is the connector's own answer that it did not open a stream.
type unreachable struct{ reason string }

func (e *unreachable) Error() string { return "connector: " + e.reason }

// refusal gives an error its voice for the person.
func refusal(target string, err error) *sekisho.Refusal {
	var u *unreachable
	switch {
	case errors.As(err, &u):
		return &sekisho.Refusal{
			Sentence: target + "'s connector is here, but cannot reach the SSH server behind it.",
			Next:     "Ask the administrator to look at the connector's log.",
			Cause:    err,
		}
	case errors.Is(err, errFull):
		return &sekisho.Refusal{
			Sentence: target + "'s connector carries all the sessions it can.",
			Next:     "Try again in a moment, or ask the administrator to raise its max_streams.",
			Cause:    err,
		}
	case errors.Is(err, errBusy):
		return &sekisho.Refusal{
			Sentence: target + " has too many connections being opened at this moment.",
			Next:     "Try again in a few seconds.",
			Cause:    err,
		}
	case errors.Is(err, errNoLink):
		return &sekisho.Refusal{
			Sentence: target + " is not connected right now: its connector has no link to this gateway.",
			Next:     "Try again in a minute, or ask the administrator to look at the connector.",
			Cause:    err,
		}
	}
	return &sekisho.Refusal{
		Sentence: target + "'s connector did not answer in time.",
		Next:     "Try again in a minute, or ask the administrator to look at the connector.",
		Cause:    err,
	}
}
