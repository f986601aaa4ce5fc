package gateway

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
)

// StreamProtocol is the name in the Upgrade header of a client's stream; after the 101 there are raw bytes.
const StreamProtocol = "sekisho-stream"

// ServeHTTP takes a client's stream: a GET with the target-scoped token, a proof of possession and an Upgrade
// header. Refusals are answered with 401, 403 or 503 and the sentence for the person as text.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), StreamProtocol) {
		w.Header().Set("Upgrade", StreamProtocol)
		http.Error(w, "This address takes client streams only; use sekisho connect.", http.StatusUpgradeRequired)
		return
	}
	pass, err := g.cfg.Identify(r)
	if err != nil {
		g.cfg.Log.Warn("stream refused", "client", r.RemoteAddr, "error", err)
		http.Error(w, sekisho.Say(err), http.StatusUnauthorized)
		return
	}
	client, err := net.ResolveTCPAddr("tcp", r.RemoteAddr)
	if err != nil {
		http.Error(w, sekisho.Say(err), http.StatusInternalServerError)
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	in := &stream{w: w, answered: make(chan struct{})}
	s := g.newSession(pass, arrival{way: sekisho.WayStream, client: address(client)}, in, cancel)
	if err := g.enter(s); err != nil {
		cancel()
		http.Error(w, sekisho.Say(err), http.StatusServiceUnavailable)
		return
	}
	// The walk goes on by itself once the stream is open, so that the server's buffers are given back.
	go func() {
		defer g.leave(s)
		defer cancel()
		in.finish(g, s, s.walk(ctx))
	}()
	<-in.answered
}

// stream is the way in through HTTPS.
type stream struct {
	w        http.ResponseWriter
	conn     net.Conn
	answered chan struct{}
}

// ends: a stream's SSH is the target's business unless it is to be audited.
func (in *stream) ends(limits sekisho.Limits) bool { return limits.Audit != sekisho.AuditNone }

func (in *stream) open() (net.Conn, error) {
	conn, buffered, err := http.NewResponseController(in.w).Hijack()
	if err != nil {
		return nil, err
	}
	defer close(in.answered)
	in.w, in.conn = nil, conn
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + StreamProtocol + "\r\n\r\n")); err != nil {
		return nil, err
	}
	return eager(conn, buffered.Reader), nil
}

func (in *stream) secure(ctx context.Context, s *session, conn net.Conn) (*sshEnd, error) {
	return s.handshake(ctx, conn)
}

// finish answers a stream that was never opened, and closes one that was.
func (in *stream) finish(g *Gateway, s *session, err error) {
	if in.conn != nil {
		in.conn.Close()
		if err != nil {
			g.cfg.Log.Info("session ended", "session", s.ID, "error", err)
		}
		return
	}
	defer close(in.answered)
	g.cfg.Log.Warn("session refused", "session", s.ID, "error", err)
	status := http.StatusServiceUnavailable
	if late := (*stale)(nil); s.decision.Effect == sekisho.Deny || errors.As(err, &late) {
		status = http.StatusForbidden
	}
	http.Error(in.w, sekisho.Say(err), status)
}

// eager gives a connection back the bytes that the HTTP server had read ahead.
func eager(conn net.Conn, ahead *bufio.Reader) net.Conn {
	n := ahead.Buffered()
	if n == 0 {
		return conn
	}
	first, _ := ahead.Peek(n)
	return &readAhead{Conn: conn, first: append([]byte(nil), first...)}
}

type readAhead struct {
	net.Conn
	first []byte
}

func (c *readAhead) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

func (c *readAhead) CloseWrite() error { return closeWrite(c.Conn) }

// closeWrite ends one direction of a connection, or all of it where half cannot be ended.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// ended reports whether an error only says that a connection is over.
func ended(err error) bool {
	return err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled)
}
