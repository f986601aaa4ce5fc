package transfer

import (
	"path"
	"strings"
	"time"
)

// way is what the command does with files.
func (c Command) way() string {
	if c.Sender {
		return "download"
	}
	return "upload"
}

// operation is one on the path that the result names, else on all that the command does.
func (c Command) operation(result string, now time.Duration) Operation {
	paths := c.Paths
	for i, p := range paths {
		if strings.Contains(result, p) {
			paths = paths[i : i+1]
			break
		}
	}
	named := legible([]byte(strings.Join(paths, " ")), maxPath)
	return Operation{Protocol: c.Protocol, Name: c.way(), Path: named, Result: result, Started: now}
}

// place is a path at the target as far as the wire tells it: whether the path of a command is a folder already is known
// only there.
type place struct {
	path string
	// other is the path instead if the command's path is a folder; empty where there is no doubt.
	other string
}

func (p place) told() (path, other string) {
	return legible([]byte(p.path), maxPath), legible([]byte(p.other), maxPath)
}

// inside is a place in a folder.
func (p place) inside(name string) place {
	if p.other != "" {
		p.other = join(p.other, name)
	}
	p.path = join(p.path, name)
	return p
}

// uploadPlace is where something of this name is put; sure says that the target path is a folder.
func uploadPlace(target, name string, sure bool) place {
	if sure || folderLike(target) {
		return place{path: join(target, name)}
	}
	return place{path: target, other: join(target, name)}
}

// folderLike says that a path can be nothing but a folder.
func folderLike(p string) bool {
	switch _, last := split(p); last {
	case "", ".", "..", "~":
		return true
	}
	return false
}

// sourcePath is the path of what a program that was given paths sends under this name. A path may be a pattern of the
// shell; where nothing fits, it is the name.
func sourcePath(paths []string, name string) string {
	first, _, _ := strings.Cut(name, "/")
	for _, p := range paths {
		folder, last := split(strings.TrimRight(p, "/"))
		if fits, _ := path.Match(last, first); fits || last == first || len(paths) == 1 {
			return join(folder, name)
		}
	}
	return name
}

// split cuts a path before its last name; the folder keeps its slash.
func split(p string) (folder, last string) {
	i := strings.LastIndexByte(p, '/')
	return p[:i+1], p[i+1:]
}

// join puts a name behind a folder. Nothing is resolved but a last "." of the folder.
func join(folder, name string) string {
	if trimmed := strings.TrimSuffix(folder, "/"); strings.HasSuffix(trimmed, "/.") {
		folder = trimmed[:len(trimmed)-1]
	}
	switch {
	case folder == "" || folder == "." || folder == "./":
		return name
	case strings.HasSuffix(folder, "/"):
		return folder + name
	}
	return folder + "/" + name
}
