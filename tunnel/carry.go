package tunnel

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// carry opens the stream that the gateway asks for and copies until both directions have ended.
func (l *Link) carry(ctx context.Context, conn *prompt, o open) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { closeBelow(conn) })()
	log := l.cfg.Log.With("target", o.target, "stream", o.stream)
	target, reason, err := l.reach(ctx, o.target)
	_ = conn.SetWriteDeadline(time.Now().Add(writeTime))
	if err != nil {
		log.Warn("refuse stream", "error", err)
		_ = writeFrame(conn, failed{reason: reason})
		return
	}
	defer func() { <-l.slots }()
	defer target.Close()
	defer context.AfterFunc(ctx, func() { target.Close() })()
	if err := writeFrame(conn, opened{}); err != nil {
		return
	}
	_ = conn.SetWriteDeadline(time.Time{})
	up, down, err := relay(conn, promptly(target))
	log.Debug("stream ended", "bytes_to_target", up, "bytes_from_target", down, "cause", err)
}

// closeBelow closes the socket without TLS's goodbye, which could block.
func closeBelow(c *prompt) {
	if t, ok := c.Conn.(interface{ NetConn() net.Conn }); ok {
		t.NetConn().Close()
	}
}

// reach dials a target of the configuration, and takes a slot. The reason is what the gateway may know.
func (l *Link) reach(ctx context.Context, name string) (conn net.Conn, reason string, err error) {
	address, ok := l.cfg.Targets[name]
	if !ok {
		return nil, "unknown target", fmt.Errorf("gateway asks for target %q, which the configuration does not name", name)
	}
	select {
	case l.slots <- struct{}{}:
	default:
		return nil, fmt.Sprint(reasonFull, ": ", cap(l.slots)), fmt.Errorf("%d streams are open, which is the limit (max_streams)", cap(l.slots))
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err = l.cfg.Dial(ctx, "tcp", address)
	if err != nil {
		<-l.slots
		return nil, "target does not answer", fmt.Errorf("dial target: %w", err)
	}
	return conn, "", nil
}

const (
	smallBuffer = 1 << 10
	bigBuffer   = 64 << 10
	// halfTime is how long one direction may stay silent once the other has ended.
	halfTime = 2 * time.Minute
)

// big buffers are held only while data moves in bulk, so that idle streams cost little.
var big = sync.Pool{New: func() any { return new([bigBuffer]byte) }}

// relay copies both ways, with half-close, until both directions have ended or one has failed.
func relay(a, b *prompt) (ab, ba int64, err error) {
	var half atomic.Bool
	back := make(chan error, 1)
	go func() {
		var err error
		ba, err = pump(a, b, &half)
		back <- err
	}()
	ab, err = pump(b, a, &half)
	if berr := <-back; err == nil {
		err = berr
	}
	return ab, ba, err
}

// pump copies src to dst until src ends, and passes the end on. A failure closes both, which ends the other pump too.
func pump(dst, src *prompt, half *atomic.Bool) (int64, error) {
	n, err := copyBytes(dst, src, half)
	if err == nil {
		half.Store(true)
		_ = dst.SetReadDeadline(time.Now().Add(halfTime))
		err = dst.CloseWrite()
	}
	if err != nil {
		closeBelow(dst)
		closeBelow(src)
		dst.Close()
		src.Close()
	}
	return n, err
}

// copyBytes reads with a small buffer and changes to a big one while the small one comes back full.
func copyBytes(dst io.Writer, src *prompt, half *atomic.Bool) (total int64, err error) {
	small := make([]byte, smallBuffer)
	buf := small
	var borrowed *[bigBuffer]byte
	defer func() {
		if borrowed != nil {
			big.Put(borrowed)
		}
	}()
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return total, err
			}
			total += int64(n)
			if half.Load() {
				_ = src.SetReadDeadline(time.Now().Add(halfTime))
			}
		}
		switch {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		case borrowed == nil && n == smallBuffer:
			borrowed = big.Get().(*[bigBuffer]byte)
			buf = borrowed[:]
		case borrowed != nil && n < smallBuffer:
			big.Put(borrowed)
			borrowed, buf = nil, small
		}
	}
}
