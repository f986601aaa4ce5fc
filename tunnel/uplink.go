package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sekisho/sekisho"
)

// uplink is one link as the connector sees it: its control connection and its spare data connections. Streams
// belong to the Link and outlive it.
type uplink struct {
	l       *Link
	id      string
	targets int // that the gateway lets it serve
	control *tls.Conn
	// spareCtx ends with the link or when it drains, hard when streams are cut.
	spareCtx, hard context.Context
	release        context.CancelFunc
	lost           chan struct{} // closed when the control connection has ended
	err            error         // why; read after lost
	quit           chan struct{} // closed by retire
	quitOnce       sync.Once

	mu    sync.Mutex
	spare int // data connections that are ready or being dialled
	wg    sync.WaitGroup
}

// connect makes a link: control connection, hello, targets, welcome.
func (l *Link) connect(ctx, hard context.Context) (*uplink, error) {
	id := sekisho.NewID("lnk")
	conn, err := l.dial(ctx, hello{role: roleControl, link: id, targets: uint16(len(l.names))})
	if err != nil {
		return nil, err
	}
	n, err := l.introduce(ctx, conn)
	if err != nil {
		conn.NetConn().Close()
		return nil, err
	}
	u := &uplink{
		l: l, id: id, targets: n, control: conn, hard: hard,
		lost: make(chan struct{}), quit: make(chan struct{}),
	}
	u.spareCtx, u.release = context.WithCancel(hard)
	return u, nil
}

// introduce offers the targets and reads the answer.
func (l *Link) introduce(ctx context.Context, conn *tls.Conn) (int, error) {
	defer context.AfterFunc(ctx, func() { conn.NetConn().Close() })()
	_ = conn.SetDeadline(time.Now().Add(handshakeTime))
	for _, f := range serveFrames(l.names) {
		if err := writeFrame(conn, f); err != nil {
			return 0, fmt.Errorf("offer targets: %w", err)
		}
	}
	f, err := readFrame(conn)
	if err != nil {
		return 0, fmt.Errorf("read answer to hello: %w", err)
	}
	switch f := f.(type) {
	case welcome:
		if int(f.targets) < len(l.names) {
			l.cfg.Log.Warn("some targets of the configuration are not this connector's",
				"offered", len(l.names), "accepted", f.targets)
		}
		return int(f.targets), nil
	case refuse:
		return 0, fmt.Errorf("refused: %s", f.reason)
	}
	return 0, fmt.Errorf("frame of kind %d, want welcome", f.kind())
}

// run carries the link until its control connection ends or, once retired, its last chance to be useful is over.
func (u *uplink) run() {
	go func() {
		u.err = u.read()
		close(u.lost)
	}()
	u.fill(0)
	u.ping()
	u.control.NetConn().Close()
	<-u.lost
	u.release()
	u.wg.Wait()
}

// ping keeps the control connection alive. It returns when that is lost or after it has said that the link drains.
func (u *uplink) ping() {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for {
		var f frame = ping{}
		select {
		case <-u.lost:
			return
		case <-u.quit:
			f = drain{}
		case <-tick.C:
		}
		_ = u.control.SetWriteDeadline(time.Now().Add(writeTime))
		if err := writeFrame(u.control, f); err != nil {
			return
		}
		if f.kind() == kindDrain {
			u.release()
			_ = u.control.CloseWrite()
			// The gateway answers the goodbye by closing; a hung one is not waited for long.
			bound := time.NewTimer(writeTime)
			defer bound.Stop()
			select {
			case <-u.lost:
			case <-bound.C:
			}
			return
		}
	}
}

// read takes the gateway's frames until the connection ends.
func (u *uplink) read() error {
	for {
		_ = u.control.SetReadDeadline(time.Now().Add(silenceTime))
		f, err := readFrame(u.control)
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case pong:
		case want:
			u.fill(int(f.n))
		case refuse:
			return fmt.Errorf("refused: %s", f.reason)
		default:
			return fmt.Errorf("frame of kind %d on a control connection", f.kind())
		}
	}
}

func (u *uplink) retire() { u.quitOnce.Do(func() { close(u.quit) }) }

func (u *uplink) isLost() bool {
	select {
	case <-u.lost:
		return true
	default:
		return false
	}
}

// fill dials data connections: up to the configured number of spare ones, and extra more.
func (u *uplink) fill(extra int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	goal := min(max(u.l.cfg.Spare, u.spare+extra), mostSpare)
	for ; u.spare < goal && u.spareCtx.Err() == nil; u.spare++ {
		u.wg.Go(u.attend)
	}
}

func (u *uplink) used() {
	u.mu.Lock()
	u.spare--
	u.mu.Unlock()
}

// attend makes one data connection and waits on it for a stream to be opened, which then goes on without the uplink.
func (u *uplink) attend() {
	conn, o, err := u.await()
	u.used()
	if err != nil {
		if u.spareCtx.Err() == nil {
			u.l.cfg.Log.Debug("data connection", "link", u.id, "error", err)
			pause(u.spareCtx, time.Second/2+rand.N(time.Second))
			u.fill(0)
		}
		return
	}
	u.l.streams.Go(func() { u.l.carry(u.hard, conn, o) }) // while wg counts this goroutine: Run waits for both in turn
	u.fill(0)
}

// await dials a data connection and reads the open frame.
func (u *uplink) await() (*prompt, open, error) {
	conn, err := u.l.dial(u.spareCtx, hello{role: roleData, link: u.id})
	if err != nil {
		return nil, open{}, err
	}
	keep := context.AfterFunc(u.spareCtx, func() { conn.NetConn().Close() })
	f, err := readFrame(conn)
	if !keep() {
		return nil, open{}, errors.New("link has ended")
	}
	if o, ok := f.(open); ok && err == nil {
		return promptly(conn), o, nil
	}
	conn.NetConn().Close()
	if r, ok := f.(refuse); ok {
		err = fmt.Errorf("refused: %s", r.reason)
	} else if err == nil {
		err = fmt.Errorf("frame of kind %d, want open", f.kind())
	}
	return nil, open{}, err
}
