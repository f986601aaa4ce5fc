package transfer

// Sentences of our own answers.
const (
	refusedText     = "refused by Sekisho: "
	unsupportedText = "not known to the gateway"
	missingText     = "No such file"
)

// sftpVerdict is what becomes of a request: passed on where its code is fxOK, else answered.
type sftpVerdict struct {
	code   uint32
	text   string
	why    string // what refuses it
	packet []byte // what is passed on
	done   bool   // nothing is left to do for the target: the user is told that all went well
}

func refuse(why string) sftpVerdict {
	return sftpVerdict{code: fxDenied, text: refusedText + why, why: why}
}

// judge holds a request to the limits, and lets it go on or answers it.
func (w *SFTPWatcher) judge(r *sftpRequest, f *sftpFields, packet []byte) error {
	v, err := w.verdict(r, f, packet)
	switch {
	case err != nil:
		return err
	case v.done:
		return w.leave(r, f)
	case v.code == fxOK:
		return w.admit(r, f, v.packet)
	}
	if err := w.tellRefused(r, v); err != nil {
		return err
	}
	return w.inject(statusPacket(f.id, v.code, v.text))
}

// tellRefused tells what was answered by us: what did not exist only if it would have been an operation, refused
// WRITEs once for each file.
func (w *SFTPWatcher) tellRefused(r *sftpRequest, v sftpVerdict) error {
	op := r.operation("refused")
	op.Why = v.why
	if v.code == fxNoSuchFile {
		if op.Result = sftpResult(v.code, nil); !r.spec.tells && r.spec.by != byHandle {
			return nil
		}
	}
	if r.spec == sftpWrite {
		if r.file.refused {
			return nil
		}
		r.file.refused, op.Path, op.Started = true, r.file.path, w.out.Clock()
	}
	op.Took = w.since(op.Started)
	return w.tell(op)
}

func (w *SFTPWatcher) verdict(r *sftpRequest, f *sftpFields, packet []byte) (sftpVerdict, error) {
	pass := sftpVerdict{packet: packet}
	switch {
	case r.spec.unknown() && (!w.limits.free || r.spec.name == versionSelect):
		return sftpVerdict{code: fxUnsupported, text: unsupportedText, why: unsupportedText}, nil
	case w.limits.free:
		return pass, nil
	case len(w.limits.rules) == 0:
		return refuse(whyNothing), nil
	case f.handles[0] != nil:
		v := w.handleVerdict(r, f, pass)
		if v.code == fxDenied && r.resizes(f) {
			return w.sizeVerdict(r, f)
		}
		return v, nil
	case r.spec == sftpOpen:
		return w.openVerdict(r, f, packet)
	case f.paths[0].way == 0:
		return w.pathless(f, pass), nil
	}
	return w.pathVerdict(r, f, packet, r.actOf(f))
}

// actOf is what the request does; giving a file a size may take away what it holds.
func (r *sftpRequest) actOf(f *sftpFields) sftpAct {
	if r.spec.name == "setstat" && f.attrs.hasSize {
		return sftpRemoves
	}
	return r.spec.act
}

// handleVerdict is of a request on something open, which was judged when it was opened.
func (w *SFTPWatcher) handleVerdict(r *sftpRequest, f *sftpFields, pass sftpVerdict) sftpVerdict {
	switch act := r.actOf(f); {
	case act == sftpReads:
		return pass
	case r.spec == sftpWrite || r.spec == sftpCopy:
		if r.file.flags&fxfWrite != 0 {
			return pass
		}
		return refuse(whyUnopened)
	case r.file.may >= act:
		return pass
	case r.file.may >= sftpChanges:
		return refuse(whyNoRemove)
	}
	return refuse(whyReadOnly)
}

// resizes says that the request gives an open file a size and nothing else, by a handle that may change it.
func (r *sftpRequest) resizes(f *sftpFields) bool {
	return r.spec == sftpFsetstat && f.attrs.onlySize && r.file.flags&fxfWrite != 0 && r.file.may >= sftpChanges
}

// sizeVerdict is of a size for an open file where nothing may be removed. scp ends every upload with one, that of what it
// wrote. If the file has that size there is nothing to cut, and the target need not be asked to do it: what somebody else
// appends in between stays.
func (w *SFTPWatcher) sizeVerdict(r *sftpRequest, f *sftpFields) (sftpVerdict, error) {
	now, err := w.askOne(fxpFstat, string(f.handles[0]))
	if err != nil || now.code != fxOK || !now.attrs.hasSize || now.attrs.size != f.attrs.size {
		return refuse(whyNoRemove), err
	}
	return sftpVerdict{done: true}, nil
}

// leave answers a size that the file has already.
func (w *SFTPWatcher) leave(r *sftpRequest, f *sftpFields) error {
	w.mu.Lock()
	r.file.fit(r.file.cut(f.attrs.size))
	w.mu.Unlock()
	op := r.operation("ok")
	op.Took = w.since(op.Started)
	if err := w.tell(op); err != nil {
		return err
	}
	return w.inject(statusPacket(f.id, fxOK, ""))
}

// pathless is of a request that names neither path nor handle. Where somebody else is at home is told to who may read
// everywhere.
func (w *SFTPWatcher) pathless(f *sftpFields, pass sftpVerdict) sftpVerdict {
	if f.spec == sftpHome && len(f.text) > 0 && !w.limits.everywhere(sftpReads) {
		return refuse(w.limits.outside)
	}
	return pass
}

// openVerdict is of an OPEN. It asks for more the more its flags say.
func (w *SFTPWatcher) openVerdict(r *sftpRequest, f *sftpFields, packet []byte) (sftpVerdict, error) {
	act := sftpReads
	if r.flags&(fxfWrite|fxfAppend|fxfCreate|fxfTrunc) != 0 {
		act = sftpChanges
	}
	if r.flags&fxfTrunc == 0 || r.flags&(fxfCreate|fxfExcl) == fxfCreate|fxfExcl {
		return w.pathVerdict(r, f, packet, act)
	}
	v, err := w.pathVerdict(r, f, packet, sftpRemoves)
	if err != nil || v.code != fxDenied {
		return v, err
	}
	if v, err = w.pathVerdict(r, f, packet, act); err != nil || v.code != fxOK {
		return v, err
	}
	return w.uncut(r, f, packet, v)
}

// uncut is of an OPEN that cuts its file short where nothing may be removed: it is refused if there is something to cut,
// and else asked without the flag, so that nothing is cut that comes in between.
func (w *SFTPWatcher) uncut(r *sftpRequest, f *sftpFields, packet []byte, v sftpVerdict) (sftpVerdict, error) {
	there, err := w.askOne(fxpStat, r.real(f))
	if err != nil {
		return v, err
	}
	if there.code != fxNoSuchFile && (there.code != fxOK || !there.attrs.hasSize || there.attrs.size > 0) {
		return refuse(whyNoRemove), nil
	}
	f.dropFlags(packet, fxfTrunc)
	if r.place != "" {
		v.packet = f.withPaths(packet, [2]string{r.place})
	}
	return v, nil
}

// real is the path that the target is asked for.
func (r *sftpRequest) real(f *sftpFields) string {
	if r.place != "" {
		return r.place
	}
	return string(f.paths[0].b)
}
