//go:build unix

package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/sekisho/sekisho"
)

// checkPrivate refuses what another user of the machine owns, can read or can change.
func checkPrivate(path string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Getuid() {
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("%s belongs to another user of this machine, so it is not used.", path),
			Next:     "Set SEKISHO_HOME to a folder of your own.",
		}
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if info.IsDir() {
		return tooOpen(path, "700")
	}
	return tooOpen(path, "600")
}

// closedPipe says whether a write failed because the reader has left.
func closedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
