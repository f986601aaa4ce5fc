package transfer

import "strings"

// rsyncName walks a name as both ends compare it (flist.c, f_name_cmp): the folder, a slash, the last part, and behind that
// of a folder another slash. Since protocol 29 all of a folder's part counts as folder, so that what is directly in a
// folder comes before what is in folders inside it, and a folder "." comes before everything.
type rsyncName struct {
	text   string // what is left of the part at hand
	state  byte
	last   string
	folder bool // the name is one of a folder
	inside bool // the part at hand counts as folder
	old    bool // a protocol before 29, where nothing does
}

// The parts of a name.
const (
	nameFolder = iota
	nameSlash
	nameLast
	nameEnd
)

func newRsyncName(name string, folder, old bool) rsyncName {
	n := rsyncName{folder: folder, old: old}
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		n.text, n.last, n.inside = name[:i], name[i+1:], !old
		return n
	}
	n.last = name
	n.begin()
	return n
}

// begin goes on to the last part.
func (n *rsyncName) begin() {
	n.state, n.text, n.inside = nameLast, n.last, n.folder && !n.old
	if n.inside && n.last == "." {
		n.state, n.text, n.inside = nameEnd, "", false
	}
}

// advance goes on from a part that is used up.
func (n *rsyncName) advance() {
	switch {
	case n.state == nameFolder:
		n.state, n.text = nameSlash, "/"
	case n.state == nameSlash:
		n.begin()
	case n.state == nameLast && n.inside:
		n.state, n.text = nameEnd, "/"
	default:
		n.state, n.inside = nameEnd, false
	}
}

func (n *rsyncName) next() byte {
	if n.text == "" {
		return 0
	}
	c := n.text[0]
	n.text = n.text[1:]
	return c
}

// compareRsync orders two names.
func compareRsync(a, b rsyncName) int {
	if a.inside != b.inside {
		return foldersLast(a.inside)
	}
	for {
		if a.text == "" {
			if a.advance(); b.text != "" && a.inside != b.inside {
				return foldersLast(a.inside)
			}
		}
		if b.text == "" {
			ended := b.state == nameEnd || b.state == nameLast && !b.inside
			if b.advance(); ended && a.text == "" {
				return 0
			}
			if a.inside != b.inside {
				return foldersLast(a.inside)
			}
		}
		if d := int(a.next()) - int(b.next()); d != 0 {
			return d
		}
	}
}

func foldersLast(a bool) int {
	if a {
		return 1
	}
	return -1
}
