package transfer

import (
	"path"
	"strings"
)

const (
	// sftpMaxClimb is how many folders up the target is asked for one that exists.
	sftpMaxClimb = 32
	// sftpMaxDeep is how many folders below a prefix a path may lie where each is asked for.
	sftpMaxDeep = 64
)

// sftpPlace is where a path leads, as the target said.
type sftpPlace struct {
	path  string // canonical, what the target is asked for in place of what the user wrote
	bound string // what must lie within a prefix; empty where the path leads nowhere that can be told
	gone  int    // how many elements at the end are not there
}

// pathVerdict is of a request that names paths: what they lead to must be allowed. What is passed on names that, so that
// what was judged is what is done.
func (w *SFTPWatcher) pathVerdict(r *sftpRequest, f *sftpFields, packet []byte, act sftpAct) (sftpVerdict, error) {
	pass := sftpVerdict{packet: packet}
	r.may = w.limits.furthest("")
	switch {
	case w.limits.everywhere(act), r.start && r.spec == sftpRealpath, r.spec == sftpExpand && isHome(f.paths[0].b):
		return pass, nil
	case !w.limits.somewhere(act):
		return refuse(w.limits.why(act)), nil
	}
	if err := w.resolve(); err != nil {
		return sftpVerdict{}, err
	}
	places, err := w.places(f)
	if err != nil || len(places) == 0 {
		return refuse(w.limits.outside), err
	}
	v, err := w.placesVerdict(places, f, act)
	if err != nil || v.code != fxOK {
		return v, err
	}
	return w.settled(r, f, packet, places), nil
}

func isHome(path []byte) bool { return isStart(path) || string(path) == "~" }

// places finds where the paths of a request lead; there are none if one cannot be found.
func (w *SFTPWatcher) places(f *sftpFields) (places []sftpPlace, err error) {
	folder := ""
	for i := len(f.paths) - 1; i >= 0; i-- { // a link before what it points to
		p := f.paths[i]
		if p.way == 0 {
			continue
		}
		place, err := w.place(p.way, string(p.b), folder)
		if err != nil || place.bound == "" {
			return nil, err
		}
		folder = place.bound
		places = append(places, place)
	}
	return places, nil
}

// placesVerdict holds places to the limits.
func (w *SFTPWatcher) placesVerdict(places []sftpPlace, f *sftpFields, act sftpAct) (sftpVerdict, error) {
	var bounds []string
	for _, place := range places {
		bounds = append(bounds, place.bound)
	}
	if !w.limits.allow(act, bounds...) {
		return refuse(w.limits.why(act, bounds...)), nil
	}
	for i, place := range places {
		way := f.paths[len(places)-1-i].way
		if v, err := w.placeVerdict(way, place); err != nil || v.code != fxOK {
			return v, err
		}
	}
	return sftpVerdict{}, nil
}

// placeVerdict looks at what the limits allow by its name: nothing may be a link there that was not followed.
func (w *SFTPWatcher) placeVerdict(way byte, place sftpPlace) (sftpVerdict, error) {
	linked, err := w.linked(way, place.bound)
	switch {
	case err != nil || linked:
		return refuse(w.limits.outside), err
	case place.gone == 0 || way == fieldPointed:
		return sftpVerdict{}, nil
	case place.gone > 1 || way != fieldFollowed:
		return sftpVerdict{code: fxNoSuchFile, text: missingText}, nil
	}
	// The target could not say where the last element leads: either it is not there, or it is a link to what is not.
	there, err := w.askOne(fxpLstat, place.path)
	if err != nil || there.code != fxNoSuchFile {
		return refuse(w.limits.outside), err
	}
	return sftpVerdict{}, nil
}

// settled makes a request say what it was judged by.
func (w *SFTPWatcher) settled(r *sftpRequest, f *sftpFields, packet []byte, places []sftpPlace) sftpVerdict {
	var paths [2]string
	for i, place := range places {
		paths[len(places)-1-i] = place.path
	}
	r.place = paths[0]
	r.may = w.limits.furthest(paths[0])
	if paths[0] != "" {
		r.path = toldPath([]byte(paths[0]))
	}
	if paths[1] != "" {
		r.to = toldPath([]byte(paths[1]))
	}
	return sftpVerdict{packet: f.withPaths(packet, paths)}
}

// place finds where a path leads. folder is where a link lies whose path is what it points to.
func (w *SFTPWatcher) place(way byte, p, folder string) (sftpPlace, error) {
	if len(p) > maxPath {
		return sftpPlace{}, nil
	}
	switch way {
	case fieldNamed, fieldEntry:
		return w.entryPlace(way, p)
	case fieldPointed:
		return w.pointedPlace(p, folder)
	case fieldExpanded:
		replies, err := w.ask(sftpQuestion{fxpExtended, p})
		if err != nil || replies[0].code != fxOK {
			return sftpPlace{}, err
		}
		return sftpPlace{bound: replies[0].path}, nil
	}
	return w.follow(p)
}

// entryPlace finds the folder that holds a name, which is not followed if it is a link. Where the name is made or taken
// away, it is the folder that must be allowed.
func (w *SFTPWatcher) entryPlace(way byte, p string) (sftpPlace, error) {
	folder, name := splitPath(p)
	if !isName(name) {
		if way == fieldNamed {
			return sftpPlace{}, nil
		}
		return w.follow(p) // a folder, and no link
	}
	place, err := w.follow(folder)
	if err != nil || place.bound == "" {
		return sftpPlace{}, err
	}
	place.path = path.Join(place.path, name)
	if way == fieldEntry {
		place.bound = place.path
	}
	return place, nil
}

// pointedPlace finds what a link in folder would point to. What leads back ("..") is not allowed: the link could be moved
// to where it means something else.
func (w *SFTPWatcher) pointedPlace(p, folder string) (sftpPlace, error) {
	for element := range strings.SplitSeq(p, "/") {
		if element == ".." {
			return sftpPlace{}, nil
		}
	}
	if !path.IsAbs(p) {
		p = folder + "/" + p
	}
	place, err := w.follow(p)
	place.path = "" // it stays as it was written
	return place, err
}

// follow has the target resolve p, or the nearest folder above it that can be resolved.
func (w *SFTPWatcher) follow(p string) (sftpPlace, error) {
	rest := ""
	for gone := range sftpMaxClimb {
		reply, err := w.askOne(fxpRealpath, p)
		switch {
		case err != nil:
			return sftpPlace{}, err
		case reply.code == fxOK:
			whole := path.Join(reply.path, rest)
			return sftpPlace{path: whole, bound: whole, gone: gone}, nil
		case reply.code != fxNoSuchFile:
			return sftpPlace{}, nil
		}
		folder, name := splitPath(p)
		if !isName(name) {
			break
		}
		p, rest = folder, path.Join(name, rest)
	}
	return sftpPlace{}, nil
}

// splitPath cuts the last element off p. Slashes at the end do not count.
func splitPath(p string) (folder, name string) {
	p = strings.TrimRight(p, "/")
	i := strings.LastIndexByte(p, '/')
	switch name = p[i+1:]; i {
	case -1:
		return ".", name
	case 0:
		return "/", name
	}
	return p[:i], name
}

func isName(s string) bool { return s != "" && s != "." && s != ".." }

// linked asks whether there is a link on the way from its prefix to a place. Targets that have expand-path resolve links
// themselves; others may only clean the path.
func (w *SFTPWatcher) linked(way byte, place string) (bool, error) {
	if w.followsLinks() {
		return false, nil
	}
	var questions []sftpQuestion
	for at := place; at != "/" && !w.limits.prefix(at); at = path.Dir(at) {
		if at != place || way != fieldEntry { // that may be a link itself
			questions = append(questions, sftpQuestion{fxpLstat, at})
		}
	}
	if len(questions) > sftpMaxDeep {
		return true, nil
	}
	replies, err := w.ask(questions...)
	for _, reply := range replies {
		if reply.code == fxOK && reply.attrs.link() || reply.code != fxOK && reply.code != fxNoSuchFile {
			return true, err
		}
	}
	return false, err
}
