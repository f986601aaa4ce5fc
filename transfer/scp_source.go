package transfer

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// send reads what the source sends.
func (w *scp) send(s *pieces) {
	for {
		switch kind := s.byte(); kind {
		case 1, 2:
			w.tell(w.about(w.text(s)))
		case 'T':
			w.times(s)
		case 'C':
			w.sendFile(s)
		case 'D':
			w.sendFolder(s)
		case 'E':
			w.leaveFolder(s)
		default:
			s.lose("a line begins with %#x", kind)
		}
	}
}

// times reads a line with the times of the next file: seconds and microseconds of its change and of its use.
func (w *scp) times(s *pieces) {
	line := s.line(scpMaxLine)
	s.mark(false)
	fields := bytes.Split(line, []byte(" "))
	if len(fields) != 4 {
		s.lose("%d times", len(fields))
	}
	for _, f := range fields {
		if _, err := strconv.ParseUint(string(f), 10, 63); err != nil {
			s.lose("times: %w", err)
		}
	}
	w.expect(s, scpItem{kind: 'T'})
}

// sendFile reads a file's line, its content unless the sink refuses it, and how that went.
func (w *scp) sendFile(s *pieces) {
	size, name := w.named(s)
	f := w.offer(s, w.cmd.way(), w.placeOf(name, false), size)
	w.files = append(w.files, f)
	w.expect(s, scpItem{kind: 'C', file: f})
	s.wait() // for the answer, unless the source does not wait for it
	if f.refused {
		return
	}
	f.content(s)
	switch kind := s.byte(); kind {
	case 0:
		s.mark(true)
	case 1, 2:
		f.trouble = w.text(s)
	default:
		s.lose("a content ends with %#x", kind)
	}
	if f.heard {
		w.finish(f, f.trouble)
		return
	}
	w.expect(s, scpItem{kind: '!', file: f})
}

// sendFolder reads a folder's line. What follows is inside of it, if the sink takes it.
func (w *scp) sendFolder(s *pieces) {
	_, name := w.named(s)
	if len(w.folders) == scpMaxDepth {
		s.lose("more than %d folders inside one another", scpMaxDepth)
	}
	at, does := w.placeOf(name, true), "mkdir"
	if w.cmd.Sender {
		does = "list"
	}
	f := w.offer(s, does, at, 0)
	w.expect(s, scpItem{kind: 'D', file: f})
	s.wait()
	if f.refused {
		return
	}
	w.folders = append(w.folders, at)
}

func (w *scp) leaveFolder(s *pieces) {
	line := s.line(scpMaxLine)
	s.mark(false)
	if len(line) > 0 || len(w.folders) == 0 {
		s.lose("a folder ends that did not begin")
	}
	w.folders = w.folders[:len(w.folders)-1]
	w.expect(s, scpItem{kind: 'E'})
}

// named reads the line of a file or a folder after its letter: mode, size, name.
func (w *scp) named(s *pieces) (size int64, name string) {
	line := s.line(scpMaxLine)
	s.mark(false)
	mode, rest, _ := bytes.Cut(line, []byte(" "))
	digits, last, found := bytes.Cut(rest, []byte(" "))
	_, err := strconv.ParseUint(string(mode), 8, 12)
	length, wrong := strconv.ParseUint(string(digits), 10, 63)
	if err != nil || wrong != nil || len(mode) != 4 || !found || len(last) == 0 {
		s.lose("a line that names no file")
	}
	return int64(length), string(last)
}

// placeOf is where something is at the target that has this name where the source is.
func (w *scp) placeOf(name string, folder bool) place {
	switch {
	case len(w.folders) > 0:
		return w.folders[len(w.folders)-1].inside(name)
	case w.cmd.Sender:
		return place{path: sourcePath(w.cmd.Paths, name)}
	}
	target := w.cmd.Paths[0]
	if made := strings.TrimRight(target, "/"); folder && made != "" {
		target = made // mkdir takes "new/", open does not
	}
	return uploadPlace(target, name, w.intoFolder())
}

// intoFolder says that the sink was told that its path is a folder.
func (w *scp) intoFolder() bool {
	return slices.ContainsFunc(w.cmd.Options, func(option string) bool { return strings.Contains(option, "d") })
}
