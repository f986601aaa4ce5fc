package transfer

import (
	"encoding/binary"
	"hash"
	"strings"
	"time"
)

// sftpRequest is a request that waits for its answer.
type sftpRequest struct {
	spec     *sftpSpec
	order    uint64
	started  time.Duration
	path, to string
	place    string    // where path leads, if the target was asked
	file     *sftpFile // what its handle names
	offset   uint64    // of a READ or WRITE
	length   uint32
	flags    uint32  // of an OPEN
	may      sftpAct // what the handle of an OPEN will let be done
	start    bool    // a REALPATH of the start directory
	bytes    int64   // of a copy
	fits     bool    // it gives a file the size that was written to it
	reply    *sftpReply
}

// begun is the request as an operation that has no answer, if it is one.
func (r *sftpRequest) begun() (Operation, bool) {
	switch {
	case r.reply != nil:
		return Operation{}, false
	case r.spec == sftpClose:
		return r.file.begun("unfinished"), true
	}
	return r.operation("unfinished"), r.spec.tells || r.spec.by == byHandle
}

func (r *sftpRequest) operation(result string) Operation {
	return Operation{Protocol: SFTP, Name: r.spec.name, Path: r.path, To: r.to, Result: result, Started: r.started}
}

// sftpPayload says what becomes of a payload under way.
type sftpPayload struct {
	sum     hash.Hash // takes it, unless nil
	file    *sftpFile // whose bytes it counts as
	swallow bool      // it is not passed on
}

// fromUser takes a piece of a WRITE's data.
func (w *SFTPWatcher) fromUser(p []byte) error {
	p = p[:min(len(p), w.upData)]
	w.upData -= len(p)
	if w.up.swallow || len(p) == 0 {
		return nil
	}
	if w.up.sum != nil {
		w.up.sum.Write(p)
	}
	return w.user.pass(p)
}

// request takes a request, of a WRITE all before its data.
func (w *SFTPWatcher) request(packet []byte) error {
	if !w.begun.Load() {
		return w.greet(packet)
	}
	f, err := parseRequest(packet)
	if err != nil {
		return err
	}
	size, _, _ := sftpSize(packet)
	w.user.left = size - len(packet)
	if f.spec == sftpWrite {
		if err := w.writeOf(f.numbers[1], packet); err != nil {
			return err
		}
	}
	w.up = sftpPayload{swallow: true} // unless it is let through
	if err := w.room(f.id); err != nil {
		return err
	}
	r, text := w.draft(&f)
	if text != "" {
		return w.inject(statusPacket(f.id, fxFailure, text))
	}
	return w.judge(r, &f, packet)
}

// writeOf takes the length of a WRITE's data. What follows the data in its packet is cut off: servers pass over it, and
// some clients leave it there (rclone 1.60 sends its whole buffer with the last piece of a file).
func (w *SFTPWatcher) writeOf(length uint64, packet []byte) error {
	if length > uint64(w.user.left) {
		return notSFTP("WRITE of %d bytes in a packet that has %d", length, w.user.left)
	}
	w.upData = int(length)
	binary.BigEndian.PutUint32(packet, uint32(len(packet)-4+w.upData))
	return nil
}

// greet takes the INIT. Its version is what the user can at most, and the target chooses; extensions may follow.
func (w *SFTPWatcher) greet(packet []byte) error {
	body := sftpBody{b: packet[sftpPrefix:]}
	body.uint32()
	for len(body.b) > 0 {
		body.pairs(1)
	}
	if !body.whole() {
		return notSFTP("fields of INIT do not fit it")
	}
	w.begun.Store(true)
	return w.user.pass(packet)
}

// room waits until the target has told its version and there is room for one more request, whose id must be free.
func (w *SFTPWatcher) room(id uint32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full() {
		w.mu.Unlock()
		err := w.user.flush() // what is to be waited for must be on its way
		w.mu.Lock()
		if err != nil {
			return err
		}
	}
	for w.full() && w.over == nil {
		w.changed.Wait()
	}
	if w.over != nil {
		return w.over
	}
	if w.pending[id] != nil {
		return notSFTP("id %d is asked twice", id)
	}
	return nil
}

func (w *SFTPWatcher) full() bool {
	return !w.version || len(w.pending) >= sftpMaxPending || w.pathBytes > sftpMaxPaths && len(w.pending) > 0
}

// draft makes a request of its fields; text says why it cannot be one, though it is SFTP.
func (w *SFTPWatcher) draft(f *sftpFields) (r *sftpRequest, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r = w.blank()
	r.spec = f.spec
	if f.spec != sftpRead && f.spec != sftpWrite {
		r.started = w.out.Clock()
	}
	if f.spec.by == byHandle && w.opening+len(w.files) >= sftpMaxOpen {
		return nil, "too many open files"
	}
	for i, handle := range f.handles {
		if handle == nil {
			break
		}
		file := w.files[string(handle)]
		if file == nil {
			return nil, "no such handle"
		}
		if i == 0 {
			r.file, r.path = file, file.path
		} else {
			r.to, r.file = file.path, file // what is copied to
		}
	}
	w.fill(r, f)
	return r, ""
}

func (w *SFTPWatcher) fill(r *sftpRequest, f *sftpFields) {
	switch f.spec {
	case sftpRead, sftpWrite:
		r.offset, r.length = f.numbers[0], uint32(f.numbers[1])
		r.path = "" // the file has it
		return
	case sftpOpen:
		r.flags = uint32(f.numbers[0])
	case sftpCopy:
		r.bytes = int64(min(f.numbers[1], 1<<63-1))
	}
	if f.paths[0].way != 0 {
		r.path = w.absolute(f.paths[0])
		r.start = f.spec == sftpRealpath && isStart(f.paths[0].b)
	}
	if f.paths[1].way != 0 {
		r.to = w.absolute(f.paths[1])
	}
}

func isStart(path []byte) bool { return len(path) == 0 || string(path) == "." }

// absolute is a path as told: below the start directory where that is known.
func (w *SFTPWatcher) absolute(p sftpPath) string {
	told := toldPath(p.b)
	switch {
	case w.home == "" || strings.HasPrefix(told, "/") || p.way == fieldPointed || p.way == fieldExpanded:
		return told
	case isStart(p.b):
		return w.home
	}
	return cut(strings.TrimSuffix(w.home, "/")+"/"+told, maxPath)
}

// admit enters a request among those that wait for an answer, and lets its packet go on.
func (w *SFTPWatcher) admit(r *sftpRequest, f *sftpFields, packet []byte) error {
	w.mu.Lock()
	w.order++
	r.order = w.order
	w.pending[f.id] = r
	w.pathBytes += len(r.path) + len(r.to)
	w.enter(r, f)
	w.mu.Unlock()
	return w.user.pass(packet)
}

// enter keeps account of what a request will do.
func (w *SFTPWatcher) enter(r *sftpRequest, f *sftpFields) {
	if r.spec.act != sftpReads {
		w.sizes.forget()
	}
	switch {
	case r.spec.by == byHandle:
		w.opening++
		if r.flags != 0 && r.flags != 1 {
			w.sizes.forget()
		}
	case r.spec == sftpClose:
		delete(w.files, string(f.handles[0]))
	case r.spec == sftpWrite:
		r.file.wrote = true
		r.file.unanswered++
		w.up = sftpPayload{}
		if r.file.up.take(r.offset, r.length) {
			w.up.sum = r.file.up.sum
		}
	case r.spec == sftpCopy:
		r.file.up.spoil()
	case f.handles[0] != nil && f.attrs.hasSize:
		r.fits = r.file.cut(f.attrs.size)
	}
}

// blank takes a request from those that were answered, so that the data's requests need no memory.
func (w *SFTPWatcher) blank() *sftpRequest {
	if n := len(w.spare); n > 0 {
		r := w.spare[n-1]
		w.spare = w.spare[:n-1]
		return r
	}
	return new(sftpRequest)
}

// questionID is an id for a question of our own.
func (w *SFTPWatcher) questionID() uint32 {
	for w.lastID--; w.pending[w.lastID] != nil; w.lastID-- {
	}
	return w.lastID
}
