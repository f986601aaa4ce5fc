package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/sekisho/sekisho"
)

// ServeSSH takes one connection at the SSH port: `ssh login%target@gateway`, or a visit, where the user name holds no %.
// It returns when everything that came of it is over.
func (g *Gateway) ServeSSH(ctx context.Context, conn net.Conn) {
	g.knock(ctx, conn, func() (arrival, error) {
		return arrival{way: sekisho.WayPort, names: []string{g.cfg.Host}}, nil
	})
}

// ServeOriginal takes one connection that was going to an address and was redirected to us. The target is the one that
// has that address, the user name is the login.
func (g *Gateway) ServeOriginal(ctx context.Context, conn net.Conn, to netip.Addr) {
	g.knock(ctx, conn, func() (arrival, error) {
		asked := to.Unmap().String()
		target, err := g.cfg.Find(ctx, asked)
		if errors.Is(err, sekisho.ErrNotFound) {
			err = &sekisho.Refusal{Sentence: "No target has the address " + asked + ".", Cause: err}
		}
		return arrival{way: sekisho.WayTransparent, target: target, names: []string{asked}}, err
	})
}

// knock lets a connection of a listener onto the doorstep, if there is room, and on as the arrival that it turns out to be.
func (g *Gateway) knock(ctx context.Context, conn net.Conn, what func() (arrival, error)) {
	client := address(conn.RemoteAddr())
	leave, ok := g.knocking.step(client)
	if !ok {
		g.cfg.Log.Debug("arrival turned away", "client", client.String())
		turnAway(conn, "Too many connections wait to be let in. Try again in a moment.")
		return
	}
	defer leave()
	a, err := what()
	if err != nil {
		g.cfg.Log.Info("arrival", "client", client.String(), "error", err)
		turnAway(conn, sekisho.Say(err))
		return
	}
	a.client, a.admitted = client, leave
	g.arrive(ctx, conn, a)
}

// turnAway says a line where a server's version would be (RFC 4253, section 4.2, allows that), and hangs up.
func turnAway(conn net.Conn, sentence string) {
	conn.SetDeadline(time.Now().Add(time.Second))
	io.WriteString(conn, sentence+"\r\n")
	conn.Close()
}
