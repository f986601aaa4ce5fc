package sekisho

import "errors"

// ErrNotFound is what stores return, wrapped, when there is no such thing.
var ErrNotFound = errors.New("not found")
