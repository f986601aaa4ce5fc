//go:build !linux

package spool

import (
	"math"
	"os"
)

// datasync makes the file durable.
func datasync(f *os.File) error { return f.Sync() }

// free is not known here.
func free(string) (int64, error) { return math.MaxInt64, nil }
