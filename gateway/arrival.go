package gateway

import (
	"context"
	"net"
	"net/netip"

	"github.com/sekisho/sekisho"
)

// arrival says how an SSH connection came to us that carries no token.
type arrival struct {
	way    sekisho.Way
	parent string     // ID of the session or visit that it came through; empty at a listener
	client netip.Addr // where the person is: of the outermost connection
	target string     // where they want to go; empty: the user name says it (login%target)
	names  []string   // what they may have called the target, for the host certificate
}

// arrive ends the SSH of an arrival and takes it through the walk. It returns when the session is over.
func (g *Gateway) arrive(ctx context.Context, conn net.Conn, a arrival) {
	panic("not built yet") // gateway: ways in
}
