//go:build !linux

package blob

import "os"

// datasync makes the file durable.
func datasync(f *os.File) error { return f.Sync() }
