package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/transfer"
)

// watching is a program that moves files, and who follows its bytes.
type watching struct {
	transfer.Watcher
	out *outflow
}

// watchProgram looks whether what is about to start moves files, and has it watched. SFTP is held to its protocol and
// to the limits, by whatever request it is started.
func (c *channel) watchProgram(kind, name string) {
	out := &outflow{channel: c}
	outlet := transfer.Outlet{Target: out.target, User: out.user, Tell: out.tell, Begin: out.begin, Clock: c.elapsed}
	command, ok := transfer.Command{Protocol: transfer.SFTP}, kind == "subsystem" && name == "sftp"
	if kind == "exec" {
		command, ok = transfer.ParseCommand(name)
	}
	if ok {
		c.watch.Store(&watching{command.Watch(c.decision.Limits.Files, outlet), out})
	}
}

// passer hands what is written to a func.
type passer func([]byte) error

func (f passer) Write(p []byte) (int, error) {
	if err := f(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// deliverWatched hands the target's output to the watcher, and lets nothing through that it does not let through. All of
// it has been delivered on return.
func (c *channel) deliverWatched(w *watching, src io.Reader, first []byte) error {
	err := w.FromTarget(first)
	if err == nil {
		err = pump(passer(w.FromTarget), src, &c.bytesOut)
	}
	return errors.Join(c.watched("target", err), w.out.drain())
}

// overhear lets the watcher see what is delivered of the program's standard error, where that tells it how files fared.
func (c *channel) overhear(kind recording.Kind, p []byte) error {
	if w := c.watch.Load(); w != nil && kind == recording.Stderr {
		if errors, ok := w.Watcher.(transfer.ErrorWatcher); ok {
			return errors.FromTargetError(p)
		}
	}
	return nil
}

// endWatch has the watcher tell what was under way.
func (c *channel) endWatch() error {
	w := c.watch.Load()
	if w == nil {
		return nil
	}
	return c.watched("", w.Close())
}

// watched ends a channel that turns out not to be what it was started as, by what came from one side. Both directions end
// by that; it is told once.
func (c *channel) watched(from string, err error) (noted error) {
	if !errors.Is(err, transfer.ErrProtocol) {
		return quiet(err)
	}
	c.breach.Do(func() {
		defer c.far.Close()
		defer c.near.Close()
		detail := map[string]string{"channel": fmt.Sprint(c.number), "type": "files", "why": printable(err.Error())}
		if from != "" {
			detail["from"] = from
		}
		noted = c.noteRefused(c.context, detail)
		c.say("this channel was started to move files, and something else came over it, so it ends.")
	})
	return noted
}

// maxTelling is how many sentences may wait on one channel for a user who takes none; what is beyond is not said.
const maxTelling = 4

// say writes a sentence to the user's standard error, where a program may be in the middle of a line, within a second.
func (c *channel) say(sentence string) { c.utter("\r\nsekisho: " + sentence + "\r\n") }

// last is say for the end of a session, when nobody but us can give the terminal back as it was.
func (c *channel) last(sentence string) {
	c.utter(c.switched.undo() + "\r\nsekisho: " + sentence + "\r\n")
}

func (c *channel) utter(words string) {
	if c.telling.Add(1) > maxTelling {
		c.telling.Add(-1)
		return
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		defer c.telling.Add(-1)
		c.voice.Lock()
		defer c.voice.Unlock()
		if !c.silent {
			io.WriteString(c.near.Stderr(), words)
		}
	}()
	select {
	case <-told:
	case <-time.After(time.Second):
	}
}

// hush ends what the user is told over this channel.
func (c *channel) hush() {
	c.voice.Lock()
	defer c.voice.Unlock()
	c.silent = true
	c.near.CloseWrite()
}

// outflow carries a watched program's output to the user. What the watcher has told of waits for the recording to hold
// what was told; everything else is put on the tape itself, and while the disk works on one piece the next are taken.
type outflow struct {
	*channel
	told     atomic.Uint64 // place on the tape of the last operation that was told
	queue    chan chunk
	released chan error
	waiting  atomic.Int64 // pieces in the queue
	broken   atomic.Pointer[error]
	said     []string // what was said of why operations were refused
}

func (o *outflow) target(p []byte) error {
	_, err := o.far.Write(p)
	return err
}

// tell keeps an operation: on the tape before the answer goes on, in the log soon after; without a tape in the log at once.
func (o *outflow) tell(op transfer.Operation) error {
	ev := o.event(sekisho.EventFile)
	ev.Detail = fileDetail(op)
	ev.Detail["channel"] = fmt.Sprint(o.number)
	o.sayRefused(op)
	if o.tape == nil {
		return o.journal.now(ev)
	}
	if err := o.begin(op); err != nil {
		return err
	}
	return o.journal.soon(ev)
}

// maxSaidRefusals bounds what is said of refused operations over one channel.
const maxSaidRefusals = 5

// sayRefused says which limit refused an operation, once for each limit. Clients of SFTP show words of their own for the
// code that the answer has, so that our refusal would look like the target's. Calls do not overlap.
func (o *outflow) sayRefused(op transfer.Operation) {
	if op.Why == "" || len(o.said) >= maxSaidRefusals || slices.Contains(o.said, op.Why) {
		return
	}
	o.said = append(o.said, op.Why)
	what := op.Name
	for _, path := range []string{op.Path, op.To} {
		if path != "" {
			what += fmt.Sprintf(" %.200q", path)
		}
	}
	o.utter("sekisho: " + what + " is refused: " + op.Why + ".\n")
}

// begin keeps an operation on the tape, so that what a person sees of a file is in the recording even if the gateway dies
// before the file is closed.
func (o *outflow) begin(op transfer.Operation) error {
	if o.tape == nil {
		return nil
	}
	data, err := json.Marshal(op)
	if err != nil {
		return &recordingError{err}
	}
	n, err := o.place(recording.File, data)
	if err != nil {
		return err
	}
	o.told.Store(n)
	return nil
}

func fileDetail(op transfer.Operation) map[string]string {
	detail := map[string]string{"protocol": op.Protocol, "operation": op.Name, "path": op.Path, "result": op.Result,
		"seconds": strconv.FormatFloat(op.Took.Seconds(), 'f', 6, 64)}
	for key, value := range map[string]string{"to": op.To, "sha256": op.SHA256, "why": op.Why} {
		if value != "" {
			detail[key] = value
		}
	}
	if op.Bytes > 0 {
		detail["bytes"] = strconv.FormatInt(op.Bytes, 10)
	}
	return detail
}

// user takes what goes to the user. Calls do not overlap.
func (o *outflow) user(p []byte, told bool) error {
	if failed := o.broken.Load(); failed != nil {
		return *failed
	}
	if !told && o.tape != nil {
		return o.pieces(p)
	}
	place := o.told.Load()
	if o.waiting.Load() > 0 {
		return o.enqueue(p, place)
	}
	return o.hand(o.near, p, place)
}

// pieces puts bytes that nothing was told of on the tape, and into the queue.
func (o *outflow) pieces(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), bulkBuffer)
		place, err := o.place(recording.Output, p[:n])
		if err == nil {
			err = o.enqueue(p[:n], place)
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func (o *outflow) enqueue(p []byte, place uint64) error {
	if o.queue == nil {
		o.queue, o.released = make(chan chunk, 8), make(chan error, 1)
		go func() { o.released <- o.channel.release(o.near, o.queue, o.done) }()
	}
	for len(p) > 0 {
		next := chunk{place: place, large: bulk.Get().(*[]byte)}
		n := copy(*next.large, p)
		next.data, p = (*next.large)[:n], p[n:]
		o.waiting.Add(1)
		o.queue <- next
	}
	return nil
}

// done takes note of a piece that was delivered, or could not be.
func (o *outflow) done(err error) {
	o.waiting.Add(-1)
	if err != nil {
		o.broken.CompareAndSwap(nil, &err)
	}
}

// drain waits until the queue is delivered. Nothing comes after it.
func (o *outflow) drain() error {
	if o.queue == nil {
		return nil
	}
	close(o.queue)
	return quiet(<-o.released)
}
