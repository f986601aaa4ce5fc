package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// dueFile says that files were written and sshd has not been reloaded since; it outlives a crash in between.
const dueFile = ".reload-due"

// Apply brings the host in step with the state. changed says whether anything was written. After an error everything
// is as it was before, but for the revocation list, which is taken over first and stays, and for published keys, which are
// gone or in step; what could not be put back is part of the error. An error that wraps ErrNotPublished or ErrNotRevoked, and
// nothing else, is about these only.
func (h *Host) Apply(ctx context.Context, s State) (changed bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	line, err := h.HostKey()
	if err != nil {
		return false, err
	}
	key, err := parseKey(line)
	if err != nil {
		return false, err
	}
	p, err := h.open()
	if err != nil {
		return false, err
	}
	defer p.close()
	revoked, list, untaken := p.takeRevocations(s.Revocations)
	defer func() { changed, err = changed || revoked, errors.Join(err, untaken) }()
	named, err := p.namesRevocations()
	if err != nil {
		return false, err
	}
	files, err := s.files(key)
	if err != nil {
		return false, fmt.Errorf("check state: %w", err)
	}
	published, trouble := h.publishable(ctx, &s)
	if trouble != nil {
		published = nil
	}
	if changed, err = p.publish(published); err != nil {
		published, trouble = nil, errors.Join(trouble, err)
	}
	did, err := h.trust(ctx, p, files, parts{certificate: s.HostCertificate != "", published: len(published) > 0, revocations: list || named})
	if err == nil && trouble == nil {
		trouble = h.tryPublished(ctx, published)
	}
	if trouble != nil {
		err = errors.Join(err, fmt.Errorf("%w: %w", ErrNotPublished, trouble))
	}
	return changed || did, err
}

// trust brings all in step but published keys.
func (h *Host) trust(ctx context.Context, p *place, files map[string][]byte, has parts) (changed bool, err error) {
	if err := p.compare(files, h.layout.dropIn(has)); err != nil {
		return false, err
	}
	if len(p.changes) == 0 && !p.due {
		return false, nil
	}
	if err := h.enforce(ctx, p, has); err != nil {
		return false, errors.Join(err, p.undo())
	}
	h.log.Info("sshd is in step", "dir", h.layout.Dir, "files", len(p.changes))
	return len(p.changes) > 0, nil
}

// enforce writes, asks sshd and reloads it.
func (h *Host) enforce(ctx context.Context, p *place, has parts) error {
	if err := p.write(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	effective, err := h.ask(ctx)
	if err != nil {
		return err
	}
	if err := h.inForce(effective, has); err != nil {
		return err
	}
	if !p.due {
		return nil
	}
	p.told = true
	if err := h.reload(ctx); err != nil {
		return fmt.Errorf("reload sshd: %w", err)
	}
	return p.dir.Remove(dueFile)
}

// place is the host's files while Apply works on them.
type place struct {
	dir     *os.Root // Layout.Dir
	dropIns *os.Root // the directory of Layout.DropIn
	dropIn  string   // its name there
	changes []change
	due     bool // sshd needs a reload
	wasDue  bool // and did so before Apply
	told    bool // sshd may have been reloaded
}

// change is one file to replace. nil contents stand for a file that is not there.
type change struct {
	root     *os.Root
	name     string
	old, new []byte
	done     bool
}

// open makes Dir if need be and holds on to both directories, so that nothing outside of them can be reached.
func (h *Host) open() (*place, error) {
	dir, err := openDir(h.layout.Dir)
	if err != nil {
		return nil, err
	}
	p := &place{dir: dir, dropIn: filepath.Base(h.layout.DropIn)}
	if err := makeDir(dir, principalsDir); err != nil {
		dir.Close()
		return nil, err
	}
	parent := filepath.Dir(h.layout.DropIn)
	if p.dropIns, err = os.OpenRoot(parent); err != nil {
		dir.Close()
		return nil, fmt.Errorf("open directory of the drop-in: %w", err)
	}
	return p, nil
}

// openDir opens a directory, which its parent must hold itself: a symbolic link does not count.
func openDir(path string) (*os.Root, error) {
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	name := filepath.Base(path)
	if err := makeDir(parent, name); err != nil {
		return nil, err
	}
	return parent.OpenRoot(name)
}

// makeDir makes a directory that everybody may read, unless there is one.
func makeDir(root *os.Root, name string) error {
	err := root.Mkdir(name, 0o755)
	if err == nil {
		return root.Chmod(name, 0o755) // whatever the umask is
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory: %w", err)
	}
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is in the way: want a directory", filepath.Join(root.Name(), name))
	}
	return nil
}

func (p *place) close() {
	p.dir.Close()
	p.dropIns.Close()
}

// compare finds what differs, files of logins that are gone included.
func (p *place) compare(files map[string][]byte, dropIn []byte) error {
	names := slices.Collect(maps.Keys(files))
	for _, dir := range []string{".", principalsDir} {
		entries, err := fs.ReadDir(p.dir.FS(), dir)
		if err != nil {
			return fmt.Errorf("list %s: %w", dir, err)
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if (dir == "." && e.Name() == certificateFile || dir == principalsDir) && files[name] == nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if err := p.note(p.dir, name, files[name]); err != nil {
			return err
		}
	}
	if err := p.note(p.dropIns, p.dropIn, dropIn); err != nil {
		return err
	}
	_, err := p.dir.Lstat(dueFile)
	p.wasDue = err == nil
	p.due = p.due || p.wasDue
	return nil
}

// note compares one file. sshd reads CA keys and principals at each login, everything else at its start.
func (p *place) note(root *os.Root, name string, content []byte) error {
	old, err := readPlain(root, name)
	if err != nil {
		return err
	}
	if (old == nil) == (content == nil) && bytes.Equal(old, content) {
		return nil
	}
	p.changes = append(p.changes, change{root: root, name: name, old: old, new: content})
	if root == p.dropIns || name == certificateFile {
		p.due = true
	}
	return nil
}

// readPlain reads a plain file; nil is one that is not there. Anything else in its place is an error.
func readPlain(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is in the way: want a plain file", filepath.Join(root.Name(), name))
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := readAll(f)
	if b == nil {
		b = []byte{}
	}
	return b, err
}

func (p *place) write() error {
	if p.due {
		if err := replace(p.dir, dueFile, []byte{}); err != nil {
			return err
		}
	}
	for i := range p.changes {
		c := &p.changes[i]
		c.done = true
		if err := replace(c.root, c.name, c.new); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// undo puts every file back. The reload stays due if sshd may have seen the new ones.
func (p *place) undo() error {
	var errs []error
	for _, c := range slices.Backward(p.changes) {
		if c.done {
			errs = append(errs, replace(c.root, c.name, c.old))
		}
	}
	if !p.told && !p.wasDue {
		errs = append(errs, replace(p.dir, dueFile, nil))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("put back: %w", err)
	}
	return nil
}

// replace writes a file whole or not at all; nil removes it. The new file takes the place of whatever has the name, so
// that a symbolic link is replaced and not followed.
func replace(root *os.Root, name string, content []byte) error {
	if content == nil {
		err := root.Remove(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	// Not ending in .conf: sshd must not include it while it is being written.
	temporary := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".new")
	if err := root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	// sshd reads principals as the user who logs in, so no umask may take the right away.
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = root.Rename(temporary, name)
	}
	if err != nil {
		root.Remove(temporary)
	}
	return err
}
