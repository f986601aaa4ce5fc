package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const canRedirect = true

// controlTransparent lets a listener take connections to addresses that the machine does not have (ip(7),
// IP_TRANSPARENT).
func controlTransparent(network, _ string, raw syscall.RawConn) error {
	var err error
	err = errors.Join(raw.Control(func(fd uintptr) {
		if strings.HasSuffix(network, "6") {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
		}
		err = errors.Join(err, unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1))
	}), err)
	if err != nil {
		return fmt.Errorf("let it take connections to any address (needs CAP_NET_ADMIN): %w", err)
	}
	return nil
}

// originalDestination asks netfilter where a connection was going before it was redirected
// (linux/netfilter_ipv4.h, SO_ORIGINAL_DST; linux/netfilter_ipv6/ip6_tables.h, IP6T_SO_ORIGINAL_DST).
func originalDestination(conn *net.TCPConn) (to netip.AddrPort, err error) {
	remote, err := addrPort(conn.RemoteAddr())
	if err != nil {
		return netip.AddrPort{}, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	ask := original4
	if remote.Addr().Is6() {
		ask = original6
	}
	var e error
	if err := raw.Control(func(fd uintptr) { to, e = ask(int(fd)) }); err != nil {
		return netip.AddrPort{}, err
	}
	return to, e
}

// original4 reads a sockaddr_in: family, port and address lie where ipv6_mreq has the first 8 bytes of its own.
func original4(fd int) (netip.AddrPort, error) {
	at, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_IP, unix.SO_ORIGINAL_DST)
	if err != nil {
		return netip.AddrPort{}, err
	}
	b := at.Multiaddr
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:4])), nil
}

// original6 reads a sockaddr_in6, with which ip6_mtuinfo begins.
func original6(fd int) (netip.AddrPort, error) {
	at, err := unix.GetsockoptIPv6MTUInfo(fd, unix.SOL_IPV6, unix.SO_ORIGINAL_DST)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(netip.AddrFrom16(at.Addr.Addr), networkOrder(at.Addr.Port)), nil
}

// networkOrder reads a port as the kernel wrote it.
func networkOrder(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}
