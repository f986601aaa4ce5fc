package control

import (
	"net/http"
	"time"
)

const (
	// sendTime is how long a caller may take to send a request, takeTime how long to take one piece of the answer.
	sendTime = 30 * time.Second
	takeTime = time.Minute
)

// bounded keeps slow callers from holding a connection: they have sendTime for the request, and takeTime for each
// piece of the answer, however many there are.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := http.NewResponseController(w)
		// Deadlines are missing only where there is no network underneath, as in tests.
		_ = conn.SetReadDeadline(time.Now().Add(sendTime))
		r.Body = http.MaxBytesReader(w, r.Body, maxMessage+maxMessage/8)
		next.ServeHTTP(&patient{ResponseWriter: w, conn: conn}, r)
	})
}

// patient moves the deadlines on as the answer goes out.
type patient struct {
	http.ResponseWriter
	conn    *http.ResponseController
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
		// The request has been read: a deadline that struck now would end a long download.
		_ = p.conn.SetReadDeadline(time.Time{})
	}
	_ = p.conn.SetWriteDeadline(time.Now().Add(takeTime))
}
