package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// relay ends the user's SSH, logs in to the target, and relays between the two until one of them goes.
func (s *session) relay(ctx context.Context) error {
	near, far, err := s.meet(ctx)
	if err != nil {
		return err
	}
	r := &relay{session: s, near: near, far: far, noMore: make(chan chan struct{}), hungUp: make(chan struct{})}
	if s.tape != nil {
		s.tape.watch(r.breakOff, r.tellLost)
	}
	if s.unrecorded != nil {
		r.unsaid.Store(unrecorded(s.unrecorded))
	}
	s.middle.Store(r)
	stop := context.AfterFunc(ctx, func() { r.stop() })
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
		why := &sekisho.Refusal{Sentence: "The target does not let the gateway in.", Next: "Tell an administrator."}
		errors.As(l.err, &why)
		s.tell(near, why.Sentence, why.Next)
		return nil, nil, l.err
	}
	return near, l.end, nil
}

// tell refuses the channels that the user opens with a sentence, and hangs up once one is refused.
func (s *session) tell(near *sshEnd, sentence, next string) {
	defer near.conn.Close()
	told := make(chan struct{})
	go ssh.DiscardRequests(near.requests)
	go func() {
		hear := sync.OnceFunc(func() { close(told) })
		defer hear()                    // or nobody is there any more
		for ch := range near.channels { // to the last: the connection does not end before all are taken
			ch.Reject(ssh.ConnectionFailed, sentence+" "+next)
			hear()
		}
		near.over()
	}()
	select {
	case <-told:
	case <-time.After(closeTime):
	}
}

// relay is the middle of an audited session.
type relay struct {
	*session
	near, far *sshEnd

	channels crew          // everything that a channel runs in
	open     atomic.Int32  // session channels
	forwards atomic.Int32  // channels that are forwards, from either side
	last     atomic.Uint32 // number of the last channel opened
	voices   voices
	unsaid   atomic.Pointer[string] // about the recording, for when there is somebody to be told
	broke    sync.Once

	listening   listening
	granted     granted
	noMore      chan chan struct{} // the user says that there will be no more sessions; closed when that is in force
	lastSession bool               // it is in force; acceptAll's own
	hungUp      chan struct{}      // closed when the user opens no more channels

	once  sync.Once
	cause error
}

func (r *relay) run(ctx context.Context) error {
	defer r.watchClock(ctx)()
	var loops sync.WaitGroup
	loops.Go(func() { r.globalRequests(ctx) })
	r.channels.Go(func() { r.acceptFar(ctx) })
	loops.Go(func() {
		ssh.DiscardRequests(r.far.requests)
		// The target is gone: what it has said still reaches the user.
		r.far.conn.Wait()
		r.drain()
		r.near.conn.Close()
	})
	r.acceptAll(ctx)
	r.near.over()
	r.far.conn.Close()
	r.channels.Wait()
	loops.Wait()
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

// breakOff ends a session whose recording, or whose place in the audit log, cannot go on, and tells the user why.
func (r *relay) breakOff(cause error) {
	r.broke.Do(func() {
		sentence := "this session must be recorded and " + trouble(cause) + ", so it ends. Tell an administrator."
		if r.journal.failure() != nil {
			sentence = "this session must be noted in the audit log and the log takes nothing more, so it ends. Tell an administrator."
		}
		r.voices.last(sentence)
		r.end(cause)
	})
}

// tellLost tells the user, once, that their recording has gaps.
func (r *relay) tellLost(why error) {
	lost, _ := r.tape.losses()
	if err := r.noteLost(lost, why); err != nil {
		r.breakOff(err)
	}
	sentence := "this recording has gaps: " + trouble(why) + ". The session goes on."
	if r.voices.say(sentence) == 0 {
		r.unsaid.Store(&sentence)
	}
}

func unrecorded(why error) *string {
	sentence := "this session is not recorded: " + trouble(why) + ". It goes on."
	return &sentence
}

// tellUnsaid says what could not be said before there was a channel to say it over.
func (r *relay) tellUnsaid() {
	if sentence := r.unsaid.Swap(nil); sentence != nil {
		r.voices.say(*sentence)
	}
}

// stop ends a session that may not go on, and tells the user so.
func (r *relay) stop() {
	if err := r.journal.failure(); err != nil {
		r.breakOff(err)
		return
	}
	if o := r.order.Load(); o != nil {
		r.lastWord(o.sentence())
	} else {
		r.voices.last("this session is ended: the gateway goes down, or the sign-in or the policies do not allow it any more.")
	}
	r.end(r.stopped())
}

// end ends the session for a cause, which is the first one given.
func (r *relay) end(cause error) {
	r.once.Do(func() {
		r.cause = cause
		r.far.conn.Close()
		r.near.conn.Close()
	})
}

// accept relays one channel that the user opens, or refuses it with a sentence and an event.
func (r *relay) accept(ctx context.Context, ch ssh.NewChannel) {
	switch kind := ch.ChannelType(); kind {
	case "session":
		r.acceptSession(ctx, ch)
	case directTCP, directSocket:
		r.acceptForward(ctx, ch, r.judgeDirect)
	default:
		r.refuseChannel(ch, unknownChannel(kind))
	}
}

func (r *relay) acceptSession(ctx context.Context, ch ssh.NewChannel) {
	switch {
	case r.lastSession:
		r.refuseChannel(ch, refusal{reason: ssh.Prohibited, why: "no more sessions",
			sentence: "This connection was to have no more sessions."})
	case r.open.Load() >= maxChannels:
		why := fmt.Sprintf("more than %d sessions at once", maxChannels)
		r.refuseChannel(ch, refusal{reason: ssh.ResourceShortage, why: why, sentence: "There are " + why + "."})
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
