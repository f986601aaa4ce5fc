//go:build !linux

package tunnel

import "syscall"

// acknowledge does nothing: other systems have no such option per read.
func acknowledge(syscall.RawConn) {}
