package main

import (
	"errors"
	"log/slog"
	"net"
	"time"
)

// Pauses after a connection that could not be accepted.
const (
	acceptPause    = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// accept takes the next connection. Its one error is net.ErrClosed: whatever else goes wrong, such as no file
// descriptors being left, is what outsiders can bring about, and must not end the house.
func accept(l net.Listener, log *slog.Logger) (net.Conn, error) {
	for pause := acceptPause; ; pause = min(2*pause, acceptPauseMax) {
		conn, err := l.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		log.Error("accept", "listener", l.Addr().String(), "error", err)
		time.Sleep(pause)
	}
}
