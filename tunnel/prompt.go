package tunnel

import (
	"net"
	"sync/atomic"
	"syscall"
)

// promptReads is how many reads of a connection are acknowledged at once. OpenSSH leaves Nagle's algorithm on while a
// login goes on, so every delayed acknowledgement costs the person 40 ms; a login takes fewer reads than this.
const promptReads = 60

// prompt is a connection, TCP or TLS over TCP, that acknowledges its first reads at once.
type prompt struct {
	net.Conn
	raw    syscall.RawConn // nil when there is no socket below
	left   atomic.Int32
	gather *gather // below the TLS; nil where nothing gathers
}

// Prompt wraps a connection, TCP or TLS over TCP, so that the reads of its first moments are acknowledged at once:
// what a listener for OpenSSH clients wants.
func Prompt(c net.Conn) net.Conn { return promptly(c) }

func promptly(c net.Conn) *prompt {
	p := &prompt{Conn: c}
	below := c
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		below = t.NetConn()
		p.gather, _ = below.(*gather)
	}
	if s, ok := below.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			p.raw = raw
			p.left.Store(promptReads)
			acknowledge(raw)
		}
	}
	return p
}

// Read re-arms the socket each time, because the kernel falls back to delayed acknowledgements by itself.
func (p *prompt) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if n > 0 && p.left.Load() > 0 {
		p.left.Add(-1)
		acknowledge(p.raw)
	}
	return n, err
}

// Write writes at once, all records of b together.
func (p *prompt) Write(b []byte) (int, error) {
	if p.gather == nil || len(b) <= maxRecord {
		return p.Conn.Write(b)
	}
	return p.gather.together(func() (int, error) { return p.Conn.Write(b) })
}

// maxRecord is how many bytes one TLS record carries (RFC 8446 §5.1).
const maxRecord = 16 << 10

// CloseWrite says that nothing more will be written; reading goes on.
func (p *prompt) CloseWrite() error {
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return p.Conn.Close()
}
