//go:build !linux

package gateway

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

const canRedirect = false

func controlTransparent(string, string, syscall.RawConn) error { return errors.ErrUnsupported }

func originalDestination(*net.TCPConn) (netip.AddrPort, error) {
	return netip.AddrPort{}, errors.ErrUnsupported
}
