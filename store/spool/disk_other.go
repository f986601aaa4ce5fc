//go:build !linux

package spool

import (
	"math"
	"os"
)

// datasync makes the file durable.
func datasync(f *os.File) error { return f.Sync() }

// reserve gives the file its size.
func reserve(f *os.File, size int64) error { return f.Truncate(size) }

// free is not known here.
func free(string) (int64, error) { return math.MaxInt64, nil }
