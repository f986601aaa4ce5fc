package transfer

import "sync"

// Protocols that are followed: rsync 2.6.0 of 2004 began with 27, 32 is that of 3.4.
const (
	rsyncOldest = 27
	rsyncNewest = 32
)

// What the server says that both ends do, since protocol 30 (compat.c).
const (
	compatIncremental  = 1 << 0
	compatSafeList     = 1 << 3
	compatXattrsAlways = 1 << 4
	compatVarintFlags  = 1 << 7 // and checksum and compression are agreed on
	compatNamesOfZero  = 1 << 8
)

// ErrorWatcher is a Watcher that learns also from the target's standard error. Rsync since 3.2 tells there, and only
// there, what could not be written.
type ErrorWatcher interface {
	// FromTargetError takes what the target sent as standard error. It is not passed on; p is not kept.
	FromTargetError(p []byte) error
}

// rsync follows the two ends of rsync over a shell. The steps: words over the input if they are secluded; both versions;
// what the server says that both do; names of checksums and compressions; the file list, or with incremental recursion
// one for each folder, when the sender comes to it; for each file that the receiver asks for its index, the size of
// blocks, and literal data between numbers of blocks that the receiver has; at the end of each phase a word from both.
//
// Only the sender's side is read to its contents; of the receiver's the frames are, for texts and for what was deleted.
// Every byte passes on as it comes and counts as not told: what a file was cannot be known for certain, since names and
// sizes are the word of two programs that may both be something else. Where the bytes stop to make sense, one operation says
// "not followed". A list that takes more than rsyncMaxHeld is not followed either.
//
// What is known of results: a download is "ok" once its last byte passed. An upload is "ok" when the receiver has gone
// on to what it does only after it has checked the file; when the wire said, or standard error, that it failed, the
// result is that text. Bytes are those of literal data as they crossed the wire, compressed where it is.
type rsync struct {
	out      Outlet
	cmd      Command
	options  rsyncOptions
	user     *rsyncStream
	target   *rsyncStream
	sequence sync.Mutex // held while a piece is followed

	versions    [2]int32 // the user's, the target's; 0 before
	protocol    int32
	compat      int32
	greeted     bool // the server has said what both do
	checksums   [2][]byte
	compressors [2][]byte
	compressed  bool
	listSum     int64 // length of a checksum in a list
	fileSum     int64 // length of a checksum after a file

	lists   rsyncLists
	phase   int // how many phases the sender has ended
	file    *rsyncOutcome
	pending []*rsyncOutcome // sent, in this order, and not yet told, but for some
	settled []*rsyncOutcome // of them that are known to be received
	quoted  int             // errors that a file was looked for
	trouble string          // the last error of the target that is not yet told
	line    []byte          // of standard error, not whole yet

	left bool // it is not followed any more
	err  error
}

// NewRsync follows the far end of an rsync that cmd started. What it is given goes on unchanged at once, not told.
// It is an ErrorWatcher.
//
// Results beside those of Operation: "sent", of an upload that too many others came after before it was known to be
// received; "sent again", when the receiver found that what it had made of it was not the file; "not sent" and "not read to
// its end", what the sender could not read; "asked", of a removal at the target that it does not answer for.
func NewRsync(cmd Command, out Outlet) Watcher {
	r := &rsync{out: out, cmd: cmd}
	r.options, _, _ = readRsyncOptions(cmd.Options)
	r.user, r.target = newRsyncStream(r.fromUser, r.userSays), newRsyncStream(r.fromTarget, r.targetSays)
	return r
}

func newRsyncStream(script func(*rsyncStream), message func(byte, []byte)) *rsyncStream {
	s := &rsyncStream{message: message, positive: -1, negative: 1}
	s.pieces = newPieces(func(*pieces) { script(s) })
	return s
}

func (r *rsync) FromUser(p []byte) error {
	if err := r.follow(r.user, p); err != nil {
		return err
	}
	return r.out.Target(p)
}

func (r *rsync) FromTarget(p []byte) error {
	if err := r.follow(r.target, p); err != nil {
		return err
	}
	return r.out.User(p, false)
}

func (r *rsync) follow(side *rsyncStream, p []byte) error {
	r.sequence.Lock()
	defer r.sequence.Unlock()
	if r.err != nil || r.left {
		return r.err
	}
	side.feed(p)
	if side.lost != nil {
		r.leave("not followed")
	}
	return r.err
}

// Close tells of what was under way, and of what is known by now.
func (r *rsync) Close() error {
	r.sequence.Lock()
	defer r.sequence.Unlock()
	r.leave("unfinished")
	return r.err
}

// leave tells what is not told yet, and follows nothing any more.
func (r *rsync) leave(result string) {
	r.user.end()
	r.target.end()
	if r.left || r.err != nil {
		return
	}
	r.left = true
	ops := r.rest(result)
	r.lists, r.file = rsyncLists{}, nil
	for _, op := range ops {
		if r.err = r.out.Tell(op); r.err != nil {
			return
		}
	}
}

// rest is all that is not told yet.
func (r *rsync) rest(result string) (ops []Operation) {
	for _, f := range r.pending {
		if !f.told {
			ops = append(ops, f.result("unfinished"))
		}
	}
	r.pending = nil
	if r.trouble != "" {
		ops = append(ops, r.about(r.trouble))
	}
	switch {
	case r.file != nil:
		r.file.op.Took = r.out.Clock() - r.file.op.Started
		ops = append(ops, r.file.result(result))
	case result == "not followed":
		ops = append(ops, r.about(result))
	}
	return ops
}

func (r *rsync) about(result string) Operation { return r.cmd.operation(result, r.out.Clock()) }

// tell tells what the script at hand has come to know; if that cannot be told, the conversation does not go on.
func (r *rsync) tell(op Operation) {
	if r.err = r.out.Tell(op); r.err != nil {
		panic(lost{r.err})
	}
}

// incremental says that each folder has a list of its own.
func (r *rsync) incremental() bool { return r.compat&compatIncremental != 0 }

// operation is one on a place.
func (r *rsync) operation(name string, at place, result string) Operation {
	op := Operation{Protocol: Rsync, Name: name, Result: result, Started: r.out.Clock()}
	op.Path, op.To = at.told()
	return op
}
