package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sekisho/sekisho"
)

// File is a recording being written, by one writer at a time. Sync may be called beside Write.
type File struct{ file *os.File }

// Create makes the session's file (0600) and its name durable. The error wraps fs.ErrExist when there is one already.
func (f *Folder) Create(session string) (*File, error) {
	name, err := fileName(session)
	if err != nil {
		return nil, fmt.Errorf("create recording: %w", err)
	}
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create recording: %w", err)
	}
	if err := f.syncNames(); err != nil {
		return nil, fmt.Errorf("create recording: %w", errors.Join(err, file.Close()))
	}
	return &File{file: file}, nil
}

// Write appends to the file.
func (f *File) Write(p []byte) (int, error) { return f.file.Write(p) }

// Sync returns when all that was written before is durable.
func (f *File) Sync() error { return datasync(f.file) }

// Close closes the file; it does not sync.
func (f *File) Close() error { return f.file.Close() }

// Reader reads a recording, which may still be growing.
type Reader struct {
	file *os.File
	size int64
}

// Open opens the session's file for reading. The error wraps sekisho.ErrNotFound when there is none.
func (f *Folder) Open(session string) (*Reader, error) {
	name, err := fileName(session)
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	file, err := f.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open recording of %s: %w", session, sekisho.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", errors.Join(err, file.Close()))
	}
	return &Reader{file: file, size: info.Size()}, nil
}

func (r *Reader) Read(p []byte) (int, error) { return r.file.Read(p) }

func (r *Reader) Seek(offset int64, whence int) (int64, error) { return r.file.Seek(offset, whence) }

func (r *Reader) Close() error { return r.file.Close() }

// Size is how many bytes the file had when it was opened.
func (r *Reader) Size() int64 { return r.size }

// fileName lets only session IDs become names.
func fileName(session string) (string, error) {
	if !sekisho.CheckID("ses", session) {
		return "", fmt.Errorf("%.40q is not a session ID", session)
	}
	return session + ".rec", nil
}
