package transfer

import "path"

// sftpReply is what the target said to a question of our own.
type sftpReply struct {
	code  uint32 // of its STATUS; fxOK where it answered otherwise
	path  string // of its NAME
	attrs sftpAttrs
}

// sftpQuestion is a question of our own: a REALPATH, LSTAT, STAT or FSTAT, or the extension that expands a "~".
type sftpQuestion struct {
	kind byte
	path string // of FSTAT the handle
}

const expandPath = "expand-path@openssh.com"

func (q sftpQuestion) spec() *sftpSpec {
	if q.kind == fxpExtended {
		return sftpExtensions[expandPath]
	}
	return sftpSpecs[q.kind]
}

func (q sftpQuestion) append(b []byte, id uint32) []byte {
	from := len(b)
	b = startPacket(b, q.kind, id)
	if q.kind == fxpExtended {
		b = appendString(b, expandPath)
	}
	return endPacket(appendString(b, q.path), from)
}

// ask puts questions to the target, all at once, and waits for the answers. FromTarget keeps them from the user.
func (w *SFTPWatcher) ask(questions ...sftpQuestion) ([]sftpReply, error) {
	if err := w.user.flush(); err != nil || len(questions) == 0 {
		return nil, err
	}
	var packets []byte
	replies := make([]sftpReply, len(questions))
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, q := range questions {
		id := w.questionID()
		w.pending[id] = &sftpRequest{spec: q.spec(), reply: &replies[i]}
		w.questions++
		packets = q.append(packets, id)
	}
	w.mu.Unlock()
	err := w.out.Target(packets)
	w.mu.Lock()
	if err != nil {
		return nil, err
	}
	for w.questions > 0 && w.over == nil {
		w.changed.Wait()
	}
	return replies, w.over
}

func (w *SFTPWatcher) askOne(kind byte, path string) (sftpReply, error) {
	replies, err := w.ask(sftpQuestion{kind, path})
	if err != nil {
		return sftpReply{}, err
	}
	return replies[0], nil
}

// reply takes in an answer to a question of our own.
func (w *SFTPWatcher) reply(r *sftpRequest, a *sftpAnswer) {
	*r.reply = sftpReply{code: a.code, path: string(a.name), attrs: a.attrs}
	if a.kind == fxpName && !canonical(r.reply.path) {
		r.reply.code = fxFailure
	}
	w.questions--
	w.changed.Broadcast()
}

// canonical says that p is a path from the root on, without elements that lead back.
func canonical(p string) bool { return path.IsAbs(p) && path.Clean(p) == p && len(p) <= maxPath }
