// Package keyfile reads and writes files that hold secrets, by one set of rules: such a file is a regular one, no
// symbolic link, the caller's own and closed to others, in a folder of which the same is true. It is written whole or not at
// all, and what is there is never overwritten unless that is asked for. It knows nothing of what is in the files.
package keyfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// MaxSize bounds what is read of a file, in bytes; a key has a few hundred.
const MaxSize = 16 << 10

// MakeFolder makes a folder for keys, or checks that one is closed to others.
func MakeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make key folder: %w", err)
	}
	return CheckFolder(dir)
}

// CheckFolder refuses a folder that others can look into, or that belongs to somebody else.
func CheckFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at key folder: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("key folder %s: mode %04o lets others in: run chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	return own(dir, info)
}

// own refuses what belongs to somebody who could change it under us.
func own(path string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: it belongs to user %d, not to the one this runs as (%d): run chown %d %s", path, st.Uid, os.Geteuid(), os.Geteuid(), path)
	}
	return nil
}

// Read gives what is in a file that only the caller can read; what names the file in errors, such as "key file". A
// file of more than MaxSize bytes is refused. The error wraps fs.ErrNotExist when there is none.
func Read(what, path string) ([]byte, error) {
	return read(what, path, func(info fs.FileInfo) error {
		if info.Mode().Perm()&0o077 != 0 {
			return fmt.Errorf("%s %s: mode %04o lets others read it: run chmod 600 %s, and make a new one if others have had it", what, path, info.Mode().Perm(), path)
		}
		return own(path, info)
	})
}

// ReadCredential gives what is in a file that the service manager has put there (systemd.exec(5), LoadCredential=). It
// belongs to the caller or to root, and its group's permissions may be the mask of an access list, so that they say
// nothing.
func ReadCredential(what, path string) ([]byte, error) {
	return read(what, path, func(info fs.FileInfo) error {
		if info.Mode().Perm()&0o007 != 0 {
			return fmt.Errorf("%s %s: mode %04o lets others read it: have the service manager put it there", what, path, info.Mode().Perm())
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid == 0 {
			return nil
		}
		return own(path, info)
	})
}

func read(what, path string, check func(fs.FileInfo) error) ([]byte, error) {
	// Non-blocking, so that a pipe in the file's place does not hold the start forever.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s %s: it is a symbolic link: put the file itself there", what, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", what, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", what, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s %s: it is no regular file: put one there", what, path)
	}
	if err := check(info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%s %s: it has more than %d bytes: is it the right file?", what, path, MaxSize)
	}
	return text, nil
}

// Create puts a new durable file of mode 0600 at path, by a link: unlike a rename it never replaces what somebody else
// put there meanwhile. The error wraps fs.ErrExist when something is there.
func Create(path string, text []byte) error {
	tmp, err := writeBeside(path, text, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := os.Link(tmp, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// Replace puts a durable file at path, whole or not at all, in place of what is there.
func Replace(path string, text []byte, mode fs.FileMode) error {
	tmp, err := writeBeside(path, text, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// writeBeside makes a durable file with an unguessable name in path's folder and returns that name.
func writeBeside(path string, text []byte, mode fs.FileMode) (string, error) {
	var b [8]byte
	rand.Read(b[:])
	tmp := path + ".new-" + hex.EncodeToString(b[:])
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, mode)
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		os.Remove(tmp)
		return "", err
	}
	return tmp, nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
