package gateway

import (
	"errors"
	"math"
	"net"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// Bounds on the names in requests for forwards.
const (
	maxHost   = 255 // bytes; RFC 1035, section 2.3.4
	maxSocket = 512 // bytes; what systems take is shorter
)

// endpoint is where a forward leads to or starts: a host and a port, or the path of a Unix socket. All of it comes from
// the wire, bounded and printable. A host is compared as it was said: what it resolves to, at the target, is not known
// here, and neither is where the links in a path lead.
type endpoint struct {
	host   string
	port   uint16
	socket string
}

func (e endpoint) String() string {
	if e.socket != "" {
		return e.socket
	}
	return net.JoinHostPort(e.host, strconv.Itoa(int(e.port)))
}

// in reports whether one of the entries holds e.
func (e endpoint) in(list []sekisho.Destination) bool {
	for _, d := range list {
		if e.socket != "" && d.HoldsSocket(e.socket) || e.socket == "" && d.Holds(e.host, e.port) {
			return true
		}
	}
	return false
}

var errEndpoint = errors.New(malformed)

// parseDestination reads where a channel of the user is to lead, and where it says to come from: direct-tcpip (RFC 4254,
// section 7.2) and direct-streamlocal@openssh.com (OpenSSH's PROTOCOL, section 2.4).
func parseDestination(kind string, payload []byte) (to endpoint, origin string, err error) {
	if kind == directSocket {
		var open struct {
			Path, Reserved string
			ReservedPort   uint32
		}
		if err := ssh.Unmarshal(payload, &open); err != nil {
			return endpoint{}, "", errEndpoint
		}
		to, err = socketEndpoint(open.Path)
		return to, "", err
	}
	var open tcpOpen
	if err := ssh.Unmarshal(payload, &open); err != nil {
		return endpoint{}, "", errEndpoint
	}
	if to, err = hostEndpoint(open.Host, open.Port); err == nil && (to.host == "" || to.port == 0) {
		err = errEndpoint
	}
	return to, originator(open.Origin, open.OriginPort), err
}

// tcpOpen is how direct-tcpip and forwarded-tcpip are opened (RFC 4254, section 7.2).
type tcpOpen struct {
	Host       string
	Port       uint32
	Origin     string
	OriginPort uint32
}

// parseListen reads where the target is to listen, or to listen no more: tcpip-forward (RFC 4254, section 7.1) and
// streamlocal-forward@openssh.com, and their cancel- forms. An empty host is said, and so is port 0.
func parseListen(socket bool, payload []byte) (endpoint, error) {
	if socket {
		var listen struct{ Path string }
		if err := ssh.Unmarshal(payload, &listen); err != nil {
			return endpoint{}, errEndpoint
		}
		return socketEndpoint(listen.Path)
	}
	var listen struct {
		Address string
		Port    uint32
	}
	if err := ssh.Unmarshal(payload, &listen); err != nil {
		return endpoint{}, errEndpoint
	}
	return hostEndpoint(listen.Address, listen.Port)
}

// parseForwarded reads which listening place somebody connected to, and from where: forwarded-tcpip (RFC 4254, section
// 7.2) and forwarded-streamlocal@openssh.com.
func parseForwarded(kind string, payload []byte) (at endpoint, origin string, err error) {
	if kind == forwardedSocket {
		var open struct{ Path, Reserved string }
		if err := ssh.Unmarshal(payload, &open); err != nil {
			return endpoint{}, "", errEndpoint
		}
		at, err = socketEndpoint(open.Path)
		return at, "", err
	}
	var open tcpOpen
	if err := ssh.Unmarshal(payload, &open); err != nil {
		return endpoint{}, "", errEndpoint
	}
	at, err = hostEndpoint(open.Host, open.Port)
	return at, originator(open.Origin, open.OriginPort), err
}

func hostEndpoint(host string, port uint32) (endpoint, error) {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(host) > maxHost || port > math.MaxUint16 || strings.ContainsFunc(host, odd) {
		return endpoint{}, errEndpoint
	}
	return endpoint{host: host, port: uint16(port)}, nil
}

func socketEndpoint(name string) (endpoint, error) {
	if len(name) > maxSocket || !path.IsAbs(name) || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return endpoint{}, errEndpoint
	}
	return endpoint{socket: name}, nil
}

// originator is where a connection is said to come from, for events; nobody checks it.
func originator(host string, port uint32) string {
	return net.JoinHostPort(printable(host), strconv.FormatUint(uint64(port), 10))
}
