package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// How packets are sent here that were going elsewhere.
const (
	// Redirect is netfilter's REDIRECT or DNAT: the kernel remembers where each connection was going.
	Redirect = "redirect"
	// TProxy is netfilter's TPROXY: connections keep the address they were going to as their local one. The listener
	// needs CAP_NET_ADMIN.
	TProxy = "tproxy"
)

// Transparent is a listener for connections that rules of the packet filter send here instead of where they were going.
type Transparent struct {
	net.Listener
	mode string
}

// errDirect is what is wrong with a connection that was made to the listener itself: who takes it for redirected would
// believe that somebody wants to go to the gateway by way of the gateway.
var errDirect = errors.New("it was made to this listener directly")

// ListenTransparent listens at an address for what is redirected in one of the modes. It works on Linux only.
func ListenTransparent(ctx context.Context, address, mode string) (*Transparent, error) {
	var config net.ListenConfig
	switch mode {
	case Redirect:
	case TProxy:
		config.Control = controlTransparent
	default:
		return nil, fmt.Errorf("listen for redirected connections: mode %q: want redirect or tproxy", mode)
	}
	if !canRedirect {
		return nil, errors.New("listen for redirected connections: only Linux says where a connection was going")
	}
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for redirected connections: %w", err)
	}
	return &Transparent{l, mode}, nil
}

// Original says where a connection of this listener was going. One that was made to the listener directly is an error.
func (t *Transparent) Original(conn net.Conn) (netip.AddrPort, error) {
	local, err := addrPort(conn.LocalAddr())
	if err != nil {
		return netip.AddrPort{}, err
	}
	to := local
	if t.mode == Redirect {
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			return netip.AddrPort{}, fmt.Errorf("find where it was going: not TCP but %T", conn)
		}
		if to, err = originalDestination(tcp); err != nil {
			return netip.AddrPort{}, fmt.Errorf("find where it was going: %w", err)
		}
		if to == local {
			return netip.AddrPort{}, errDirect
		}
		return to, nil
	}
	own, err := addrPort(t.Addr())
	if err != nil {
		return netip.AddrPort{}, err
	}
	if local.Port() == own.Port() && isOurs(local.Addr()) {
		return netip.AddrPort{}, errDirect
	}
	return to, nil
}

func addrPort(a net.Addr) (netip.AddrPort, error) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%v is no TCP address", a)
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// isOurs reports whether this machine has that address; where that cannot be found out, it has.
func isOurs(address netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	if err != nil || address.IsLoopback() {
		return true
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().WithZone("") == address.WithZone("") {
			return true
		}
	}
	return false
}
