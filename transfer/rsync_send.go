package transfer

import "slices"

// Flags of an item (rsync.h, ITEM_…).
const (
	itemReports    = 0x5ff // changes of attributes, size, content
	itemChange     = 1 << 1
	itemXattr      = 1 << 8
	itemBasis      = 1 << 11
	itemName       = 1 << 12
	itemNew        = 1 << 13
	itemLocal      = 1 << 14
	itemTransfer   = 1 << 15
	itemOnlyXattrs = itemName | itemLocal
)

// send reads all that the sender sends: the first list, then items and further lists until all phases are over.
func (r *rsync) send(s *rsyncStream) {
	if r.incremental() {
		r.lists.next = 1
	}
	r.readList(s, nil)
	if !r.incremental() {
		r.readNames(s, r.options.owner || r.options.acls)
		r.readNames(s, r.options.group || r.options.acls)
	}
	if r.protocol < 30 {
		s.int() // errors of the sender
	}
	r.listed()
	for !r.over() {
		r.readNext(s)
	}
	for {
		s.some(1 << 20) // numbers about it all, and farewells
	}
}

// listed tells that the user gets to see what is in folders, or that nothing else is to come.
func (r *rsync) listed() {
	folder := slices.ContainsFunc(r.lists.lists[0].files, func(f *rsyncFile) bool { return f.is(modeFolder) })
	if r.cmd.Sender && (folder || r.options.nothing) {
		op := r.about("ok")
		op.Name = "list"
		r.tell(op)
	}
}

// over says that the sender has ended the last phase.
func (r *rsync) over() bool {
	if r.protocol < 29 {
		return r.phase > 1
	}
	return r.phase > 2
}

// readNext reads an index and what belongs to it.
func (r *rsync) readNext(s *rsyncStream) {
	index := s.index()
	switch {
	case index >= 0:
		r.readItem(s, index)
	case index == rsyncDone:
		r.ended()
	case index == rsyncListsEnd && r.incremental():
		r.lists.ended = true
	case index == rsyncDeletes:
		for range 5 {
			s.varint()
		}
	case index <= rsyncFolder && r.incremental() && !r.lists.ended && len(r.lists.lists) > 0:
		n := int64(rsyncFolder) - int64(index)
		if n >= int64(len(r.lists.folders)) {
			s.lose("a list of folder %d", n)
		}
		r.readList(s, r.lists.folders[n])
	default:
		s.lose("an index of %d", index)
	}
}

// ended takes the sender's word that a list or a phase is done, which it says when the receiver has said so. What the end
// of a list shows to be received is told at the end of the next one, what a phase's end shows at the end of all: the
// receiver's errors may come behind its word.
func (r *rsync) ended() {
	if r.phase == 0 {
		for _, o := range r.settled {
			r.settle(o, "")
		}
		r.settled = nil
	}
	if r.incremental() && len(r.lists.lists) > 0 {
		r.received(r.lists.drop(), r.phase)
		if len(r.lists.lists) > 0 {
			return
		}
	}
	if r.phase++; !r.incremental() {
		r.received(r.lists.lists[0], r.phase-2)
	}
}

// received takes the files of a list that were sent up to a phase for received; at the end, all.
func (r *rsync) received(list *rsyncList, phase int) {
	for _, f := range list.files {
		if o := f.outcome; o != nil && !o.received && (o.phase <= phase || r.over()) {
			o.received = true
			r.settled = append(r.settled, o)
		}
	}
}

// readItem reads what there is of one entry.
func (r *rsync) readItem(s *rsyncStream, index int32) {
	flags := uint32(itemTransfer)
	if r.protocol >= 29 {
		flags = s.short()
	}
	if r.protocol == 29 && index == r.lists.next-1 && flags == itemNew {
		return // a sign of life
	}
	f := r.lists.file(s, index)
	if flags&itemBasis != 0 {
		s.byte()
	}
	var name []byte
	if flags&itemName != 0 {
		name = s.vstring(rsyncMaxName)
	}
	r.readItemXattrs(s, flags)
	switch {
	case flags&itemTransfer == 0:
		r.changed(f, flags, string(name))
	case !f.is(modeRegular):
		s.lose("the content of what is no file")
	case !r.options.nothing:
		r.readContent(s, f)
	}
}

// readItemXattrs reads long values of extended attributes (xattrs.c, send_xattr_request).
func (r *rsync) readItemXattrs(s *rsyncStream, flags uint32) {
	always := r.protocol < 31 || r.compat&compatXattrsAlways != 0
	if !r.options.xattrs || flags&itemXattr == 0 || r.options.nothing || !always && flags&itemOnlyXattrs == itemOnlyXattrs {
		return
	}
	for s.varint() != 0 {
		s.skip(s.count(s.varint(), 1<<31-1))
	}
}

// changed tells what the receiver changed at the target without content.
func (r *rsync) changed(f *rsyncFile, flags uint32, name string) {
	if r.cmd.Sender || r.options.nothing {
		return
	}
	at := r.placeOf(f.name)
	switch {
	case f.is(modeFolder) && flags&itemNew != 0:
		r.tell(r.operation("mkdir", at, "ok"))
	case f.is(modeFolder), flags&(itemLocal|itemNew|itemChange) == 0, flags&itemName != 0 && name == "":
		if flags&itemReports != 0 {
			r.tell(r.operation("setstat", at, "ok"))
		}
	case name != "":
		r.tell(r.linked("link", join(r.cmd.Paths[0], name), at))
	case f.is(modeLink):
		r.tell(r.linked("symlink", f.link, at))
	case f.is(modeRegular): // from another folder there
		r.tell(r.operation("copy", at, "ok"))
	default:
		r.tell(r.operation("mknod", at, "ok"))
	}
}

// linked is an operation that makes a link at a place.
func (r *rsync) linked(does, to string, at place) Operation {
	op := r.operation(does, place{path: to}, "ok")
	op.To, _ = at.told()
	return op
}
