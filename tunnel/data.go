package tunnel

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"
)

// serveData keeps a data connection until its stream, if it ever gets one, has ended. While it is spare its goroutine
// waits in a read, so that one which dies is dropped at once.
func (r *Registry) serveData(conn *tls.Conn, h hello) {
	s := newSpare(conn)
	_ = conn.SetDeadline(time.Time{})
	p, err := r.offer(s, h)
	if err != nil {
		_ = conn.SetDeadline(time.Now().Add(writeTime))
		r.refuse(conn, "", err)
		return
	}
	defer r.release(p, s)
	f, err := readFrame(conn)
	if !r.wasTaken(p, s) {
		if err == nil {
			r.cfg.Log.Warn("frame on a spare data connection", "connector", p.member.Name, "kind", f.kind())
		}
		return
	}
	switch f := f.(type) {
	case opened:
		s.answer <- nil
		<-s.done
	case failed:
		s.answer <- because(p.member.Name, f.reason)
	case nil:
		s.answer <- fmt.Errorf("%w: %v", errDead, err)
	default:
		s.answer <- fmt.Errorf("frame of kind %d, want opened", f.kind())
	}
}

// because gives the connector's reason why it did not open a stream.
func because(connector, reason string) error {
	if strings.HasPrefix(reason, reasonFull) {
		return fmt.Errorf("%w: connector %s: %s", errFull, connector, reason)
	}
	return &unreachable{reason: reason}
}

// offer adds a data connection to its link: the same connector, and within the bounds.
func (r *Registry) offer(s *spare, h hello) (*peer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.links[h.link]
	switch {
	case p == nil || p.member.ID != h.connector || p.ended || p.drained || r.closed:
		return nil, errors.New("data connection for no link of this connector")
	case len(p.conns) >= r.cfg.MaxConns:
		return nil, fmt.Errorf("link has %d data connections, which is the limit", len(p.conns))
	case len(p.spares) >= r.cfg.MaxSpare:
		return nil, fmt.Errorf("link has %d spare data connections, which is the limit", len(p.spares))
	}
	s.link = p
	p.conns[s] = struct{}{}
	p.hand(s)
	return p, nil
}

// wasTaken takes the connection out of the spare ones and says whether somebody is opening a stream on it.
func (r *Registry) wasTaken(p *peer, s *spare) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.taken {
		return true
	}
	for i, q := range p.spares {
		if q == s {
			p.spares = append(p.spares[:i], p.spares[i+1:]...)
			break
		}
	}
	return false
}

func (r *Registry) release(p *peer, s *spare) {
	s.kill()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(p.conns, s)
	r.forget(p)
}
