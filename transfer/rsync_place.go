package transfer

import (
	"strings"
)

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
