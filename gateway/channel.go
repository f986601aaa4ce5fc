package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// channel is one session channel with both its ends.
type channel struct {
	*relay
	number    uint32
	near, far ssh.Channel
	exit      atomic.Pointer[map[string]string] // how the program ended, for the event
	context   context.Context                   // of the session
	answering sync.Mutex                        // held while a request of the user is under way
	voice     sync.Mutex                        // held while the user is told something by us
	silent    bool                              // nothing more can be told
	telling   atomic.Int32                      // sentences that wait for the user to take them
	early     []*sekisho.Event                  // of requests before there is a program, to be noted with it
	watch     atomic.Pointer[watching]          // where the program moves files
	breach    sync.Once                         // it turned out not to
	started   chan struct{}                     // closed once the target runs a program, or never will
	start     sync.Once
	program   atomic.Pointer[sekisho.LiveChannel] // what it runs, for those who look
	ending    *ending
	// terminal says that the program has one, takesInput that what the user sends it may be typed. Both stand once started
	// is closed.
	terminal, takesInput bool
	switched             switched
}

// relayChannel opens the channel at the target as well and relays until both ends have closed it.
func (r *relay) relayChannel(ctx context.Context, ch ssh.NewChannel) error {
	far, farRequests, err := r.far.conn.OpenChannel(ch.ChannelType(), ch.ExtraData())
	if err != nil {
		var refused *ssh.OpenChannelError
		if errors.As(err, &refused) {
			return r.passRefusal(ch, refused)
		}
		return errors.Join(err, ch.Reject(ssh.ConnectionFailed, "the target is gone"))
	}
	near, nearRequests, err := ch.Accept()
	if err != nil {
		go ssh.DiscardRequests(farRequests)
		far.Close()
		return err
	}
	c := &channel{relay: r, number: r.last.Add(1), near: near, far: far, context: ctx, started: make(chan struct{}), ending: newEnding()}
	r.voices.add(c)
	defer r.voices.remove(c)
	if err := c.keep(recording.ChannelOpen, []byte(ch.ChannelType())); err != nil {
		go ssh.DiscardRequests(farRequests)
		go ssh.DiscardRequests(nearRequests)
		far.Close()
		near.Close()
		return err
	}
	return c.run(ctx, nearRequests, farRequests)
}

// passRefusal passes on why the target refuses a channel. The user reads that, so it is on the tape before.
func (r *relay) passRefusal(ch ssh.NewChannel, no *ssh.OpenChannelError) error {
	message := printable(no.Message)
	if r.tape != nil {
		err := r.tape.put(recording.Entry{Kind: recording.Note, Data: []byte("the target refuses a channel: " + message)})
		if err != nil {
			return errors.Join(err, ch.Reject(no.Reason, ""))
		}
	}
	return ch.Reject(no.Reason, message)
}

// run pumps bytes and requests both ways. The target closes the channel when its program has ended and all was
// said; only then is the user's side closed, so that nothing is lost and the exit status arrives.
func (c *channel) run(ctx context.Context, nearRequests, farRequests <-chan *ssh.Request) error {
	var down, all sync.WaitGroup
	errs := make(chan error, 7) // one for each report
	report := func(err error) {
		if broken(err) {
			c.end(err)
		}
		errs <- err
	}
	down.Go(func() {
		report(c.warn(c.deliver(shown{c}, c.far, recording.Output)))
		report(c.warn(c.endWatch()))
	})
	down.Go(func() { report(c.warn(c.deliver(c.near.Stderr(), c.far.Stderr(), recording.Stderr))) })
	all.Go(func() {
		<-c.started // sshd forgets an end of input that comes before there is a program to tell
		to := c.input()
		if w := c.watch.Load(); w != nil {
			to = passer(w.FromUser)
		}
		err := c.watched("user", pump(to, c.near, &c.bytesIn))
		c.far.CloseWrite()
		report(err)
	})
	all.Go(func() {
		err := c.userRequests(ctx, nearRequests)
		all.Go(func() { ssh.DiscardRequests(nearRequests) }) // the whole connection waits for requests to be taken
		report(err)
		c.begin()
		c.far.Close() // the user has closed the channel
	})
	all.Go(func() {
		down.Wait()
		c.ending.await()
		c.hush()
	})
	said := c.targetRequests(farRequests)
	all.Go(func() { ssh.DiscardRequests(farRequests) })
	report(said)
	c.ending.tell()
	down.Wait()
	report(c.record(recording.ChannelClose, nil))
	c.answering.Lock() // a program can end sooner than the user has heard that it started
	c.near.Close()
	c.answering.Unlock()
	c.far.Close()
	all.Wait()
	close(errs)
	var err error
	for e := range errs {
		err = errors.Join(err, e)
	}
	return errors.Join(err, c.noteClosed())
}

// warn gives the user a word, and a second to take it, where the session ends because its recording cannot go on.
func (c *channel) warn(cause error) error {
	if broken(cause) {
		c.breakOff(cause)
	}
	return cause
}

// begin lets the user's input through to the target.
func (c *channel) begin() { c.start.Do(func() { close(c.started) }) }

// chunk is a piece of output on its way from the tape to the user.
type chunk struct {
	data  []byte
	place uint64  // on the tape
	large *[]byte // where data lies, to be given back to the pool
}

// deliver carries output: onto the tape first, to the user when it is durable. Keystrokes' echoes go through here
// one by one, bulk goes through deliverBulk.
func (c *channel) deliver(dst io.Writer, src io.Reader, kind recording.Kind) error {
	small := make([]byte, idleBuffer)
	for {
		n, err := src.Read(small)
		if n > 0 {
			c.bytesOut.Add(int64(n))
			if w := c.watch.Load(); w != nil && kind == recording.Output {
				return c.deliverWatched(w, src, small[:n])
			}
			if oerr := c.overhear(kind, small[:n]); oerr != nil {
				return oerr
			}
			place, terr := c.place(kind, small[:n])
			if terr != nil {
				return terr
			}
			if werr := c.hand(dst, small[:n], place); werr != nil {
				c.far.Close() // the user is gone, or the recording: stop the target's program
				return quiet(werr)
			}
		}
		if err == nil && n == len(small) {
			err = c.deliverBulk(dst, src, kind)
		}
		if err != nil {
			return quiet(err)
		}
	}
}

// deliverBulk carries output until there is little of it again. While the disk works on one chunk the next are read
// already.
func (c *channel) deliverBulk(dst io.Writer, src io.Reader, kind recording.Kind) error {
	if c.tape == nil {
		return pumpBulk(dst, src, &c.bytesOut)
	}
	queue := make(chan chunk, 8)
	released := make(chan error, 1)
	go func() { released <- c.release(dst, queue, func(error) {}) }()
	err := c.take(src, kind, queue)
	close(queue)
	if rerr := <-released; rerr != nil {
		return rerr
	}
	return err
}

// take reads output and puts it on the tape, until a read leaves most of its buffer empty.
func (c *channel) take(src io.Reader, kind recording.Kind, queue chan<- chunk) error {
	for {
		next := chunk{large: bulk.Get().(*[]byte)}
		n, err := src.Read(*next.large)
		if n == 0 {
			bulk.Put(next.large)
		} else {
			c.bytesOut.Add(int64(n))
			next.data = (*next.large)[:n]
			if oerr := c.overhear(kind, next.data); oerr != nil {
				return oerr
			}
			var terr error
			if next.place, terr = c.place(kind, next.data); terr != nil {
				return terr
			}
			queue <- next
		}
		if err != nil || n < idleBuffer {
			return err
		}
	}
}

// release hands chunks to the user as the recording lets them go, and reports each.
func (c *channel) release(dst io.Writer, queue <-chan chunk, done func(error)) (err error) {
	for next := range queue {
		if err == nil {
			if err = c.hand(dst, next.data, next.place); broken(err) {
				c.relay.far.conn.Close() // nothing more to take
			} else if err != nil {
				c.far.Close() // the user is gone: stop the target's program
			}
		}
		bulk.Put(next.large)
		done(err)
	}
	return err
}

// place puts an entry about this channel on the tape and gives its place there; 0 is none.
func (c *channel) place(kind recording.Kind, data []byte) (uint64, error) {
	if c.tape == nil {
		return 0, nil
	}
	return c.tape.append(recording.Entry{Kind: kind, Channel: c.number, Data: data})
}

// hand gives the user what belongs to a place on the tape, as soon as the policies let it.
func (c *channel) hand(to io.Writer, p []byte, place uint64) error {
	if c.tape == nil {
		_, err := to.Write(p)
		return err
	}
	return c.tape.hand(to, p, place)
}

// keep puts an entry about this channel on the tape; it becomes durable with the next one that is waited for.
func (c *channel) keep(kind recording.Kind, data []byte) error {
	_, err := c.place(kind, data)
	return err
}

// record puts an entry about this channel on the tape; what it tells of may go on when it returns.
func (c *channel) record(kind recording.Kind, data []byte) error {
	if c.tape == nil {
		return nil
	}
	return c.tape.put(recording.Entry{Kind: kind, Channel: c.number, Data: data})
}

func (c *channel) noteClosed() error {
	ev := c.event(sekisho.EventChannelClosed)
	ev.Detail = map[string]string{"channel": fmt.Sprint(c.number)}
	if exit := c.exit.Load(); exit != nil {
		for k, v := range *exit {
			ev.Detail[k] = v
		}
	}
	c.answering.Lock()
	defer c.answering.Unlock()
	return c.journal.now(append(c.early, ev)...)
}

// quiet drops errors that only say that a side has gone; a broken recording is never among them.
func quiet(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}
