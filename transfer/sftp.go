package transfer

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sekisho/sekisho"
)

// Bounds of one conversation.
const (
	// sftpMaxPending is how many requests may wait for their answers, and sftpMaxPaths how many bytes of paths they may
	// hold. FromUser blocks while there are more.
	sftpMaxPending = 4096
	sftpMaxPaths   = 1 << 20
	// sftpMaxOpen is how many files and folders may be open; beyond, opening one fails.
	sftpMaxOpen = 1024
	// sftpMaxQueue is how many bytes of answers of our own may wait for the end of a packet.
	sftpMaxQueue = 64 << 10
)

// SFTPWatcher follows SFTP version 3 with OpenSSH's extensions; SFTP.md says what it takes and what it refuses.
//
// It passes on well-formed packets only, and only in an order that makes sense: requests whose ids are free, answers to
// what was asked. Anything else ends the conversation with an error that wraps ErrProtocol. What the limits refuse is
// answered by the watcher, with a STATUS between two packets of the target.
//
// Contents of files are passed on as they come, without a copy. FromUser blocks while too much waits for the target's
// answers, while the watcher asks the target where a path leads, and until the target has told its version; it goes
// on by what FromTarget takes, by Close, or by an error there. All bytes for the user count as told.
type SFTPWatcher struct {
	out    Outlet
	limits sftpLimits
	user   sftpFlow // touched by FromUser only
	target sftpFlow // touched by FromTarget only

	up     sftpPayload // under way from the user
	upData int         // bytes still to come of it; what follows them in the packet is dropped
	down   sftpPayload // under way from the target
	begun  atomic.Bool // INIT has come

	telling sync.Mutex // held while an operation is told, before mu

	mu        sync.Mutex
	changed   *sync.Cond // something that FromUser or FromTarget waits for
	over      error      // why nothing more is taken
	version   bool       // VERSION has come
	resolves  bool       // the target's REALPATH follows links, as its extensions say
	pending   map[uint32]*sftpRequest
	pathBytes int // of what is pending
	spare     []*sftpRequest
	files     map[string]*sftpFile
	opening   int // OPENs and OPENDIRs pending
	order     uint64
	home      string // the start directory, once a REALPATH told it
	sizes     sftpSizes
	questions int // of our own, unanswered
	lastID    uint32
	inside    bool // the last byte that went to the user is inside a packet
	writing   bool // somebody writes to the user
	queue     []byte
}

// NewSFTP follows an SFTP conversation under limits. A zero FileLimit among them allows everything; where there is no
// limit, nothing is allowed.
func NewSFTP(limits []sekisho.FileLimit, out Outlet) *SFTPWatcher {
	w := &SFTPWatcher{out: out, limits: newSFTPLimits(limits), pending: make(map[uint32]*sftpRequest), files: make(map[string]*sftpFile)}
	w.changed = sync.NewCond(&w.mu)
	w.user = sftpFlow{out: out.Target, head: func(b []byte) (int, error) {
		if !w.begun.Load() {
			return requestHead(b, onlyType(fxpInit))
		}
		return requestHead(b, requestTypes)
	}}
	w.target = sftpFlow{out: func(b []byte) error { return w.deliver(b, w.target.left > 0) }, head: func(b []byte) (int, error) {
		if !w.greeted() {
			return answerHead(b, onlyType(fxpVersion))
		}
		return answerHead(b, answerTypes)
	}}
	return w
}

// FromUser takes what the user sent.
func (w *SFTPWatcher) FromUser(p []byte) error {
	return w.take(&w.user, p, w.fromUser, w.request)
}

// FromTarget takes what the target sent.
func (w *SFTPWatcher) FromTarget(p []byte) error {
	return w.take(&w.target, p, w.fromTarget, w.answer)
}

// take cuts p into payloads and heads, and passes on what they say may go; what may go does also where the rest breaks
// the protocol.
func (w *SFTPWatcher) take(f *sftpFlow, p []byte, payload, head func([]byte) error) error {
	if err := w.ended(); err != nil {
		return err
	}
	err := f.take(p, payload, head)
	if flushed := f.flush(); err == nil {
		err = flushed
	}
	if err != nil {
		w.end(err)
	}
	return err
}

func (f *sftpFlow) take(p []byte, payload, head func([]byte) error) error {
	for len(p) > 0 {
		var b []byte
		var err error
		if f.left > 0 {
			b, p = f.payload(p)
			if err := payload(b); err != nil {
				return err
			}
			continue
		}
		if b, p, err = f.next(p); err != nil || b == nil {
			return err
		}
		if err := head(b); err != nil {
			return err
		}
		if err := f.done(); err != nil {
			return err
		}
	}
	return nil
}

// Close tells what was under way, and lets go of a FromUser that waits.
func (w *SFTPWatcher) Close() error {
	w.end(io.ErrClosedPipe)
	w.telling.Lock() // what is being told is told first
	defer w.telling.Unlock()
	var errs []error
	for _, op := range w.unfinished() {
		errs = append(errs, w.out.Tell(op))
	}
	return errors.Join(errs...)
}

// unfinished gives what is under way in the order it began, and forgets it.
func (w *SFTPWatcher) unfinished() []Operation {
	w.mu.Lock()
	defer w.mu.Unlock()
	type begun struct {
		order uint64
		op    Operation
	}
	var all []begun
	for _, f := range w.files {
		all = append(all, begun{f.order, f.begun("unfinished")})
	}
	for _, r := range w.pending {
		if op, ok := r.begun(); ok {
			all = append(all, begun{r.order, op})
		}
	}
	clear(w.files)
	clear(w.pending)
	slices.SortFunc(all, func(a, b begun) int { return cmp.Compare(a.order, b.order) })
	ops := make([]Operation, len(all))
	for i, one := range all {
		one.op.Took = w.since(one.op.Started)
		ops[i] = one.op
	}
	return ops
}

func (w *SFTPWatcher) since(started time.Duration) time.Duration { return w.out.Clock() - started }

// end says why nothing more is taken; the first reason holds.
func (w *SFTPWatcher) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over == nil {
		w.over = err
	}
	w.changed.Broadcast()
}

func (w *SFTPWatcher) ended() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

func (w *SFTPWatcher) greeted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.version
}

// followsLinks says that the target's REALPATH does.
func (w *SFTPWatcher) followsLinks() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.resolves
}

// tell tells what was refused. What was answered is told by settle.
func (w *SFTPWatcher) tell(op Operation) error {
	w.telling.Lock()
	defer w.telling.Unlock()
	if err := w.ended(); err != nil {
		return err
	}
	return w.out.Tell(op)
}
