//go:build !unix

package client

import (
	"errors"
	"io/fs"
	"os"
)

// checkPrivate trusts the access lists that a user's profile folder has here; there are no mode bits to look at.
func checkPrivate(string, fs.FileInfo) error { return nil }

// closedPipe says whether a write failed because the reader has left.
func closedPipe(err error) bool { return errors.Is(err, os.ErrClosed) }
