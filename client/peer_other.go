//go:build !linux && !darwin

package client

import "net"

// samePerson relies on the modes of the socket and its folder where the kernel's word on the peer is not to be had.
func samePerson(*net.UnixConn) bool { return true }
