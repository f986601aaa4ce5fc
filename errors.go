package sekisho

import "errors"

// ErrNotFound is what stores return, wrapped, when there is no such thing.
var ErrNotFound = errors.New("not found")

// ErrTaken is what stores return, wrapped, when a name or address means something else already.
var ErrTaken = errors.New("taken")

// ErrEnded says, wrapped, that the sign-in behind a certificate has ended: its person can prove themselves anew.
var ErrEnded = errors.New("sign-in has ended")
