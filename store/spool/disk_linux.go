package spool

import (
	"errors"
	"os"
	"syscall"
)

// datasync makes the file's bytes and length durable, and spares the disk its times (fdatasync(2)).
func datasync(f *os.File) error {
	return onFile(f, "fdatasync", syscall.Fdatasync)
}

func onFile(f *os.File, name string, call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Control(func(fd uintptr) {
		for {
			if result = call(int(fd)); !errors.Is(result, syscall.EINTR) {
				return
			}
		}
	})
	if err == nil && result != nil {
		err = &os.PathError{Op: name, Path: f.Name(), Err: result}
	}
	return err
}

// free tells how many bytes we may still write to the disk of a folder.
func free(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
