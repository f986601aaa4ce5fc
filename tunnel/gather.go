package tunnel

import (
	"net"
	"sync"
)

// gather is the TCP connection below a link's TLS. TLS writes each record, 16 KiB at the most, by itself; while one
// large write is held here, its records leave together, which spares system calls here and wake-ups at the other end.
type gather struct {
	*net.TCPConn

	mu   sync.Mutex
	held *[]byte // records that wait; nil while nothing is held
}

// gathered is how much waits at the most: the records of one write with a big buffer.
const gathered = bigBuffer + 4<<10

var gathers = sync.Pool{New: func() any { b := make([]byte, 0, gathered); return &b }}

// gathering is for the connector, whose side carries downloads; on the gateway's side it gained nothing measurable.
func gathering(c net.Conn) net.Conn {
	if t, ok := c.(*net.TCPConn); ok {
		return &gather{TCPConn: t}
	}
	return c
}

// Write implements io.Writer.
func (g *gather) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == nil {
		return g.TCPConn.Write(b)
	}
	if len(*g.held)+len(b) > gathered {
		if err := g.flush(); err != nil {
			return 0, err
		}
	}
	*g.held = append(*g.held, b...)
	return len(b), nil
}

// together runs one write of TLS and lets its records leave as one. It returns when they have.
func (g *gather) together(write func() (int, error)) (int, error) {
	g.mu.Lock()
	g.held = gathers.Get().(*[]byte)
	g.mu.Unlock()
	n, err := write()
	g.mu.Lock()
	defer g.mu.Unlock()
	if ferr := g.flush(); err == nil {
		err = ferr
	}
	gathers.Put(g.held)
	g.held = nil
	return n, err
}

func (g *gather) flush() error {
	_, err := g.TCPConn.Write(*g.held)
	*g.held = (*g.held)[:0]
	return err
}
