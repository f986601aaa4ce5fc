package gateway

import "errors"

var (
	errTapeClosed = errors.New("recording: already closed")
	// errStopped ends a session that was not to go on: its gateway goes down, or somebody ended it.
	errStopped = errors.New("ended by the gateway")
)

// recordingError says that a recording cannot go on. The session ends with it.
type recordingError struct{ cause error }

func (e *recordingError) Error() string { return "recording cannot go on: " + e.cause.Error() }
func (e *recordingError) Unwrap() error { return e.cause }

// broken reports whether a session must end because its recording cannot go on.
func broken(err error) bool {
	var r *recordingError
	return errors.As(err, &r) || errors.Is(err, errTapeClosed)
}
