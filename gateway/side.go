package gateway

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// run carries both directions. A side that has closed the channel has it closed on the other side as well, once what it
// said was delivered.
func (f *forward) run(ctx context.Context) (why string) {
	f.work.Go(func() { f.carry(&f.opener, &f.server) })
	f.work.Go(func() { f.carry(&f.server, &f.opener) })
	f.work.Go(func() { f.closed(&f.opener, &f.server) })
	f.work.Go(func() { f.closed(&f.server, &f.opener) })
	done := make(chan struct{})
	f.work.Go(func() {
		<-f.opener.drained
		<-f.server.drained
		close(done)
	})
	select {
	case <-done:
	case <-f.nested:
	}
	why = "closed"
	if f.foundSSH() {
		why = f.settle(ctx)
	}
	f.opener.channel.Close()
	f.server.channel.Close()
	<-done
	return why
}

// side is one end of a forward.
type side struct {
	channel  ssh.Channel
	requests <-chan *ssh.Request
	sniff    sniffer
	sent     atomic.Int64  // bytes that came from here
	total    *meter        // bytes of the session in this direction
	drained  chan struct{} // closed when all that came from here was delivered

	writing sync.Mutex
	shut    bool // the gateway itself speaks to this side now
}

// Read reads what the side says; it counts for the session, and for the forward where its caller counts.
func (s *side) Read(p []byte) (int, error) {
	n, err := s.channel.Read(p)
	s.total.Add(int64(n))
	return n, err
}

// Write tells the side what the other one says.
func (s *side) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.shut {
		return 0, errTaken
	}
	return s.channel.Write(p)
}

var errTaken = errors.New("the gateway speaks here itself")

// finish tells the side that the other one says no more.
func (s *side) finish() {
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.shut {
		s.channel.CloseWrite()
	}
}

// take keeps the other side from saying anything here.
func (s *side) take() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.shut = true
}

// closed answers the requests that come on a side's channel, none of which means anything on a forward, until the side has
// closed it; then it closes the other side, once everything was delivered there. Where SSH was found it is not for the
// sides to say when the other one is closed.
func (f *forward) closed(s, other *side) {
	ssh.DiscardRequests(s.requests)
	<-s.drained
	if !f.foundSSH() {
		other.channel.Close()
	}
}

// carry brings what src says to dst until it says no more.
func (f *forward) carry(src, dst *side) {
	defer close(src.drained)
	first, over, err := f.sniffed(src, dst)
	switch {
	case over && src == &f.opener:
		if conn := <-f.taken; conn != nil {
			conn.feed(first, src, &src.sent)
		}
	case over:
		return
	case err == nil:
		pump(dst, src, &src.sent)
	}
	dst.finish()
}
