package gateway

import (
	"context"
	"errors"
	"syscall"
)

var (
	errTapeClosed = errors.New("recording: already closed")
	// errStopped ends a session that was not to go on: its gateway goes down, or somebody ended it.
	errStopped = errors.New("ended by the gateway")
	// errSlow says that the disk has not taken what it should have.
	errSlow = errors.New("the disk does not keep up")
)

// trouble says for the user what is wrong with the recording, without its cause.
func trouble(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk for recordings is full"
	case errors.Is(err, errSlow), errors.Is(err, context.DeadlineExceeded):
		return "the disk for recordings is too slow"
	}
	return "recordings cannot be stored"
}

// recordingError says that a recording cannot go on. The session ends with it.
type recordingError struct{ cause error }

func (e *recordingError) Error() string { return "recording cannot go on: " + e.cause.Error() }
func (e *recordingError) Unwrap() error { return e.cause }

// broken reports whether a session must end because its recording cannot go on.
func broken(err error) bool {
	var r *recordingError
	return errors.As(err, &r) || errors.Is(err, errTapeClosed)
}
