package client

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// samePerson asks the kernel who is at the other end of the socket: nobody but the same user is served.
func samePerson(conn *net.UnixConn) bool {
	same := false
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
		same = err == nil && int(cred.Uid) == os.Getuid()
	})
	return err == nil && same
}
