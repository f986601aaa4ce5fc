package transfer

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"time"
)

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
	pending []*rsyncOutcome // sent, and not yet known to be received
	trouble string          // the last error of the target that is not yet told
	line    []byte          // of standard error, not whole yet

	left bool // it is not followed any more
	err  error
}

// rsyncMaxPending is how many files may wait to be known as received. Of more, the oldest is told as "sent".
const rsyncMaxPending = 16 << 10

// rsyncOutcome is a file that was sent, or that is being sent.
type rsyncOutcome struct {
	op       Operation
	name     string // in the list
	index    int32
	phase    int
	received bool
}

// NewRsync follows the far end of an rsync that cmd started. What it is given goes on unchanged at once, not told.
// It is an ErrorWatcher.
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

// FromTargetError takes standard error line by line.
func (r *rsync) FromTargetError(p []byte) error {
	r.sequence.Lock()
	defer r.sequence.Unlock()
	for len(p) > 0 && r.err == nil && !r.left {
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			r.line = append(r.line, p[:min(len(p), rsyncTextSize-len(r.line))]...)
			break
		}
		line := append(r.line, p[:min(n, rsyncTextSize-len(r.line))]...)
		r.line, p = r.line[:0], p[n+1:]
		if bytes.HasPrefix(line, []byte("rsync: ")) {
			r.err = r.failed(line)
		}
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
		if !f.received && f.op.Result == "ok" {
			f.op.Result = "unfinished"
		}
		ops = append(ops, f.op)
	}
	r.pending = nil
	if r.trouble != "" {
		ops = append(ops, r.about(r.trouble))
	}
	switch {
	case r.file != nil:
		r.file.op.Result, r.file.op.Took = result, r.out.Clock()-r.file.op.Started
		ops = append(ops, r.file.op)
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

// fromUser reads what the user's end sends.
func (r *rsync) fromUser(s *rsyncStream) {
	if r.options.secluded {
		r.readWords(s)
	}
	r.versions[0] = s.int()
	s.wait()
	r.agree(s)
	if r.protocol >= 30 && !r.greeted {
		s.lose("the user's end goes on before the target's has begun")
	}
	r.readChoices(s, 0)
	s.framed = r.protocol >= 30
	s.wait()
	r.converse(s, !r.cmd.Sender)
}

// fromTarget reads what the target's end sends.
func (r *rsync) fromTarget(s *rsyncStream) {
	r.versions[1] = s.int()
	s.wait()
	r.agree(s)
	if r.protocol >= 30 {
		r.compat = s.varint()
	}
	r.greeted = true
	r.readChoices(s, 1)
	s.int() // the checksums' seed
	s.framed = true
	s.wait()
	r.converse(s, r.cmd.Sender)
}

// readWords reads the words that did not come with the command, each with a zero byte behind it; the first is the
// program's name (rsync.c, send_protected_args).
func (r *rsync) readWords(s *rsyncStream) {
	words, word := []string{}, []byte{}
	for size := 0; ; size++ {
		if size > maxCommand || len(words) > maxWords {
			s.lose("too many words")
		}
		b := s.byte()
		if b != 0 {
			word = append(word, b)
			continue
		}
		if len(word) == 0 {
			break
		}
		words, word = append(words, string(word)), word[:0]
	}
	if len(words) == 0 {
		s.lose("no words")
	}
	more := append(slices.Clone(r.cmd.Options), words[1:]...)
	options, n, ok := readRsyncOptions(more)
	if ok {
		r.cmd.Paths, ok = rsyncPaths(more[n:], r.cmd.Sender)
	}
	if !ok {
		s.lose("words that are not known")
	}
	r.options = options
}

// agree settles on the lower version.
func (r *rsync) agree(s *rsyncStream) {
	r.protocol = min(r.versions[0], r.versions[1])
	if r.protocol < rsyncOldest || r.protocol > rsyncNewest {
		s.lose("versions %d and %d", r.versions[0], r.versions[1])
	}
	s.protocol = r.protocol
}

// readChoices reads which checksums and compressions a side knows.
func (r *rsync) readChoices(s *rsyncStream, side int) {
	if r.compat&compatVarintFlags == 0 {
		return
	}
	if r.checksumChoice() == "" {
		r.checksums[side] = s.vstring(255)
	}
	if r.compressChoice() == "" && r.options.compress > 0 {
		r.compressors[side] = s.vstring(255)
	}
}

// converse reads from where there are frames. Both sides' choices are known by now.
func (r *rsync) converse(s *rsyncStream, sender bool) {
	if s.protocol < 31 && r.options.filesFrom {
		s.lose("names of files outside of frames")
	}
	if !sender {
		for {
			s.some(1 << 20)
		}
	}
	r.choose(s)
	if !r.cmd.Sender && r.wantsRules() {
		for n := s.int(); n != 0; n = s.int() {
			s.skip(s.count(n, rsyncTextSize))
		}
	}
	r.send(s)
}

// wantsRules says that an uploading end sends its filter rules.
func (r *rsync) wantsRules() bool {
	return r.options.prune || r.options.deletes && (!r.options.deleteExcluded || r.protocol >= 29)
}

// userSays takes a text of the user's end.
func (r *rsync) userSays(code byte, text []byte) {
	switch {
	case code == rsyncNotSent && !r.cmd.Sender:
		r.notSent(r.user, text, "not sent")
	case code == rsyncSuccess && r.cmd.Sender && r.options.removeSource:
		r.tell(r.operation("remove", r.placeOf(r.meant(r.user, text).name), "asked"))
	}
}

// targetSays takes a text of the target's end.
func (r *rsync) targetSays(code byte, text []byte) {
	switch code {
	case rsyncErrorX, rsyncError, rsyncErrorU:
		if err := r.failed(text); err != nil {
			panic(lost{err})
		}
	case rsyncDeleted:
		r.deleted(text)
	case rsyncNotSent:
		if r.cmd.Sender {
			said := r.trouble
			r.trouble = ""
			if said == "" {
				said = "not sent"
			}
			r.notSent(r.target, text, said)
		}
	}
}

// deleted tells what the receiver deleted; a folder's name ends with a zero byte.
func (r *rsync) deleted(text []byte) {
	if r.cmd.Sender || r.options.nothing {
		return
	}
	name, folder := bytes.CutSuffix(text, []byte{0})
	does := "remove"
	if folder {
		does = "rmdir"
	}
	r.tell(r.operation(does, place{path: join(r.cmd.Paths[0], string(name))}, "ok"))
}

// failed takes an error of the target: of a file that is on its way, or, when another error comes or it is all over, of no
// file in particular. It gives the error of Tell.
func (r *rsync) failed(text []byte) error {
	said := strings.TrimSpace(printable(bytes.TrimRight(text, "\r\n"), maxResult))
	if said == "" || strings.HasPrefix(said, "rsync error:") { // the end of it all, which has another cause
		return nil
	}
	if f := r.concerned(string(text)); f != nil {
		f.op.Result = said
		return nil
	}
	before := r.trouble
	if r.trouble = said; before == "" {
		return nil
	}
	r.err = r.out.Tell(r.about(before))
	return r.err
}

// concerned finds the file whose path an error quotes, or whose temporary file's, .NAME.XXXXXX beside it.
func (r *rsync) concerned(text string) *rsyncOutcome {
	_, quoted, _ := strings.Cut(text, `"`)
	end := strings.LastIndexByte(quoted, '"')
	if r.cmd.Sender || end < 0 {
		return nil
	}
	whole := "/" + quoted[:end]
	kept := whole
	if folder, last := split(whole); len(last) > 8 && last[0] == '.' {
		kept = folder + last[1:len(last)-7]
	}
	for _, f := range r.pending {
		if f.at(whole) || f.at(kept) {
			return f
		}
	}
	if r.file != nil && (r.file.at(whole) || r.file.at(kept)) {
		return r.file
	}
	return nil
}

// at says whether a path can be the file's.
func (f *rsyncOutcome) at(path string) bool { return strings.HasSuffix(path, "/"+f.name) }

// operation is one on a place.
func (r *rsync) operation(name string, at place, result string) Operation {
	op := Operation{Protocol: Rsync, Name: name, Result: result, Started: r.out.Clock()}
	op.Path, op.To = at.told()
	return op
}

func (f *rsyncOutcome) took(now time.Duration) { f.op.Took = now - f.op.Started }
