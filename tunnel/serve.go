package tunnel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/sekisho/sekisho"
)

// Serve carries one connection of a link, control or data, and returns when it has ended and is closed. It is what
// http.Server.TLSNextProto[ALPN] calls; the configuration must be ServerTLS's.
func (r *Registry) Serve(conn *tls.Conn) {
	defer conn.NetConn().Close()
	if !r.enter() {
		return
	}
	defer r.leaveServing()
	deadSoon(conn.NetConn())
	_ = conn.SetDeadline(time.Now().Add(handshakeTime))
	h, leaf, err := r.greet(conn)
	if err != nil {
		r.refuse(conn, "", err)
		return
	}
	if h.role == roleData {
		r.serveData(conn, h)
		return
	}
	r.serveControl(conn, h, leaf)
}

func (r *Registry) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.serving++
	return true
}

func (r *Registry) leaveServing() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.serving--; r.closed && r.serving == 0 {
		close(r.idle)
	}
}

// deadSoon lets the kernel find a peer that vanished within silenceTime, on connections without pings too.
func deadSoon(c net.Conn) {
	if t, ok := c.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	}); ok {
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: pingInterval, Interval: pingInterval, Count: 2})
	}
}

// greet reads the hello and compares it with the x509 certificate.
func (r *Registry) greet(conn *tls.Conn) (hello, *x509.Certificate, error) {
	if err := conn.HandshakeContext(context.Background()); err != nil { // bounded by the deadline
		return hello{}, nil, fmt.Errorf("handshake: %w", err)
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != ALPN || len(state.VerifiedChains) == 0 {
		return hello{}, nil, errors.New("connection without a verified x509 certificate for a link")
	}
	leaf := state.PeerCertificates[0]
	id, err := connectorID(leaf)
	if err != nil {
		return hello{}, nil, err
	}
	f, err := readFrame(conn)
	if err != nil {
		return hello{}, nil, fmt.Errorf("read hello: %w", err)
	}
	h, ok := f.(hello)
	if !ok {
		return hello{}, nil, fmt.Errorf("frame of kind %d, want hello", f.kind())
	}
	if h.connector != id {
		return hello{}, nil, fmt.Errorf("hello names %s, the x509 certificate %s", h.connector, id)
	}
	return h, leaf, nil
}

// refuse tells the connector in general words and the log exactly.
func (r *Registry) refuse(conn *tls.Conn, actor string, err error) {
	_ = writeFrame(conn, refuse{reason: sekisho.Say(err)})
	_ = conn.CloseWrite()
	// A peer that has not proven anything is not worth an event: it could fill the log.
	r.cfg.Log.Warn("refuse link", "connector", actor, "address", conn.RemoteAddr().String(), "error", err)
	if actor == "" || !r.mayNote(actor) {
		return
	}
	r.note(&sekisho.Event{
		Kind: sekisho.EventConnectorRefused, Actor: actor, ClientAddress: host(conn.RemoteAddr()), Error: err.Error(),
	})
}

// mayNote bounds the events about a connector that is refused again and again, one that was ended included, so that it
// cannot fill the audit log. Only who has an x509 certificate of ours gets here, so the map stays small.
func (r *Registry) mayNote(actor string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now()
	if last, ok := r.refused[actor]; ok && now.Sub(last) < refusedPause && !now.Before(last) {
		return false
	}
	r.refused[actor] = now
	return true
}

func (r *Registry) note(e *sekisho.Event) error {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	err := r.cfg.Note(ctx, e)
	if err != nil {
		r.cfg.Log.Error("note event", "kind", e.Kind, "actor", e.Actor, "error", err)
	}
	return err
}

func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}

func (r *Registry) serveControl(conn *tls.Conn, h hello, leaf *x509.Certificate) {
	p, err := r.admit(conn, h, leaf)
	actor := "connector:" + h.connector
	if p != nil {
		actor = "connector:" + p.member.Name
	}
	if err == nil {
		// First the line in the log, then the link.
		err = r.note(&sekisho.Event{
			Kind: sekisho.EventConnectorConnected, Actor: actor, ClientAddress: host(conn.RemoteAddr()),
			Detail: map[string]string{"link": h.link, "version": h.version, "targets": strconv.Itoa(len(p.served))},
		})
	}
	if err == nil {
		err = r.add(p)
	}
	if err != nil {
		r.refuse(conn, actor, err)
		return
	}
	defer conn.Close()
	log := r.cfg.Log.With("connector", p.member.Name, "link", p.id)
	log.Info("link is up", "targets", len(p.served), "version", h.version)
	err = p.send(welcome{targets: uint16(len(p.served))})
	if err == nil {
		err = r.hold(p)
	}
	r.drop(p)
	log.Info("link is down", "cause", err)
	r.note(&sekisho.Event{
		Kind: sekisho.EventConnectorLost, Actor: actor, ClientAddress: host(conn.RemoteAddr()),
		Detail: map[string]string{"link": h.link}, Error: text(err),
	})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// admit reads what the connector offers and asks whether it may.
func (r *Registry) admit(conn *tls.Conn, h hello, leaf *x509.Certificate) (*peer, error) {
	var offered []string
	for len(offered) < int(h.targets) {
		f, err := readFrame(conn)
		if err != nil {
			return nil, fmt.Errorf("read targets: %w", err)
		}
		s, ok := f.(serve)
		if !ok || len(offered)+len(s.names) > int(h.targets) {
			return nil, fmt.Errorf("frame of kind %d, want the %d targets that hello announced", f.kind(), h.targets)
		}
		offered = append(offered, s.names...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	r.mu.Lock()
	cuts := r.cuts
	r.mu.Unlock()
	m, err := r.cfg.Authorize(ctx, leaf)
	if err != nil {
		return nil, fmt.Errorf("authorize: %w", err)
	}
	p := &peer{id: h.link, member: m, control: conn, since: r.cfg.Now(), expires: leaf.NotAfter, cuts: cuts,
		conns: make(map[*spare]struct{}),
	}
	if m.ID != h.connector {
		return p, fmt.Errorf("authorized as %s, the x509 certificate names %s", m.ID, h.connector)
	}
	slices.Sort(offered)
	for _, name := range slices.Compact(offered) {
		if slices.Contains(m.Targets, name) {
			p.served = append(p.served, name)
		} else {
			r.cfg.Log.Warn("connector offers a target that is not its own", "connector", m.Name, "target", name)
		}
	}
	if len(p.served) == 0 {
		return p, &sekisho.Refusal{
			Sentence: "None of the offered targets belongs to this connector.",
			Next:     "Compare the names in its configuration with those it joined for.",
		}
	}
	return p, nil
}

// add registers a link, within the bounds.
func (r *Registry) add(p *peer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("gateway is closing")
	}
	if r.cuts != p.cuts { // the answer may be older than the reason for the cut
		return errors.New("a connector was cut while this one was being authorized")
	}
	if r.links[p.id] != nil {
		return errors.New("link ID is in use")
	}
	if len(r.links) >= r.cfg.MaxLinks {
		return fmt.Errorf("%d links are up, which is the limit", len(r.links))
	}
	r.makeRoom(p.member.ID)
	r.links[p.id] = p
	for _, name := range p.served {
		r.targets[name] = append(r.targets[name], p)
	}
	return nil
}

// makeRoom ends a connector's oldest links when it has too many. Streams on them go on.
func (r *Registry) makeRoom(connector string) {
	var own []*peer
	for _, p := range r.links {
		if p.member.ID == connector && !p.ended {
			own = append(own, p)
		}
	}
	slices.SortFunc(own, func(a, b *peer) int { return a.since.Compare(b.since) })
	for len(own) >= linksPerConnector {
		own[0].control.NetConn().Close()
		own = own[1:]
	}
}

// hold reads the control connection until it ends. The connector pings; silence is death.
func (r *Registry) hold(p *peer) error {
	for {
		_ = p.control.SetReadDeadline(time.Now().Add(silenceTime))
		f, err := readFrame(p.control)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch f.(type) {
		case ping:
			if err := p.send(pong{}); err != nil {
				return err
			}
		case drain:
			r.drain(p)
		default:
			return fmt.Errorf("frame of kind %d on a control connection", f.kind())
		}
	}
}

// drain takes a link out of use; its streams and its control connection stay.
func (r *Registry) drain(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unlist(p)
	p.drained = true
	p.rest()
}

// drop ends a link. Streams have connections of their own and go on; Cut still finds them.
func (r *Registry) drop(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unlist(p)
	p.ended = true
	p.rest()
	r.forget(p)
}

func (r *Registry) unlist(p *peer) {
	for _, name := range p.served {
		r.targets[name] = slices.DeleteFunc(r.targets[name], func(q *peer) bool { return q == p })
		if len(r.targets[name]) == 0 {
			delete(r.targets, name)
		}
	}
	p.served = nil
}

// forget removes a link of which nothing is left.
func (r *Registry) forget(p *peer) {
	if p.ended && len(p.conns) == 0 {
		delete(r.links, p.id)
	}
}
