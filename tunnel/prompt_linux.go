package tunnel

import "syscall"

// acknowledge sets TCP_QUICKACK (tcp(7)). A socket that refuses is only slower.
func acknowledge(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	})
}
