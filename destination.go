package sekisho

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// Destination is one entry of a list of where forwards may go:
//
//	db2:5432            a host by the name that is asked for, and a port
//	*.internal:80-90    every name below internal, and a range of ports; "*" alone is every host and every address
//	10.0.0.0/8:*        every address of a range, and any port; IPv6 in brackets: [fd00::/8]:443
//	/run/app/*.sock     a Unix socket; "*" stands for any text without a slash (path.Match)
//
// A name is compared as it is asked for: what it resolves to is not known here, and an address range holds addresses only.
type Destination struct {
	host        string       // lower case; "*" or "*.suffix" or a name; empty for a range or a socket
	prefix      netip.Prefix // of addresses; invalid for a name or a socket
	first, last uint16       // ports
	socket      string       // path.Match pattern
}

// maxDestination bounds the text of a destination, in bytes.
const maxDestination = 512

// ParseDestination reads the form that Destination documents.
func ParseDestination(s string) (Destination, error) {
	d, err := parseDestination(s)
	if err != nil {
		return Destination{}, fmt.Errorf("destination %.140q: %w", s, err)
	}
	return d, nil
}

func parseDestination(s string) (d Destination, err error) {
	if len(s) > maxDestination {
		return d, fmt.Errorf("longer than %d bytes", maxDestination)
	}
	if strings.HasPrefix(s, "/") {
		if _, err := path.Match(s, ""); err != nil || path.Clean(s) != s {
			return d, errors.New("want a clean path of a socket, in which * stands for any text without a slash")
		}
		d.socket = s
		return d, nil
	}
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return d, errors.New("want HOST:PORT, CIDR:PORT or /path/of/socket")
	}
	if d.first, d.last, err = parsePorts(s[colon+1:]); err != nil {
		return d, err
	}
	host := s[:colon]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if host, ok = strings.CutSuffix(inner, "]"); !ok {
			return d, errors.New("a bracket is not closed")
		}
	} else if strings.ContainsRune(host, ':') {
		return d, errors.New("write an IPv6 address in brackets")
	}
	if prefix, err := netip.ParsePrefix(host); err == nil {
		if prefix != prefix.Masked() {
			return d, fmt.Errorf("the range has bits beyond its length: did you mean %s?", prefix.Masked())
		}
		d.prefix = prefix
		return d, nil
	}
	if address, err := netip.ParseAddr(host); err == nil && address.Zone() == "" {
		d.prefix = netip.PrefixFrom(address, address.BitLen())
		return d, nil
	}
	d.host = canonicalHost(host)
	if !hostPattern(d.host) {
		return d, errors.New("want a host name, *, *.domain, an address or a CIDR range before the port")
	}
	return d, nil
}

func hostPattern(host string) bool {
	if host == "*" {
		return true
	}
	return targetName.MatchString(strings.TrimPrefix(host, "*.")) && len(host) <= 255
}

func parsePorts(s string) (first, last uint16, err error) {
	if s == "*" {
		return 0, 65535, nil
	}
	from, to, ranged := strings.Cut(s, "-")
	a, err := strconv.ParseUint(from, 10, 16)
	b := a
	if err == nil && ranged {
		b, err = strconv.ParseUint(to, 10, 16)
	}
	if err != nil || a > b {
		return 0, 0, errors.New("want a port, FIRST-LAST or * after the last colon")
	}
	return uint16(a), uint16(b), nil
}

func canonicalHost(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// Holds reports whether a host, by name or address as it was asked for, and a port are within d.
func (d Destination) Holds(host string, port uint16) bool {
	if d.socket != "" || port < d.first || port > d.last {
		return false
	}
	if d.host == "*" {
		return true
	}
	if address, err := netip.ParseAddr(host); err == nil {
		return d.prefix.IsValid() && address.Zone() == "" && d.prefix.Contains(address.Unmap())
	}
	host = canonicalHost(host)
	if suffix, ok := strings.CutPrefix(d.host, "*"); ok {
		return strings.HasSuffix(host, suffix) && len(host) > len(suffix)
	}
	return d.host != "" && host == d.host
}

// HoldsSocket reports whether the path of a Unix socket is within d. A path that is not clean is not.
func (d Destination) HoldsSocket(name string) bool {
	if d.socket == "" || path.Clean(name) != name {
		return false
	}
	ok, err := path.Match(d.socket, name)
	return err == nil && ok
}

// Compare orders destinations: sockets, ranges of addresses, then names. It is 0 for equal ones only.
func (d Destination) Compare(e Destination) int {
	return cmp.Or(strings.Compare(d.host, e.host), d.prefix.Compare(e.prefix), cmp.Compare(d.first, e.first),
		cmp.Compare(d.last, e.last), strings.Compare(d.socket, e.socket))
}

// Any reports whether d holds every host and port.
func (d Destination) Any() bool { return d.host == "*" && d.first == 0 && d.last == 65535 }

func (d Destination) String() string {
	if d.socket != "" {
		return d.socket
	}
	host := d.host
	if d.prefix.IsValid() {
		host = d.prefix.String()
		if d.prefix.IsSingleIP() {
			host = d.prefix.Addr().String()
		}
		if d.prefix.Addr().Is6() {
			host = "[" + host + "]"
		}
	}
	switch {
	case d.first == 0 && d.last == 65535:
		return host + ":*"
	case d.first == d.last:
		return fmt.Sprintf("%s:%d", host, d.first)
	}
	return fmt.Sprintf("%s:%d-%d", host, d.first, d.last)
}

// MarshalText gives the form that ParseDestination reads.
func (d Destination) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDestination.
func (d *Destination) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDestination(string(text))
	return err
}
