package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
)

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

// checksumSizes are the lengths of checksums by name (checksum.c).
var checksumSizes = map[string]int64{"xxh128": 16, "xxh3": 8, "xxh64": 8, "xxhash": 8, "md5": 16, "md4": 16, "sha1": 20, "none": 1}

func (r *rsync) checksumChoice() string {
	switch choice := strings.ToLower(r.options.checksumChoice); choice {
	case "auto", "auto,auto":
		return ""
	default:
		return choice
	}
}

func (r *rsync) compressChoice() string {
	choice := strings.ToLower(r.options.compressChoice)
	switch {
	case choice == "auto":
		return ""
	case choice == "" && r.options.compress > 1:
		return "zlibx"
	}
	return choice
}

// choose settles how long checksums are and whether contents are compressed.
func (r *rsync) choose(s *rsyncStream) {
	file, list, two := strings.Cut(r.checksumChoice(), ",")
	if file == "" && r.compat&compatVarintFlags != 0 {
		file = agreed(r.checksums)
	}
	if !two {
		list = file
	}
	r.fileSum, r.listSum = checksumSize(file), checksumSize(list)
	if r.fileSum == 0 || r.listSum == 0 {
		s.lose("checksums of unknown length")
	}
	r.chooseCompression(s)
}

func (r *rsync) chooseCompression(s *rsyncStream) {
	choice := r.compressChoice()
	if choice == "" && r.options.compress > 0 {
		if choice = "zlib"; r.compat&compatVarintFlags != 0 {
			choice = agreed(r.compressors)
		}
	}
	switch choice {
	case "zlib", "zlibx":
		r.compressed = r.options.compressLevel != "0"
	case "zstd", "lz4":
		r.compressed = true
	case "none", "":
	default:
		s.lose("compression of unknown form")
	}
}

// checksumSize is that of a checksum by name; without a name or with "auto", of the one that its protocol has. 0 is unknown.
func checksumSize(name string) int64 {
	if name == "" || name == "auto" {
		return 16 // MD5 since protocol 30, MD4 before
	}
	return checksumSizes[name]
}

// agreed is the first of the user's choices that the target has, too.
func agreed(choices [2][]byte) string {
	theirs := strings.Fields(strings.ToLower(string(choices[1])))
	for _, choice := range strings.Fields(strings.ToLower(string(choices[0]))) {
		if slices.Contains(theirs, choice) {
			return choice
		}
	}
	return "nothing agreed"
}

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

// ended takes the sender's word that a list or a phase is done, which it says when the receiver has said so. What it
// shows to be received is told when the next such word comes, so that errors have time to arrive beside it.
func (r *rsync) ended() {
	r.tellReceived()
	if r.incremental() && len(r.lists.lists) > 0 {
		list := r.lists.drop()
		r.received(func(f *rsyncOutcome) bool { return f.index < list.first+int32(len(list.files)) })
		if len(r.lists.lists) > 0 {
			return
		}
	}
	r.phase++
	r.received(func(f *rsyncOutcome) bool { return f.phase <= r.phase-2 || r.over() })
}

func (r *rsync) received(is func(*rsyncOutcome) bool) {
	for _, f := range r.pending {
		f.received = f.received || is(f)
	}
}

func (r *rsync) tellReceived() {
	var waiting []*rsyncOutcome
	for _, f := range r.pending {
		if f.received {
			r.tell(f.op)
		} else {
			waiting = append(waiting, f)
		}
	}
	r.pending = waiting
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
		r.readContent(s, f, index)
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

// readContent reads a file: how the receiver's copy is cut into blocks, then literal data and blocks, then a checksum.
func (r *rsync) readContent(s *rsyncStream, f *rsyncFile, index int32) {
	o := &rsyncOutcome{name: f.name, index: index, phase: r.phase, op: r.operation(r.cmd.way(), r.placeOf(f.name), "ok")}
	if f.sent {
		r.again(o)
	}
	r.file, f.sent = o, true
	blocks := readBlocks(s)
	if r.compressed {
		o.readCompressed(s)
	} else {
		o.readPlain(s, blocks, f.size)
	}
	sum := make([]byte, r.fileSum)
	s.fill(sum)
	if len(sum) > 1 && binary.LittleEndian.Uint64(sum) == 0 { // the sender's word for what it could not read
		o.op.Result, o.op.SHA256 = "not read to its end", ""
	}
	o.took(r.out.Clock())
	r.file = nil
	r.sent(o)
}

// readBlocks reads how a file is cut into blocks, and gives their number.
func readBlocks(s *rsyncStream) int32 {
	most := int32(1 << 17)
	if s.protocol < 30 {
		most = 1 << 29
	}
	n := s.int()
	s.count(n, 1<<31-1)
	size := s.count(s.int(), most)
	s.count(s.int(), 64)
	s.count(s.int(), int32(size))
	return n
}

// readPlain reads lengths with their literal data, numbers of blocks below 0, and 0 at the end. It hashes what comes
// whole.
func (o *rsyncOutcome) readPlain(s *rsyncStream, blocks int32, size int64) {
	sum := sha256.New()
	for {
		n := s.int()
		switch {
		case n == 0:
			if sum != nil && o.op.Bytes == size {
				o.op.SHA256 = hex.EncodeToString(sum.Sum(nil))
			}
			return
		case n < 0:
			if sum = nil; -(int64(n) + 1) >= int64(blocks) {
				s.lose("block %d of %d", -(int64(n) + 1), blocks)
			}
			continue
		case n > 1<<24:
			s.lose("literal data of %d bytes", n)
		}
		for left := int64(n); left > 0; {
			b := s.some(left)
			if sum != nil {
				sum.Write(b)
			}
			left -= int64(len(b))
			o.op.Bytes += int64(len(b))
		}
	}
}

// readCompressed reads compressed data with their lengths, and numbers and runs of blocks (token.c).
func (o *rsyncOutcome) readCompressed(s *rsyncStream) {
	for {
		flag := s.byte()
		switch {
		case flag == 0:
			return
		case flag&0xc0 == 0x40:
			n := int64(flag&0x3f)<<8 | int64(s.byte())
			s.skip(n)
			o.op.Bytes += n
		case flag&0xc0 == 0xc0: // a run, behind the last block
			s.short()
		case flag&0x80 != 0: // a block, behind the last one
		case flag == 0x20:
			s.int()
		case flag == 0x21:
			s.int()
			s.short()
		default:
			s.lose("compressed data begins with %#x", flag)
		}
	}
}

// sent takes a file that was sent whole: a download is done, an upload waits for the receiver.
func (r *rsync) sent(o *rsyncOutcome) {
	if r.cmd.Sender {
		r.tell(o.op)
		return
	}
	r.pending = append(r.pending, o)
	if len(r.pending) <= rsyncMaxPending {
		return
	}
	oldest := r.pending[0]
	if r.pending = r.pending[1:]; oldest.op.Result == "ok" && !oldest.received {
		oldest.op.Result = "sent"
	}
	r.tell(oldest.op)
}

// again tells of a file that is sent once more, since what the receiver got was not it.
func (r *rsync) again(o *rsyncOutcome) {
	for i, f := range r.pending {
		if f.index != o.index {
			continue
		}
		r.pending = slices.Delete(r.pending, i, i+1)
		if f.op.Result == "ok" {
			f.op.Result = "sent again"
		}
		r.tell(f.op)
		return
	}
}

// meant gives the entry whose index a text is.
func (r *rsync) meant(s *rsyncStream, text []byte) *rsyncFile {
	if len(text) != 4 {
		s.lose("an index of %d bytes", len(text))
	}
	return r.lists.file(s, int32(binary.LittleEndian.Uint32(text)))
}

// notSent tells of a file that the sender was asked for and could not send.
func (r *rsync) notSent(s *rsyncStream, text []byte, result string) {
	r.tell(r.operation(r.cmd.way(), r.placeOf(r.meant(s, text).name), result))
}

// placeOf is where an entry is at the target.
func (r *rsync) placeOf(name string) place {
	if r.cmd.Sender {
		return place{path: r.source(name)}
	}
	if name = strings.TrimLeft(name, "/"); name == "." {
		return place{path: r.cmd.Paths[0]}
	}
	return uploadPlace(r.cmd.Paths[0], name, r.lists.total > 1)
}

// source is the path of what the target sends under a name. Names of a path that ends in a slash begin inside of it.
func (r *rsync) source(name string) string {
	if r.options.relative || r.options.filesFrom {
		return r.relative(name)
	}
	var whole []string
	for _, p := range r.cmd.Paths {
		if folderLike(p) {
			if len(r.cmd.Paths) == 1 {
				return inside(p, name)
			}
			continue
		}
		whole = append(whole, p)
	}
	if len(whole) == 0 {
		return name
	}
	return sourcePath(whole, name)
}

// relative is the path of what is named with its folders: behind a "/./" in the path, or from where the target began.
func (r *rsync) relative(name string) string {
	if r.options.filesFrom {
		return inside(r.cmd.Paths[0], name)
	}
	if folder, _, found := strings.Cut(r.cmd.Paths[0], "/./"); found && len(r.cmd.Paths) == 1 {
		return inside(folder, name)
	}
	return name
}

// inside puts a name behind a folder, which is itself named ".".
func inside(folder, name string) string {
	if name == "." {
		return folder
	}
	return join(folder, name)
}
