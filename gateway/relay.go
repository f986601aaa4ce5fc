package gateway

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// relay ends the user's SSH, logs in to the target, and relays between the two until one of them goes.
func (s *session) relay(ctx context.Context) error {
	near, far, err := s.meet(ctx)
	if err != nil {
		return err
	}
	r := &relay{session: s, near: near, far: far}
	stop := context.AfterFunc(ctx, func() { r.end(errStopped) })
	defer stop()
	return r.run(ctx)
}

// meet brings both handshakes to their end. The target's key exchange runs beside the user's; the gateway logs
// in there only once the user has proved themselves.
func (s *session) meet(ctx context.Context) (near, far *sshEnd, err error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	admitted := make(chan struct{})
	type result struct {
		end *sshEnd
		err error
	}
	login := make(chan result, 1)
	go func() {
		end, err := s.login(ctx, admitted)
		login <- result{end, err}
	}()
	conn, err := s.way.open()
	if err == nil {
		near, err = s.way.secure(ctx, s, conn)
	}
	if err != nil {
		s.far.Close()
		cancel()
		<-login
		return nil, nil, err
	}
	close(admitted)
	l := <-login
	if l.err != nil {
		s.tell(near, "The target does not let the gateway in.", "Tell an administrator.")
		return nil, nil, l.err
	}
	return near, l.end, nil
}

// tell refuses the first channel that the user opens with a sentence, and hangs up.
func (s *session) tell(near *sshEnd, sentence, next string) {
	defer near.conn.Close()
	go ssh.DiscardRequests(near.requests)
	select {
	case ch, ok := <-near.channels:
		if ok {
			ch.Reject(ssh.ConnectionFailed, sentence+" "+next)
		}
	case <-time.After(closeTime):
	}
}

// relay is the middle of an audited session.
type relay struct {
	*session
	near, far *sshEnd

	channels sync.WaitGroup
	open     atomic.Int32
	last     atomic.Uint32 // number of the last channel opened
	voices   voices

	once  sync.Once
	cause error
}

func (r *relay) run(ctx context.Context) error {
	defer r.watchClock(ctx)()
	go r.globalRequests(ctx)
	go ssh.DiscardRequests(r.far.requests) // host keys of the target are not the user's to learn; keep-alives are answered
	go r.refuseFar()
	go func() {
		// The target is gone: what it has said still reaches the user.
		r.far.conn.Wait()
		r.drain()
		r.near.conn.Close()
	}()
	for ch := range r.near.channels {
		r.accept(ctx, ch)
	}
	r.far.conn.Close()
	r.channels.Wait()
	r.end(nil) // from here on no cause is taken
	return r.cause
}

// drain waits for the open channels to deliver their last bytes, within closeTime.
func (r *relay) drain() {
	done := make(chan struct{})
	go func() { r.channels.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(closeTime):
	}
}

// end ends the session for a cause, which is the first one given.
func (r *relay) end(cause error) {
	r.once.Do(func() {
		r.cause = cause
		r.far.conn.Close()
		r.near.conn.Close()
	})
}

// accept relays one channel, or refuses it with a sentence and an event.
func (r *relay) accept(ctx context.Context, ch ssh.NewChannel) {
	kind := ch.ChannelType()
	switch {
	case kind != "session":
		reason := ssh.Prohibited
		if !knownChannel(kind) {
			reason = ssh.UnknownChannelType
		}
		r.noteChannelRefused(ctx, kind)
		ch.Reject(reason, fmt.Sprintf("This door relays sessions only; %s is refused.", printable(kind)))
	case r.open.Load() >= maxChannels:
		r.noteChannelRefused(ctx, kind)
		ch.Reject(ssh.ResourceShortage, fmt.Sprintf("More than %d channels at once are refused.", maxChannels))
	default:
		r.open.Add(1)
		r.channels.Go(func() {
			defer r.open.Add(-1)
			if err := r.relayChannel(ctx, ch); broken(err) {
				r.end(err)
			}
		})
	}
}

// knownChannel: types that have a meaning, but are not relayed.
func knownChannel(kind string) bool {
	switch kind {
	case "direct-tcpip", "forwarded-tcpip", "x11", "auth-agent@openssh.com", "direct-streamlocal@openssh.com",
		"forwarded-streamlocal@openssh.com", "tun@openssh.com":
		return true
	}
	return false
}

// refuseFar refuses channels that the target opens: nothing was granted that could need one.
func (r *relay) refuseFar() {
	for ch := range r.far.channels {
		r.noteChannelRefused(context.Background(), ch.ChannelType())
		ch.Reject(ssh.Prohibited, "refused by the gateway")
	}
}

// globalRequests answers what the user's client asks of the connection as a whole.
func (r *relay) globalRequests(ctx context.Context) {
	for req := range r.near.requests {
		switch req.Type {
		case "keepalive@openssh.com", "no-more-sessions@openssh.com":
		default:
			r.noteChannelRefused(ctx, req.Type)
		}
		if req.WantReply {
			req.Reply(false, nil)
		}
	}
}

func (r *relay) noteChannelRefused(ctx context.Context, kind string) {
	if err := r.noteRefused(ctx, map[string]string{"type": printable(kind)}); err != nil {
		r.end(fmt.Errorf("note refused channel: %w", err))
	}
}

// printable bounds a name from the wire, for events and sentences.
func printable(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	clean := []byte(s)
	for i, b := range clean {
		if b < ' ' || b > '~' {
			clean[i] = '?'
		}
	}
	return string(clean)
}
