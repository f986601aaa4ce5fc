package control

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// sendTime is how long a caller may take to send a request, takeTime how long to take one piece of the answer.
	sendTime = 30 * time.Second
	takeTime = time.Minute
)

// bounded keeps slow callers from holding a connection: they have the time send for the request, and takeTime for each
// piece of the answer, however many there are.
func bounded(next http.Handler, send time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := http.NewResponseController(w)
		// Deadlines are missing only where there is no network underneath, as in tests.
		_ = conn.SetReadDeadline(time.Now().Add(send))
		sent := &counted{ReadCloser: r.Body}
		sent.ended.Store(r.Body == http.NoBody)
		r.Body = http.MaxBytesReader(w, sent, maxMessage+maxMessage/8)
		cutting := r.WithContext(context.WithValue(r.Context(), cutKey{}, conn))
		next.ServeHTTP(&patient{ResponseWriter: w, conn: conn, sent: sent, http1: r.ProtoMajor == 1}, cutting)
	})
}

type cutKey struct{}

// cut ends the answer to a call whose caller does not take it.
func cut(ctx context.Context) {
	if conn, ok := ctx.Value(cutKey{}).(*http.ResponseController); ok {
		_ = conn.SetWriteDeadline(time.Now())
	}
}

// counted knows whether a body has arrived whole.
type counted struct {
	io.ReadCloser
	ended atomic.Bool
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err == io.EOF {
		c.ended.Store(true)
	}
	return n, err
}

// patient moves the deadlines on as the answer goes out.
type patient struct {
	http.ResponseWriter
	conn    *http.ResponseController
	sent    *counted
	http1   bool
	started bool
}

func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *patient) Write(b []byte) (int, error) {
	p.move()
	return p.ResponseWriter.Write(b)
}

func (p *patient) WriteHeader(status int) {
	p.move()
	p.ResponseWriter.WriteHeader(status)
}

func (p *patient) Flush() {
	p.move()
	_ = p.conn.Flush() // what cannot flush has nothing to hold back
}

func (p *patient) move() {
	if !p.started {
		p.started = true
		// Once the request has been read, a deadline that struck would end a long download. As long as it has not, the
		// deadline stays: the server reads what is left of a body before it answers, and would wait for it forever.
		if p.sent.ended.Load() {
			_ = p.conn.SetReadDeadline(time.Time{})
		} else if p.http1 {
			p.Header().Set("Connection", "close") // nor is the rest to be taken for the next request
		}
	}
	_ = p.conn.SetWriteDeadline(time.Now().Add(takeTime))
}
