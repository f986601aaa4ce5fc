package transfer

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// FromTargetError takes standard error line by line.
func (r *rsync) FromTargetError(p []byte) error {
	r.sequence.Lock()
	defer r.sequence.Unlock()
	for len(p) > 0 && r.err == nil && !r.left {
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			r.line = append(r.line, p[:min(len(p), rsyncTextSize-len(r.line))]...)
			break
		}
		line := append(r.line, p[:min(n, rsyncTextSize-len(r.line))]...)
		r.line, p = r.line[:0], p[n+1:]
		if bytes.HasPrefix(line, []byte("rsync: ")) {
			r.err = r.failed(line)
		}
	}
	return r.err
}

// userSays takes a text of the user's end.
func (r *rsync) userSays(code byte, text []byte) {
	switch {
	case code == rsyncNotSent && !r.cmd.Sender:
		r.notSent(r.user, text, "not sent")
	case code == rsyncSuccess && r.cmd.Sender && r.options.removeSource:
		r.tell(r.operation("remove", r.placeOf(r.meant(r.user, text).name), "asked"))
	}
}

// targetSays takes a text of the target's end.
func (r *rsync) targetSays(code byte, text []byte) {
	switch code {
	case rsyncErrorX, rsyncError, rsyncErrorU:
		if err := r.failed(text); err != nil {
			panic(lost{err})
		}
	case rsyncDeleted:
		r.deleted(text)
	case rsyncNotSent:
		if r.cmd.Sender {
			said := r.trouble
			r.trouble = ""
			if said == "" {
				said = "not sent"
			}
			r.notSent(r.target, text, said)
		}
	}
}

// deleted tells what the receiver deleted; a folder's name ends with a zero byte.
func (r *rsync) deleted(text []byte) {
	if r.cmd.Sender || r.options.nothing {
		return
	}
	name, folder := bytes.CutSuffix(text, []byte{0})
	does := "remove"
	if folder {
		does = "rmdir"
	}
	r.tell(r.operation(does, place{path: join(r.cmd.Paths[0], string(name))}, "ok"))
}

// failed takes an error of the target: of a file that is on its way, or, when another error comes or it is all over, of no
// file in particular. It gives the error of Tell.
func (r *rsync) failed(text []byte) error {
	said := strings.TrimSpace(printable(bytes.TrimRight(text, "\r\n"), maxResult))
	if said == "" || strings.HasPrefix(said, "rsync error:") { // the end of it all, which has another cause
		return nil
	}
	if f := r.concerned(string(text)); f != nil {
		f.op.Result = said
		return nil
	}
	before := r.trouble
	if r.trouble = said; before == "" {
		return nil
	}
	r.err = r.out.Tell(r.about(before))
	return r.err
}

// rsyncMaxQuoted is for how many errors a file is looked for.
const rsyncMaxQuoted = 16 << 10

// concerned finds the file whose path an error quotes, or whose temporary file's, .NAME.XXXXXX beside it.
func (r *rsync) concerned(text string) *rsyncOutcome {
	_, quoted, _ := strings.Cut(text, `"`)
	end := strings.LastIndexByte(quoted, '"')
	if r.quoted++; r.cmd.Sender || end < 0 || r.quoted > rsyncMaxQuoted {
		return nil
	}
	whole := "/" + quoted[:end]
	kept := whole
	if folder, last := split(whole); len(last) > 8 && last[0] == '.' {
		kept = folder + last[1:len(last)-7]
	}
	for _, f := range r.pending {
		if !f.told && (f.at(whole) || f.at(kept)) {
			return f
		}
	}
	if r.file != nil && (r.file.at(whole) || r.file.at(kept)) {
		return r.file
	}
	return nil
}

// at says whether a path can be the file's.
func (f *rsyncOutcome) at(path string) bool { return strings.HasSuffix(path, "/"+f.file.name) }

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
