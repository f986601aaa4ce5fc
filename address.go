package sekisho

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// MaxAddresses is how many addresses and ranges one target may have.
const MaxAddresses = 64

// ParseAddress reads one of a target's addresses: an IP address, or a CIDR range without bits beyond its length. An IPv4
// address in IPv6's clothes is refused, and so are addresses that mean no single host: a packet that goes there is none
// that a target could be found by.
func ParseAddress(s string) (netip.Prefix, error) {
	prefix, err := parseAddress(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("address %.60q: %w", s, err)
	}
	return prefix, nil
}

func parseAddress(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		address, err := netip.ParseAddr(s)
		if err != nil || address.Zone() != "" || strings.Contains(s, "/") {
			return netip.Prefix{}, errors.New("want an IP address or a CIDR range")
		}
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	switch first := prefix.Addr(); {
	case first.Is4In6():
		return netip.Prefix{}, fmt.Errorf("write it as %s", first.Unmap())
	case prefix != prefix.Masked():
		return netip.Prefix{}, fmt.Errorf("the range has bits beyond its length: did you mean %s?", prefix.Masked())
	case prefix.Bits() == 0:
		return netip.Prefix{}, errors.New("that is every address")
	case first.IsMulticast() || first.IsUnspecified():
		return netip.Prefix{}, errors.New("that is no host's address")
	}
	return prefix, nil
}

// FormatAddress writes a target's address as ParseAddress reads it: without a length where it is one host.
func FormatAddress(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
