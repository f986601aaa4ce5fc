package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sekisho/sekisho"
)

// LinkConfig holds what the connector's end needs. Zero numbers mean the defaults.
type LinkConfig struct {
	// Address is the gateway's, host:port.
	Address string
	// TLS holds the roots to check the gateway with and the connector's x509 certificate (GetClientCertificate lets it
	// change). ALPN and version are set here.
	TLS *tls.Config
	// Connector is the ID that the x509 certificate names.
	Connector string
	// Targets maps names to addresses (host:port). Nothing else is ever dialled.
	Targets map[string]string
	// Spare is how many data connections are kept ready (2, at most 64), MaxStreams how many streams are carried
	// (4,096, at most 10,000): beyond it the gateway tries another link, or refuses.
	Spare, MaxStreams int
	// Dial reaches a target's address; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DrainTime is how long Run waits for open streams once its context has ended (30 s).
	DrainTime time.Duration
	// Up, if set, is called each time a link is up. It must not block.
	Up  func()
	Log *slog.Logger
}

const (
	backoffBase = 250 * time.Millisecond
	backoffCap  = 30 * time.Second
	steadyTime  = 30 * time.Second // a link that lived this long makes the backoff start anew
	dialTime    = 5 * time.Second  // for a target
	mostSpare   = 64
	// maxStreams are enough for one person to have all the sessions that a gateway gives them, and for others beside them.
	maxStreams  = 4096
	mostStreams = 10_000 // so that the spare connections beside them fit the gateway's maxConns
)

// Link is the connector's end. Use NewLink.
type Link struct {
	cfg     LinkConfig
	names   []string
	tls     *tls.Config
	renew   chan struct{}
	streams sync.WaitGroup
	slots   chan struct{} // one for each stream
}

// NewLink checks cfg and fills in its defaults.
func NewLink(cfg LinkConfig) (*Link, error) {
	host, _, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("gateway's address: %w", err)
	}
	if cfg.TLS == nil || !sekisho.CheckID("con", cfg.Connector) {
		return nil, errors.New("link: TLS or Connector is missing")
	}
	if len(cfg.Targets) == 0 || len(cfg.Targets) > maxTargets {
		return nil, fmt.Errorf("link to %d targets, want 1 to %d", len(cfg.Targets), maxTargets)
	}
	l := &Link{tls: clientTLS(cfg.TLS, host), renew: make(chan struct{}, 1)}
	for name, address := range cfg.Targets {
		if err := sekisho.CheckTargetName(name); err != nil {
			return nil, err
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("address of target %s: %w", name, err)
		}
		l.names = append(l.names, name)
	}
	slices.Sort(l.names)
	if cfg.Spare <= 0 {
		cfg.Spare = 2
	}
	cfg.Spare = min(cfg.Spare, mostSpare)
	if cfg.MaxStreams <= 0 {
		cfg.MaxStreams = maxStreams
	}
	cfg.MaxStreams = min(cfg.MaxStreams, mostStreams)
	if cfg.DrainTime <= 0 {
		cfg.DrainTime = 30 * time.Second
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	if cfg.Up == nil {
		cfg.Up = func() {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l.cfg = cfg
	l.slots = make(chan struct{}, cfg.MaxStreams)
	return l, nil
}

// Renew replaces the link by a new one, made with the x509 certificate that TLS has then. Open streams go on.
func (l *Link) Renew() {
	select {
	case l.renew <- struct{}{}:
	default:
	}
}

// Run keeps a link up until ctx ends, then drains: the gateway is told, open streams may end by themselves within
// DrainTime, the rest is cut. It returns when nothing of it is left. Run once.
func (l *Link) Run(ctx context.Context) {
	hard, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var uplinks sync.WaitGroup
	var current *uplink
	for failures := 0; ctx.Err() == nil; {
		next, err := l.connect(ctx, hard)
		if err != nil {
			failures++
			wait := backoff(failures)
			l.cfg.Log.Warn("link is not up", "gateway", l.cfg.Address, "error", err, "next_try", wait)
			current = l.pause(ctx, wait, current)
			continue
		}
		l.cfg.Log.Info("linked", "gateway", l.cfg.Address, "link", next.id, "targets", next.targets)
		if current != nil {
			current.retire()
		}
		current = next
		uplinks.Go(next.run)
		l.cfg.Up()
		began := time.Now()
		select {
		case <-ctx.Done():
		case <-l.renew:
			l.cfg.Log.Info("renew link", "link", current.id)
			continue // the old one stays until the new one is up
		case <-current.lost:
			l.cfg.Log.Warn("link is lost", "gateway", l.cfg.Address, "link", current.id, "error", current.err)
			current = nil
		}
		if time.Since(began) > steadyTime {
			failures = 0
		}
		failures++
		pause(ctx, backoff(failures))
	}
	if current != nil {
		current.retire()
	}
	uplinks.Wait() // from here on no stream begins
	l.finish(cut)
}

// pause waits, and lets go of a link that was lost meanwhile.
func (l *Link) pause(ctx context.Context, wait time.Duration, current *uplink) *uplink {
	pause(ctx, wait)
	if current != nil && current.isLost() {
		return nil
	}
	return current
}

// finish waits for the streams, then cuts what is left.
func (l *Link) finish(cut func()) {
	ended := make(chan struct{})
	go func() {
		l.streams.Wait()
		close(ended)
	}()
	bound := time.NewTimer(l.cfg.DrainTime)
	defer bound.Stop()
	select {
	case <-ended:
	case <-bound.C:
		l.cfg.Log.Warn("cut streams that did not end in time", "drain_time", l.cfg.DrainTime)
	}
	cut()
	<-ended
}

// backoff is exponential with full jitter, so that connectors do not all come back at once.
func backoff(failures int) time.Duration {
	top := min(backoffCap, backoffBase<<min(failures, 10))
	return rand.N(top)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// dial makes one connection of the link and says hello on it.
func (l *Link) dial(ctx context.Context, h hello) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", l.cfg.Address)
	if err != nil {
		return nil, err
	}
	deadSoon(raw)
	conn := tls.Client(gathering(raw), l.tls)
	if err := l.greet(ctx, conn, h); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

func (l *Link) greet(ctx context.Context, conn *tls.Conn, h hello) error {
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if conn.ConnectionState().NegotiatedProtocol != ALPN {
		return errors.New("the other end takes no links")
	}
	h.connector, h.version = l.cfg.Connector, sekisho.Version
	_ = conn.SetWriteDeadline(time.Now().Add(writeTime))
	if err := writeFrame(conn, h); err != nil {
		return fmt.Errorf("say hello: %w", err)
	}
	return nil
}
