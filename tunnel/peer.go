package tunnel

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/sekisho/sekisho"
)

// peer is one link as the gateway sees it. The registry's lock guards its fields, except control's writes.
type peer struct {
	id      string
	member  Member
	control *tls.Conn
	// expires is when the connector's x509 certificate does; no stream is opened after it.
	expires time.Time
	since   time.Time
	cuts    int      // Registry.cuts before it was authorized
	served  []string // targets it is registered under
	ended   bool     // the control connection is gone
	drained bool     // the connector asked for no more streams

	conns   map[*spare]struct{} // all data connections, spare or in use
	spares  []*spare            // the spare ones, freshest last
	waiting []chan *spare       // Dials that wait for one, first come first

	ask    int  // data connections to ask for
	asking bool // a goroutine is writing want frames
	write  sync.Mutex
}

func (p *peer) usable(now time.Time) bool {
	return !p.ended && !p.drained && now.Before(p.expires)
}

// hand gives a data connection to the first who waits, or keeps it.
func (p *peer) hand(s *spare) {
	if p.ended || p.drained {
		s.kill()
		return
	}
	if len(p.waiting) == 0 {
		s.taken = false
		p.spares = append(p.spares, s)
		return
	}
	s.taken = true
	p.waiting[0] <- s
	p.waiting = p.waiting[1:]
}

// askMore asks the connector for one more data connection. Wishes that come while a frame is being written go out
// together in the next.
func (r *Registry) askMore(p *peer) {
	p.ask++
	if p.asking {
		return
	}
	p.asking = true
	go r.sendWants(p)
}

func (r *Registry) sendWants(p *peer) {
	for {
		r.mu.Lock()
		n := p.ask
		p.ask = 0
		p.asking = n > 0 && !p.ended
		more := p.asking
		r.mu.Unlock()
		if !more {
			return
		}
		if p.send(want{n: uint16(n)}) != nil {
			p.control.NetConn().Close()
		}
	}
}

// send writes one frame on the control connection.
func (p *peer) send(f frame) error {
	p.write.Lock()
	defer p.write.Unlock()
	_ = p.control.SetWriteDeadline(time.Now().Add(writeTime))
	return writeFrame(p.control, f)
}

// rest lets go of the spare connections and of those who wait: no more streams on this link.
func (p *peer) rest() {
	for _, s := range p.spares {
		s.kill()
	}
	p.spares = nil
	for _, w := range p.waiting {
		w <- nil
	}
	p.waiting = nil
}

// cut ends the link and its streams. Sockets are closed without TLS's goodbye, which could block on a dead peer.
// What comes after it on this link finds it drained.
func (p *peer) cut() {
	p.drained = true
	p.rest()
	p.control.NetConn().Close()
	for s := range p.conns {
		s.kill()
	}
}

// spare is one data connection: first spare, then the stream itself. Its Serve goroutine reads it until the
// connector has answered the open frame; from then on it belongs to who dialled.
type spare struct {
	conn   *tls.Conn
	link   *peer // set once the link has taken it
	prompt *prompt
	taken  bool       // under the registry's lock: an open frame was or is being written
	answer chan error // the connector's answer to it
	once   sync.Once
	done   chan struct{} // closed by kill and by the stream's Close
}

func newSpare(conn *tls.Conn) *spare {
	return &spare{conn: conn, answer: make(chan error, 1), done: make(chan struct{})}
}

// open asks for the stream and waits for the answer. errDead says that another connection may do better.
func (s *spare) open(ctx context.Context, target string) error {
	s.prompt = promptly(s.conn)
	deadline, _ := ctx.Deadline()
	_ = s.conn.SetWriteDeadline(deadline)
	if err := writeFrame(s.conn, open{target: target, stream: sekisho.NewID("str")}); err != nil {
		return fmt.Errorf("%w: ask for a stream: %v", errDead, err)
	}
	select {
	case err := <-s.answer:
		_ = s.conn.SetWriteDeadline(time.Time{})
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the connector to open a stream: %w", ctx.Err())
	}
}

// kill closes the socket at once.
func (s *spare) kill() {
	s.once.Do(func() {
		s.conn.NetConn().Close()
		close(s.done)
	})
}

// stream is the open connection as who dialled sees it.
type stream struct {
	*prompt
	s *spare
}

func (s *spare) stream() net.Conn { return &stream{prompt: s.prompt, s: s} }

// Close says goodbye and ends the stream.
func (st *stream) Close() error {
	var err error
	st.s.once.Do(func() {
		err = st.s.conn.Close()
		close(st.s.done)
	})
	return err
}
