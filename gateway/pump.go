package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Buffers: a small one while a direction is idle or carries keystrokes, a large one from the pool while data moves.
const (
	idleBuffer = 1 << 10
	bulkBuffer = 64 << 10
)

var bulk = sync.Pool{New: func() any { b := make([]byte, bulkBuffer); return &b }}

// counter counts bytes.
type counter interface{ Add(n int64) int64 }

// pump moves bytes from src to dst until src ends, counting them, and takes a large buffer only while there is
// more to read than the small one holds.
func pump(dst io.Writer, src io.Reader, count counter) error {
	small := make([]byte, idleBuffer)
	for {
		n, err := src.Read(small)
		if n > 0 {
			count.Add(int64(n))
			if _, werr := dst.Write(small[:n]); werr != nil {
				return werr
			}
		}
		if err == nil && n == len(small) {
			err = pumpBulk(dst, src, count)
		}
		if err != nil {
			return over(err)
		}
	}
}

// pumpBulk moves bytes with a large buffer until a read leaves most of it empty.
func pumpBulk(dst io.Writer, src io.Reader, count counter) error {
	p := bulk.Get().(*[]byte)
	defer bulk.Put(p)
	for {
		n, err := src.Read(*p)
		if n > 0 {
			count.Add(int64(n))
			if _, werr := dst.Write((*p)[:n]); werr != nil {
				return werr
			}
		}
		if err != nil || n < idleBuffer {
			return err
		}
	}
}

// over is nil where an error only says that there is nothing more to read.
func over(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// pipe passes a stream through untouched: both directions, each ended by itself.
func (s *session) pipe(ctx context.Context, near net.Conn) error {
	stop := context.AfterFunc(ctx, func() {
		near.Close()
		s.far.Close()
	})
	defer stop()
	up := make(chan error, 1)
	go func() {
		err := pump(s.far, near, &s.bytesIn)
		closeWrite(s.far)
		up <- err
	}()
	down := pump(near, s.far, &s.bytesOut)
	closeWrite(near)
	// The target has ended: whatever the user still sends has nowhere to go.
	near.SetReadDeadline(time.Now().Add(closeTime))
	upErr := <-up
	if ctx.Err() != nil {
		return s.stopped()
	}
	if upErr != nil && !errors.Is(upErr, net.ErrClosed) && down == nil {
		return nil // the user's side broke off after the target had ended
	}
	if ended(down) {
		return nil
	}
	return down
}
