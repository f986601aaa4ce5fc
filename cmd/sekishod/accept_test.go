package main

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"testing"
)

// exhausted is a listener on a machine that has no file descriptors left for a while.
type exhausted struct {
	net.Listener
	fails int
}

func (e *exhausted) Accept() (net.Conn, error) {
	if e.fails > 0 {
		e.fails--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return e.Listener.Accept()
}

// Whoever opens connections until no descriptor is left must not end the house with it.
func TestAcceptOutlastsExhaustion(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &exhausted{Listener: inner, fails: 3}
	client, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := accept(l, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("accept gave up: %v", err)
	}
	conn.Close()
	inner.Close()
	if _, err := accept(l, slog.New(slog.DiscardHandler)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed listener: %v", err)
	}
}
