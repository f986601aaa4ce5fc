package client

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sekisho/sekisho"
)

// Home is the client's folder: config.json, signin.json, device.key, known_hosts, revoked_hosts, ssh_config and run/.
// It and everything in it belong to one person alone.
type Home struct {
	dir      string
	standard bool
}

// maxFile bounds every file the client reads, in bytes, but the revocation list.
const maxFile = 1 << 20

// OpenHome finds or makes the folder: dir, else SEKISHO_HOME, else ~/.sekisho. A folder others can look into is
// refused.
func OpenHome(dir string) (Home, error) {
	user, err := os.UserHomeDir()
	if dir == "" {
		dir = os.Getenv("SEKISHO_HOME")
	}
	if dir == "" {
		if err != nil {
			return Home{}, fmt.Errorf("find the home folder (or set SEKISHO_HOME): %w", err)
		}
		dir = filepath.Join(user, ".sekisho")
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return Home{}, fmt.Errorf("find %s: %w", dir, err)
	}
	h := Home{dir: dir, standard: user != "" && dir == filepath.Join(user, ".sekisho")}
	for _, d := range []string{dir, h.run()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return Home{}, fmt.Errorf("make the folder: %w", err)
		}
		info, err := os.Stat(d)
		if err != nil {
			return Home{}, fmt.Errorf("look at the folder: %w", err)
		}
		if err := checkPrivate(d, info); err != nil {
			return Home{}, err
		}
	}
	return h, nil
}

// Path is the absolute path of a file in the folder.
func (h Home) Path(name string) string { return filepath.Join(h.dir, name) }

// Shown is the path of a file as ssh_config and people want it: with ~ where that is the same file.
func (h Home) Shown(name string) string {
	if h.standard {
		return "~/.sekisho/" + filepath.ToSlash(name)
	}
	return h.Path(name)
}

// Standard says whether this is ~/.sekisho, the folder found without flag or variable.
func (h Home) Standard() bool { return h.standard }

func (h Home) run() string { return filepath.Join(h.dir, "run") }

// read gives a file's bytes if nobody else can read it; a missing one is fs.ErrNotExist.
func (h Home) read(name string) ([]byte, error) { return h.readUpTo(name, maxFile) }

func (h Home) readUpTo(name string, most int64) ([]byte, error) {
	f, err := os.Open(h.Path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkPrivate(h.Path(name), info); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s is larger than %d bytes", h.Path(name), most)
	}
	return b, err
}

func (h Home) write(name string, data []byte) error {
	return writeAtomic(h.Path(name), data, 0o600)
}

// remove deletes files; missing ones are fine.
func (h Home) remove(names ...string) error {
	var errs []error
	for _, n := range names {
		if err := os.Remove(h.Path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// writeAtomic puts data at path in one step: readers see the old file or the new one, also after a crash.
func writeAtomic(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func tooOpen(path, mode string) error {
	return &sekisho.Refusal{
		Sentence: fmt.Sprintf("%s can be used by others on this machine, so it is not used.", path),
		Next:     fmt.Sprintf("Run: chmod %s '%s'", mode, path),
	}
}
