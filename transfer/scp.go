package transfer

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"
	"strings"
	"sync"
)

// Bounds of one conversation.
const (
	// scpMaxLine is the greatest length of a line, rcp's own.
	scpMaxLine = 2048
	// scpMaxDepth is how many folders may be inside one another.
	scpMaxDepth = 256
	// scpMaxAhead is how much the sender may say before it is answered.
	scpMaxAhead = 64
)

// scp follows the protocol of rcp: one side, the source, sends a line for each file and folder, and a file's content after
// it; the other, the sink, answers each line and each content with a zero byte or with an error and a text. There is no
// specification; scp.c of OpenSSH and rcp.c of 4.3BSD are the two ends that others follow.
//
// It passes everything on as it comes. Contents count as told, since each file's path, size and hash are; lines and texts
// do not, so that the recording says what was under way whatever happens. Where the bytes stop to make sense, one
// operation says "not followed", and nothing counts as told any more.
type scp struct {
	out      Outlet
	cmd      Command
	user     *pieces
	target   *pieces
	sequence sync.Mutex // held while a piece is followed

	waiting []scpItem // what the sink has still to answer, the oldest first
	folders []place   // where the source is
	files   []*scpFile
	left    bool // it is not followed any more
	err     error
}

// scpItem is what the sink answers: the start ('.'), a line by its letter, or the end of a content ('!').
type scpItem struct {
	kind byte
	file *scpFile // of 'C', 'D' and '!'
}

// scpFile is a file, or a folder, that the source offered.
type scpFile struct {
	op      Operation
	size    int64
	sum     hash.Hash
	refused bool   // the sink does not want it
	trouble string // what either side said went wrong
	heard   bool   // the sink said so before it was asked
}

// NewSCP follows the far end of an scp that cmd started. What it is given goes on unchanged at once.
func NewSCP(cmd Command, out Outlet) Watcher {
	w := &scp{out: out, cmd: cmd, waiting: []scpItem{{kind: '.'}}}
	source, sink := newPieces(w.send), newPieces(w.answer)
	if w.user, w.target = source, sink; cmd.Sender {
		w.user, w.target = sink, source
	}
	return w
}

func (w *scp) FromUser(p []byte) error {
	if _, err := w.follow(w.user, p); err != nil {
		return err
	}
	return w.out.Target(p)
}

func (w *scp) FromTarget(p []byte) error {
	spans, err := w.follow(w.target, p)
	if err != nil {
		return err
	}
	from := 0
	for _, s := range spans {
		if err := w.out.User(p[from:s.end], s.told); err != nil {
			return err
		}
		from = s.end
	}
	return nil
}

// follow reads one piece, and gives which parts of it are told.
func (w *scp) follow(side *pieces, p []byte) ([]span, error) {
	w.sequence.Lock()
	defer w.sequence.Unlock()
	if w.err != nil || w.left {
		return []span{{end: len(p)}}, w.err
	}
	spans := side.feed(p)
	if side.lost != nil {
		w.leave("not followed")
	}
	return spans, w.err
}

// Close tells of the files that were under way.
func (w *scp) Close() error {
	w.sequence.Lock()
	defer w.sequence.Unlock()
	w.leave("unfinished")
	return w.err
}

// leave tells of what was under way, and follows nothing any more.
func (w *scp) leave(result string) {
	w.user.end()
	w.target.end()
	if w.left || w.err != nil {
		return
	}
	w.left = true
	if len(w.files) == 0 && result == "not followed" {
		w.err = w.out.Tell(w.about(result))
	}
	for _, f := range w.files {
		f.op.Result, f.op.Took = f.result(result), w.out.Clock()-f.op.Started
		if w.err = w.out.Tell(f.op); w.err != nil {
			return
		}
	}
}

// tell tells what the script at hand has come to know; if that cannot be told, the conversation does not go on.
func (w *scp) tell(op Operation) {
	if w.err = w.out.Tell(op); w.err != nil {
		panic(lost{w.err})
	}
}

// about is an operation on what the command names.
func (w *scp) about(result string) Operation {
	return w.cmd.operation(result, w.out.Clock())
}

// expect takes note of what the sink is to answer.
func (w *scp) expect(s *pieces, item scpItem) {
	if len(w.waiting) == scpMaxAhead {
		s.lose("more than %d lines without an answer", scpMaxAhead)
	}
	w.waiting = append(w.waiting, item)
}

// answer reads what the sink sends.
func (w *scp) answer(s *pieces) {
	for {
		switch kind := s.byte(); kind {
		case 0:
			if len(w.waiting) == 0 {
				s.lose("an answer to nothing")
			}
			w.answered("")
			s.mark(true)
		case 1, 2:
			w.complained(w.text(s))
		default:
			s.lose("an answer begins with %#x", kind)
		}
	}
}

// text reads what a side says went wrong.
func (w *scp) text(s *pieces) string {
	text := s.line(scpMaxLine)
	s.mark(false)
	if said := strings.TrimSpace(printable(text, maxResult)); said != "" {
		return said
	}
	return "failure"
}

// complained takes an error of the sink: an answer, or about the file whose content is coming.
func (w *scp) complained(text string) {
	switch {
	case len(w.waiting) > 0:
		w.answered(text)
	case len(w.files) > 0:
		f := w.files[len(w.files)-1]
		f.trouble, f.heard = text, true
	default:
		w.tell(w.about(text))
	}
}

// answered takes an answer, an error if there is a text.
func (w *scp) answered(text string) {
	item := w.waiting[0]
	w.waiting = w.waiting[1:]
	switch {
	case item.kind == 'D', item.kind == '!', item.kind == 'C' && text != "":
		item.file.refused = text != ""
		w.finish(item.file, text)
	case text != "":
		w.tell(w.about(text))
	}
}

// finish tells a file or a folder.
func (w *scp) finish(f *scpFile, text string) {
	if f.trouble == "" {
		f.trouble = text
	}
	f.op.Result, f.op.Took = f.result("ok"), w.out.Clock()-f.op.Started
	if f.trouble == "" && f.sum != nil {
		f.op.SHA256 = hex.EncodeToString(f.sum.Sum(nil))
	}
	w.files = slices.DeleteFunc(w.files, func(g *scpFile) bool { return g == f })
	w.tell(f.op)
}

// offer begins a file or a folder. No path is longer than maxPath (Linux's PATH_MAX).
func (w *scp) offer(s *pieces, name string, at place, size int64) *scpFile {
	if max(len(at.path), len(at.other)) > maxPath {
		s.lose("a path of more than %d bytes", maxPath)
	}
	f := &scpFile{size: size, op: Operation{Protocol: SCP, Name: name, Started: w.out.Clock()}}
	f.op.Path, f.op.To = at.told()
	return f
}

// content reads and hashes a file.
func (f *scpFile) content(s *pieces) {
	f.sum = sha256.New()
	for f.op.Bytes < f.size {
		b := s.some(f.size - f.op.Bytes)
		f.sum.Write(b)
		f.op.Bytes += int64(len(b))
		s.mark(true)
	}
}

// result is how it went: ok, unless something else is known.
func (f *scpFile) result(otherwise string) string {
	if f.trouble != "" {
		return f.trouble
	}
	return otherwise
}
