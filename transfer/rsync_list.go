package transfer

import (
	"slices"
	"strings"
)

// Bounds of what is remembered of one conversation's file lists. A list that does not fit is not followed.
const (
	rsyncMaxHeld = 32 << 20 // bytes, what an entry takes beside its name counted in
	rsyncEntry   = 128      // bytes that an entry takes beside its name
	rsyncMaxName = 4096     // bytes of a name or of a link (MAXPATHLEN)
)

// Flags of an entry on the wire (rsync.h, XMIT_…). Some bits changed their meaning with protocols 28 and 30.
const (
	entryExtended   = 1 << 2
	entrySameUser   = 1 << 3
	entrySameGroup  = 1 << 4
	entrySameName   = 1 << 5
	entryLongName   = 1 << 6
	entrySameTime   = 1 << 7
	entrySameMode   = 1 << 1
	entrySameDevice = 1 << 2  // before 28
	entrySameMajor  = 1 << 8  // devices
	entryHardLinked = 1 << 9  // since 28
	entrySameDisk   = 1 << 10 // 28 and 29
	entryUserName   = 1 << 10 // since 30
	entryMinor8     = 1 << 11 // 28 and 29
	entryGroupName  = 1 << 11 // since 30
	entryFirstLink  = 1 << 12 // since 30
	entryEndError   = 1 << 12 // of the end of a list
	entryNanos      = 1 << 13
	entrySameAtime  = 1 << 14
	entryBornThen   = 1 << 17
)

// File types in a mode (POSIX).
const (
	modeType    = 0o170000
	modeRegular = 0o100000
	modeFolder  = 0o040000
	modeLink    = 0o120000
	modeChar    = 0o020000
	modeBlock   = 0o060000
	modeFIFO    = 0o010000
	modeSocket  = 0o140000
)

// rsyncFile is an entry of a file list.
type rsyncFile struct {
	name string
	link string // what a symbolic link points to
	size int64
	mode uint32
	// outcome is that of its content, while it waits to be told.
	outcome *rsyncOutcome
}

func (f *rsyncFile) is(kind uint32) bool { return f.mode&modeType == kind }
func (f *rsyncFile) device() bool        { return f.is(modeChar) || f.is(modeBlock) }
func (f *rsyncFile) special() bool       { return f.is(modeFIFO) || f.is(modeSocket) }

// rsyncList is a file list: all of it, or with incremental recursion that of one folder.
type rsyncList struct {
	first  int32 // the index of its first entry
	parent *rsyncFile
	files  []*rsyncFile
	held   int
}

// rsyncLists are the lists that the sender sent, and what it said last, which the next entries are told against.
type rsyncLists struct {
	lists   []*rsyncList // that are not done
	folders []*rsyncFile // of all lists, in the order that indices of folders mean
	total   int          // entries ever
	next    int32        // the index of the next list's first entry
	held    int
	ended   bool // no more lists follow

	name string
	mode uint32
}

// readList reads one list to its end.
func (r *rsync) readList(s *rsyncStream, parent *rsyncFile) {
	list := &rsyncList{first: r.lists.next, parent: parent}
	for {
		flags, more := r.entryFlags(s)
		if !more {
			break
		}
		f := r.readEntry(s, list, flags)
		list.files = append(list.files, f)
		r.hold(s, list, f)
	}
	r.addList(list)
}

// entryFlags reads an entry's flags, or that there is none any more.
func (r *rsync) entryFlags(s *rsyncStream) (flags int32, more bool) {
	if r.compat&compatVarintFlags != 0 {
		if flags = s.varint(); flags == 0 {
			s.varint() // errors of the sender
		}
		return flags, flags != 0
	}
	flags = int32(s.byte())
	if flags != 0 && flags&entryExtended != 0 && r.protocol >= 28 {
		flags |= int32(s.byte()) << 8
	}
	if flags == entryExtended|entryEndError && (r.protocol >= 31 || r.compat&compatSafeList != 0) {
		s.varint()
		return 0, false
	}
	return flags, flags != 0
}

// hold takes note of what an entry takes.
func (r *rsync) hold(s *rsyncStream, list *rsyncList, f *rsyncFile) {
	size := rsyncEntry + len(f.name) + len(f.link)
	if r.lists.held += size; r.lists.held > rsyncMaxHeld {
		s.lose("a file list of more than %d bytes", rsyncMaxHeld)
	}
	if !f.is(modeFolder) || !r.incremental() {
		list.held += size
	}
	r.lists.total++
}

// addList puts a list into the order that both ends agree on, in which its indices count.
func (r *rsync) addList(list *rsyncList) {
	l := &r.lists
	order := func(a, b *rsyncFile) int {
		return compareRsync(r.ordered(a), r.ordered(b))
	}
	if r.incremental() {
		from := len(l.folders)
		for _, f := range list.files {
			if f.is(modeFolder) {
				l.folders = append(l.folders, f)
			}
		}
		if !r.options.converted {
			slices.SortStableFunc(l.folders[from:], order)
		}
	}
	if !r.options.converted {
		slices.SortStableFunc(list.files, order)
	}
	if list.first == 1 && len(l.folders) > 0 && len(list.files) > 0 {
		if _, last := split(list.files[0].name); last == "." {
			list.parent = l.folders[0]
		}
	}
	l.lists = append(l.lists, list)
	l.next = list.first + int32(len(list.files)) + 1
}

func (r *rsync) ordered(f *rsyncFile) rsyncName {
	return newRsyncName(f.name, f.is(modeFolder), r.protocol < 29)
}

// drop forgets the oldest list: both ends are done with it.
func (l *rsyncLists) drop() *rsyncList {
	list := l.lists[0]
	l.lists[0] = nil
	l.lists = l.lists[1:]
	l.held -= list.held
	return list
}

// file gives the entry of an index; the index before a list's first is its folder.
func (l *rsyncLists) file(s *rsyncStream, index int32) *rsyncFile {
	i, _ := slices.BinarySearchFunc(l.lists, index, func(list *rsyncList, index int32) int {
		if list.first+int32(len(list.files)) > index {
			return 1
		}
		return -1
	})
	if i == len(l.lists) || index < l.lists[i].first-1 || index < l.lists[i].first && l.lists[i].parent == nil {
		s.lose("no entry of index %d", index)
	}
	list := l.lists[i]
	if index < list.first {
		return list.parent
	}
	return list.files[index-list.first]
}

// readEntry reads one entry (flist.c, recv_file_entry).
func (r *rsync) readEntry(s *rsyncStream, list *rsyncList, flags int32) *rsyncFile {
	f := &rsyncFile{name: r.readName(s, flags)}
	if first := r.linkedTo(s, list, flags); first != nil {
		f.size, f.mode, f.link = first.size, first.mode, first.link
		r.lists.mode = f.mode
	} else {
		r.readStatus(s, f, flags)
		r.readOwner(s, flags)
		r.readDevice(s, f, flags)
		r.readLinks(s, f, flags)
		if r.options.checksums && (f.is(modeRegular) || r.protocol < 28) {
			s.skip(r.listSum)
		}
	}
	if r.options.acls && !f.is(modeLink) {
		readACL(s)
		if f.is(modeFolder) {
			readACL(s)
		}
	}
	if r.options.xattrs {
		readXattrs(s)
	}
	return f
}

// readName reads a name, which begins as the one before it.
func (r *rsync) readName(s *rsyncStream, flags int32) string {
	same, n := int64(0), int64(0)
	if flags&entrySameName != 0 {
		same = int64(s.byte())
	}
	if flags&entryLongName != 0 {
		n = s.count(s.varint30(), rsyncMaxName)
	} else {
		n = int64(s.byte())
	}
	if same > int64(len(r.lists.name)) || same+n >= rsyncMaxName || same+n == 0 {
		s.lose("a name of %d and %d bytes", same, n)
	}
	rest := make([]byte, n)
	s.fill(rest)
	r.lists.name = r.lists.name[:same] + string(rest)
	return strings.Clone(r.lists.name)
}

// linkedTo gives the entry of this list that has everything else of a hard link.
func (r *rsync) linkedTo(s *rsyncStream, list *rsyncList, flags int32) *rsyncFile {
	if r.protocol < 30 || flags&entryHardLinked == 0 || flags&entryFirstLink != 0 {
		return nil
	}
	first := s.varint()
	if first < 0 || int64(first) >= int64(list.first)+int64(len(list.files)) {
		s.lose("a hard link to index %d", first)
	}
	if first < list.first {
		return nil
	}
	return list.files[first-list.first]
}

// readStatus reads size, times and mode.
func (r *rsync) readStatus(s *rsyncStream, f *rsyncFile, flags int32) {
	if f.size = s.varlong30(3); f.size < 0 {
		s.lose("a size of %d", f.size)
	}
	if flags&entrySameTime == 0 {
		if r.protocol >= 30 {
			s.varlong(4)
		} else {
			s.int()
		}
	}
	if flags&entryNanos != 0 {
		s.varint()
	}
	if r.options.createTimes && flags&entryBornThen == 0 {
		s.varlong(4)
	}
	if flags&entrySameMode == 0 {
		r.lists.mode = uint32(s.int())
		r.checkMode(s, f)
	}
	f.mode = r.lists.mode
	if r.options.atimes && !f.is(modeFolder) && flags&entrySameAtime == 0 {
		s.varlong(4)
	}
}

// checkMode wants a type that there is; 0 is that of an argument that is missing.
func (r *rsync) checkMode(s *rsyncStream, f *rsyncFile) {
	switch r.lists.mode & modeType {
	case modeRegular, modeFolder, modeLink, modeChar, modeBlock, modeFIFO, modeSocket:
		return
	}
	if r.lists.mode != 0 {
		s.lose("a mode of %o", r.lists.mode)
	}
}

func (r *rsync) readOwner(s *rsyncStream, flags int32) {
	if r.options.owner && flags&entrySameUser == 0 {
		s.varint30()
		if r.protocol >= 30 && flags&entryUserName != 0 {
			s.skip(int64(s.byte()))
		}
	}
	if r.options.group && flags&entrySameGroup == 0 {
		s.varint30()
		if r.protocol >= 30 && flags&entryGroupName != 0 {
			s.skip(int64(s.byte()))
		}
	}
}

func (r *rsync) readDevice(s *rsyncStream, f *rsyncFile, flags int32) {
	if !(r.options.devices && f.device() || r.options.specials && f.special() && r.protocol < 31) {
		return
	}
	f.size = 0
	if r.protocol < 28 {
		if flags&entrySameDevice == 0 {
			s.int()
		}
		return
	}
	if flags&entrySameMajor == 0 {
		s.varint30()
	}
	switch {
	case r.protocol >= 30:
		s.varint()
	case flags&entryMinor8 != 0:
		s.byte()
	default:
		s.int()
	}
}

// readLinks reads what a symbolic link points to, and which file a hard link is in protocols before 30.
func (r *rsync) readLinks(s *rsyncStream, f *rsyncFile, flags int32) {
	if r.options.links && f.is(modeLink) {
		link := make([]byte, s.count(s.varint30(), rsyncMaxName))
		s.fill(link)
		f.link = string(link)
	}
	linked := flags&entryHardLinked != 0 && r.protocol >= 28 || r.protocol < 28 && f.is(modeRegular)
	if r.options.hardLinks && linked && r.protocol < 30 {
		if flags&entrySameDisk == 0 || r.protocol < 28 {
			s.longint()
		}
		s.longint()
	}
}

// readNames reads the names of users and groups after a list that has all (uidlist.c, recv_id_list).
func (r *rsync) readNames(s *rsyncStream, has bool) {
	if !has || r.options.numericIDs {
		return
	}
	for s.varint30() != 0 {
		s.skip(int64(s.byte()))
	}
	if r.compat&compatNamesOfZero != 0 {
		s.skip(int64(s.byte()))
	}
}

// readACL reads an access control list, or which of those before it is the same (acls.c, recv_rsync_acl).
func readACL(s *rsyncStream) {
	if s.varint() != 0 {
		return
	}
	flags := s.byte()
	for bit := byte(1); bit <= 8; bit <<= 1 { // user, group, other, mask
		if flags&bit != 0 {
			s.varint()
		}
	}
	if flags&0x10 == 0 {
		return
	}
	for n := s.count(s.varint(), 1<<16); n > 0; n-- {
		s.varint()
		if s.varint()&1 != 0 { // a name follows
			s.skip(int64(s.byte()))
		}
	}
}

// readXattrs reads extended attributes, or which of those before are the same (xattrs.c, receive_xattr). Of a long value
// there is only a checksum.
func readXattrs(s *rsyncStream) {
	if s.varint() != 0 {
		return
	}
	for n := s.count(s.varint(), 1<<16); n > 0; n-- {
		name := s.count(s.varint(), rsyncMaxName)
		value := s.count(s.varint(), 1<<31-1)
		if value > 32 {
			value = 16 // MD5
		}
		s.skip(name + value)
	}
}
