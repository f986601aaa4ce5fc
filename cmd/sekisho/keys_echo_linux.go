package main

import (
	"bytes"
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// hideEcho has a terminal show nothing of what is typed from now on, and forgets what was typed before, as getpass(3)
// does. So nothing of an answer is seen that comes at once after its question.
func hideEcho(fd int) error {
	mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	mode.Lflag &^= unix.ECHO
	mode.Lflag |= unix.ICANON | unix.ISIG
	mode.Iflag |= unix.ICRNL
	return unix.IoctlSetTermios(fd, unix.TCSETSF, mode)
}

// readHidden reads a line after hideEcho. It leaves the terminal's mode alone, which whoever interrupts restores.
func readHidden(fd int) ([]byte, error) {
	line := make([]byte, 4096) // the most that the kernel gives as one line (termios(3))
	for {
		n, err := unix.Read(fd, line)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		case n == 0:
			return nil, io.EOF
		}
		return bytes.TrimSuffix(line[:n], []byte("\n")), nil
	}
}
