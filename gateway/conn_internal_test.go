package gateway

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// deaf is a channel whose peer says nothing, and reads nothing unless it is told to.
type deaf struct {
	ssh.Channel
	reads  chan struct{} // closed when it reads
	closed chan struct{}
	got    strings.Builder
}

func newDeaf() *deaf { return &deaf{reads: make(chan struct{}), closed: make(chan struct{})} }

func (d *deaf) Read([]byte) (int, error) {
	<-d.closed
	return 0, io.EOF
}

func (d *deaf) Write(p []byte) (int, error) {
	<-d.reads
	return d.got.Write(p)
}

func (d *deaf) CloseWrite() error { return nil }

func (d *deaf) Close() error {
	close(d.closed)
	return nil
}

// A peer that neither speaks nor reads holds up nobody for longer than a deadline.
func TestChannelConnDeadlines(t *testing.T) {
	ch := newDeaf()
	var in, out atomic.Int64
	c := newChannelConn(ch, netip.MustParseAddr("192.0.2.1"), &out)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		c.feed([]byte("first"), ch, &in)
	}()
	p := make([]byte, 10)
	if n, err := io.ReadFull(c, p[:5]); string(p[:n]) != "first" || err != nil {
		t.Fatalf("read %q, %v", p[:n], err)
	}
	c.SetDeadline(time.Now().Add(-time.Second))
	if _, err := c.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after the deadline: %v", err)
	}
	if _, err := c.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write after the deadline: %v", err)
	}
	if got := c.RemoteAddr().String(); got != "192.0.2.1:0" {
		t.Errorf("comes from %s", got)
	}
	c.Close()
	close(ch.reads)
	<-fed
}

// What was written before the close arrives, and is counted; then the channel is closed.
func TestChannelConnClose(t *testing.T) {
	ch := newDeaf()
	close(ch.reads)
	var in, out atomic.Int64
	c := newChannelConn(ch, netip.Addr{}, &out)
	go c.feed(nil, ch, &in)
	text := strings.Repeat("all of it\n", 10_000)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	c.Close()
	<-ch.closed
	if ch.got.String() != text || out.Load() != int64(len(text)) {
		t.Errorf("%d bytes arrived, %d were counted", ch.got.Len(), out.Load())
	}
}
