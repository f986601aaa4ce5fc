package transfer

import (
	"path"
	"strings"
)

// learn takes in what answers say about sizes and the start directory.
func (w *SFTPWatcher) learn(r *sftpRequest, a *sftpAnswer) {
	switch {
	case a.kind == fxpAttrs && r.spec == sftpFstat:
		r.file.size, r.file.sized = a.attrs.size, a.attrs.hasSize
	case a.kind == fxpAttrs && a.attrs.hasSize && a.attrs.regular():
		w.sizes.keep(r.path, a.attrs.size)
	case a.kind == fxpName && r.start && path.IsAbs(string(a.name)):
		w.home = toldPath(a.name)
	}
}

// sftpSizes are the last sizes of files that the target told by path.
type sftpSizes struct {
	last [16]struct {
		path string
		size uint64
	}
	next int
}

func (s *sftpSizes) keep(path string, size uint64) {
	s.last[s.next%len(s.last)].path, s.last[s.next%len(s.last)].size = strings.Clone(path), size
	s.next++
}

// of is the size last told of path.
func (s *sftpSizes) of(path string) (size uint64, ok bool) {
	for i := range min(s.next, len(s.last)) {
		if at := s.last[(s.next-1-i)%len(s.last)]; at.path == path {
			return at.size, true
		}
	}
	return 0, false
}

// forget forgets all, because something may have changed.
func (s *sftpSizes) forget() {
	if s.next > 0 {
		*s = sftpSizes{}
	}
}
