package transfer

// sftpAnswer is what was read of an answer.
type sftpAnswer struct {
	kind   byte
	id     uint32
	code   uint32 // of a STATUS
	text   []byte // its message
	handle []byte
	name   []byte // the first of a NAME
	names  uint32
	attrs  sftpAttrs
	length uint32 // of DATA
}

// parseAnswer reads an answer, of DATA all before the data.
func parseAnswer(packet []byte) (a sftpAnswer, err error) {
	body := sftpBody{b: packet[sftpPrefix:]}
	a.kind, a.id = packet[4], body.uint32()
	switch a.kind {
	case fxpStatus:
		if a.code = body.uint32(); len(body.b) > 0 { // servers that think of older versions say no more
			a.text = body.string()
		}
		if len(body.b) > 0 {
			body.string() // the text's language
		}
	case fxpHandle:
		a.handle = body.string()
		body.bad = body.bad || len(a.handle) > sftpMaxHandle
	case fxpData:
		a.length = body.uint32()
	case fxpName:
		a.readNames(&body)
	case fxpAttrs:
		a.attrs = body.attrs()
	default:
		body.b = nil
	}
	if !body.whole() {
		return a, notSFTP("fields of an answer of type %d do not fit it", a.kind)
	}
	return a, nil
}

func (a *sftpAnswer) readNames(body *sftpBody) {
	a.names = body.uint32()
	for i := uint32(0); i < a.names && !body.bad; i++ {
		name := body.string()
		body.string() // as ls -l would say it
		body.attrs()
		if i == 0 {
			a.name = name
		}
	}
}

// fits says that a may answer r.
func (a *sftpAnswer) fits(r *sftpRequest) bool {
	switch {
	case a.kind == fxpStatus && a.code == fxOK:
		return r.spec.by&byStatus != 0
	case a.kind == fxpStatus:
		return true
	case a.kind == fxpData:
		return r.spec.by&byData != 0 && a.length <= r.length
	case a.kind == fxpName && r.spec.by == byName && r.spec != sftpReaddir:
		return a.names == 1
	}
	return r.spec.by&answeredBy(a.kind) != 0
}

// fromTarget takes a piece of a DATA's data.
func (w *SFTPWatcher) fromTarget(p []byte) error {
	if w.down.sum != nil {
		w.down.sum.Write(p)
	}
	w.mu.Lock()
	w.down.file.bytes += int64(len(p))
	w.mu.Unlock()
	return w.target.pass(p)
}

// answer takes an answer, of DATA all before the data.
func (w *SFTPWatcher) answer(packet []byte) error {
	if packet[4] == fxpVersion {
		return w.welcome(packet)
	}
	a, err := parseAnswer(packet)
	if err != nil {
		return err
	}
	if a.kind == fxpData {
		size, _, _ := sftpSize(packet)
		if w.target.left = size - len(packet); uint64(a.length) != uint64(w.target.left) {
			return notSFTP("DATA of %d bytes in a packet that has %d", a.length, w.target.left)
		}
	}
	ours, err := w.settle(&a)
	if err != nil || ours {
		return err
	}
	return w.target.pass(packet)
}

// welcome takes the VERSION: it must be 3, and what extends it pairs of strings.
func (w *SFTPWatcher) welcome(packet []byte) error {
	body := sftpBody{b: packet[sftpPrefix:]}
	version, resolves := body.uint32(), false
	for len(body.b) > 0 {
		resolves = string(body.string()) == expandPath || resolves
		body.string()
	}
	switch {
	case !body.whole():
		return notSFTP("fields of VERSION do not fit it")
	case version != 3:
		return notSFTP("the target wants version %d", version)
	case !w.begun.Load():
		return notSFTP("VERSION before INIT")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.version, w.resolves = true, resolves
	w.changed.Broadcast()
	return w.target.pass(packet)
}

// settle takes a request for answered, and tells it if it is an operation. ours says that it was a question of our own.
func (w *SFTPWatcher) settle(a *sftpAnswer) (ours bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.pending[a.id]
	if r != nil && r.told() {
		// Close waits for what is being told, and tells the rest: the request must not be lost between the two.
		w.mu.Unlock()
		w.telling.Lock()
		defer w.telling.Unlock()
		w.mu.Lock()
		if w.over != nil {
			return false, w.over
		}
	}
	switch {
	case r == nil:
		return false, notSFTP("answer to %d, which was not asked", a.id)
	case !a.fits(r):
		return false, notSFTP("answer of type %d (code %d) to a request for %s", a.kind, a.code, r.spec.name)
	}
	delete(w.pending, a.id)
	w.pathBytes -= len(r.path) + len(r.to)
	if r.reply != nil {
		w.reply(r, a)
		return true, nil
	}
	w.changed.Broadcast()
	op, tells, err := w.conclude(r, a)
	*r = sftpRequest{}
	if w.spare = append(w.spare, r); err != nil || !tells {
		return false, err
	}
	say := w.out.Tell
	if op.Result == Opened {
		say = w.out.Begin
	}
	w.mu.Unlock()
	err = say(op)
	w.mu.Lock()
	return false, err
}

// told says that r may be told with its answer.
func (r *sftpRequest) told() bool {
	return r.reply == nil && (r.spec.tells || r.spec.by == byHandle || r.spec == sftpClose)
}

// conclude takes in what an answer says; the operation is to be told if tells.
func (w *SFTPWatcher) conclude(r *sftpRequest, a *sftpAnswer) (op Operation, tells bool, err error) {
	switch said := sftpResult(a.code, a.text); {
	case a.kind == fxpData:
		w.down = sftpPayload{file: r.file}
		r.file.read, r.file.ended = true, false
		if r.file.down.take(r.offset, a.length) {
			w.down.sum = r.file.down.sum
		}
	case r.spec == sftpRead && a.code == fxEOF:
		r.file.end(r.offset)
	case r.spec == sftpRead:
		r.file.read = true
		r.file.fail(said)
	case r.spec == sftpWrite:
		if r.file.unanswered--; a.code != fxOK {
			r.file.fail(said)
			break
		}
		r.file.bytes += int64(r.length)
	case r.spec.by == byHandle:
		if w.opening--; a.kind == fxpHandle {
			return r.operation(Opened), w.out.Begin != nil, w.open(r, a.handle)
		}
		op, tells = r.operation(said), true
	case r.spec == sftpClose:
		op, tells = r.file.operation(said), true
	case r.spec.tells:
		op, tells = r.operation(said), true
		if op.Result == "ok" {
			op.Bytes = r.bytes
			r.file.fit(r.fits)
		}
	default:
		w.learn(r, a)
	}
	op.Took = w.since(op.Started)
	return op, tells, nil
}

// open keeps what was opened by its handle.
func (w *SFTPWatcher) open(r *sftpRequest, handle []byte) error {
	if w.files[string(handle)] != nil {
		return notSFTP("a handle is given that is open")
	}
	f := &sftpFile{path: r.path, order: r.order, started: r.started, folder: r.spec == sftpOpendir, flags: r.flags, may: r.may}
	f.size, f.sized = w.sizes.of(r.path)
	w.files[string(handle)] = f
	return nil
}
