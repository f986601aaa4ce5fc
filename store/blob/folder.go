package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sekisho/sekisho"
)

// incoming is the part of the folder where objects are while they are written. What was left there is removed after
// incomingTime: another process may be at work on it until then.
const (
	incoming     = ".incoming"
	incomingTime = 24 * time.Hour
)

// Folder is a Store in a folder of its own (0700), with a folder for each session and files (0600) that have the
// objects' names. No path leaves it, neither by a name nor by a symbolic link.
type Folder struct {
	root *os.Root
	dir  string
}

// Open opens the folder, and makes it when it is not there.
func Open(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	f := &Folder{root: root, dir: dir}
	if err := errors.Join(f.makeDir(incoming), f.sweep()); err != nil {
		return nil, fmt.Errorf("open folder: %w", errors.Join(err, root.Close()))
	}
	return f, nil
}

// Close closes the folder. Open files stay open.
func (f *Folder) Close() error { return f.root.Close() }

// makeDir makes a folder in the root durably, unless it is there.
func (f *Folder) makeDir(name string) error {
	if err := f.root.Mkdir(name, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return f.syncDir(".")
}

// sweep removes what was never finished.
func (f *Folder) sweep() error {
	entries, err := fs.ReadDir(f.root.FS(), incoming)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > incomingTime {
			f.root.Remove(incoming + "/" + e.Name())
		}
	}
	return nil
}

// syncDir makes a folder's entries durable.
func (f *Folder) syncDir(name string) error {
	dir, err := f.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Put writes a file beside the others, makes it durable, and gives it its name.
func (f *Folder) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	session, _, err := ParseName(name)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	part := incoming + "/" + rand.Text()
	if err := f.write(ctx, part, r, size); err != nil {
		f.root.Remove(part)
		return fmt.Errorf("store %s: %w", name, err)
	}
	return f.place(session, part, name)
}

func (f *Folder) write(ctx context.Context, part string, r io.Reader, size int64) error {
	file, err := f.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(file, io.LimitReader(&live{ctx, r}, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes came, not %d", n, size)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// place gives a durable file its name, durably.
func (f *Folder) place(session, part, name string) error {
	err := f.makeDir(session)
	if err == nil {
		err = f.root.Rename(part, name)
	}
	if err == nil {
		err = f.syncDir(session)
	}
	f.root.Remove(part) // still there after an error, or when both names were links of one file (rename(2))
	if err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return nil
}

// Link gives a file one more name here.
func (f *Folder) Link(_ context.Context, name, path string) error {
	session, _, err := ParseName(name)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	part := incoming + "/" + rand.Text()
	if err := os.Link(path, filepath.Join(f.dir, part)); err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("store %s: %w", name, err)
		}
		return fmt.Errorf("store %s: %w: %w", name, errors.ErrUnsupported, err)
	}
	if info, err := f.root.Lstat(part); err != nil || !info.Mode().IsRegular() {
		f.root.Remove(part)
		return fmt.Errorf("store %s: %w: not a regular file", name, errors.Join(errors.ErrUnsupported, err))
	}
	return f.place(session, part, name)
}

// Get opens a file and goes to the offset.
func (f *Folder) Get(_ context.Context, name string, offset int64) (io.ReadCloser, int64, error) {
	if _, _, err := ParseName(name); err != nil {
		return nil, 0, fmt.Errorf("read: %w", err)
	}
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe in its place does not hold us up
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("read %s: %w", name, sekisho.ErrNotFound)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", name, err)
	}
	size, err := goTo(file, offset)
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", name, errors.Join(err, file.Close()))
	}
	return file, size, nil
}

// Size looks at a file.
func (f *Folder) Size(ctx context.Context, name string) (int64, error) {
	file, size, err := f.Get(ctx, name, 0)
	if err != nil {
		return 0, err
	}
	return size, file.Close()
}

func goTo(file *os.File, offset int64) (size int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, errors.New("not a regular file")
	}
	if err := checkOffset(offset, info.Size()); err != nil {
		return 0, err
	}
	_, err = file.Seek(offset, io.SeekStart)
	return info.Size(), err
}

func checkOffset(offset, size int64) error {
	if offset < 0 || offset > size {
		return fmt.Errorf("offset %d is not in its %d bytes", offset, size)
	}
	return nil
}

// List reads the folder's names; what is no object is passed over.
func (f *Folder) List(ctx context.Context, prefix string) ([]Object, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	sessions := []string{strings.TrimSuffix(prefix, "/")}
	if prefix == "" {
		entries, err := fs.ReadDir(f.root.FS(), ".")
		if err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
		sessions = sessions[:0]
		for _, e := range entries {
			if e.IsDir() && sekisho.CheckID("ses", e.Name()) {
				sessions = append(sessions, e.Name())
			}
		}
	}
	var all []Object
	for _, session := range sessions {
		entries, err := fs.ReadDir(f.root.FS(), session)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list: %w", err)
		}
		for _, e := range entries {
			name := session + "/" + e.Name()
			if _, _, err := ParseName(name); err != nil || !e.Type().IsRegular() {
				continue
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("list: %w", err)
			}
			all = append(all, Object{name, info.Size()})
		}
	}
	return sorted(all), ctx.Err()
}

// live ends a read when its context does.
type live struct {
	ctx context.Context
	r   io.Reader
}

func (l *live) Read(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	return l.r.Read(p)
}
