package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/sekisho/sekisho/krl"
)

// revokedFile is the list that RevokedKeys names. sshd reads it at each log-in.
const revokedFile = "revoked_keys"

// ErrNotRevoked says, wrapped, that a revocation list was not taken over, and that the one before it is still in force.
var ErrNotRevoked = errors.New("revocation list not taken over")

// takeRevocations puts a list in the place of the one before, before anything else is tried and whatever becomes of that. nil
// leaves the one before. A list that cannot be read whole, or has a smaller number than the one before, is not taken: sshd
// lets nobody in by a broken one, and an older one would let in who is revoked. One before that is broken makes room for any.
// there says whether RevokedKeys can name it.
func (p *place) takeRevocations(list []byte) (changed, there bool, err error) {
	before, number, err := readRevocations(p.dir)
	if list == nil {
		return false, before != nil, wrapNotRevoked(err)
	}
	next, e := krl.Parse(list)
	switch {
	case e != nil:
		return false, before != nil, wrapNotRevoked(fmt.Errorf("the new one: %w", e))
	case before != nil && err == nil && next.Number < number:
		return false, true, wrapNotRevoked(fmt.Errorf("it has number %d, and %d is in force", next.Number, number))
	case bytes.Equal(before, list):
		return false, true, nil
	}
	if err := replace(p.dir, revokedFile, list); err != nil {
		return false, before != nil, wrapNotRevoked(err)
	}
	return true, true, nil
}

// namesRevocations reports whether the drop-in has RevokedKeys. It stays, should the list be gone: sshd then lets nobody in
// until there is one again, and without it would let in who is revoked.
func (p *place) namesRevocations() (bool, error) {
	old, err := readPlain(p.dropIns, p.dropIn)
	return bytes.Contains(old, []byte("\nRevokedKeys ")), err
}

func wrapNotRevoked(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNotRevoked, err)
}

// readRevocations gives the list that is in the place, nil if there is none, and its number. With an error there is one that
// cannot be read as such.
func readRevocations(dir *os.Root) (list []byte, number uint64, err error) {
	info, err := dir.Lstat(revokedFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, nil
	case err != nil:
		return []byte{}, 0, err
	case !info.Mode().IsRegular(): // replaced and not followed
		return []byte{}, 0, fmt.Errorf("%s is no plain file", revokedFile)
	}
	f, err := dir.Open(revokedFile)
	if err != nil {
		return []byte{}, 0, err
	}
	defer f.Close()
	return parseRevocations(f)
}

func parseRevocations(r io.Reader) (list []byte, number uint64, err error) {
	list, err = io.ReadAll(io.LimitReader(r, krl.MaxSize+1))
	if list == nil {
		list = []byte{}
	}
	if err != nil {
		return list, 0, err
	}
	l, err := krl.Parse(list)
	if err != nil {
		return list, 0, fmt.Errorf("the one in force: %w", err)
	}
	return list, l.Number, nil
}

// Revocations gives the number of the revocation list that sshd goes by now, as its own configuration says, whoever wrote
// it; 0: it goes by none. With an error sshd lets nobody in, or nobody knows by what it goes.
func (h *Host) Revocations(ctx context.Context) (uint64, error) {
	effective, err := h.ask(ctx)
	if err != nil {
		return 0, err
	}
	path := effective["revokedkeys"]
	if path == "" || path == "none" {
		return 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read revocation list: %w", err)
	}
	defer f.Close()
	_, number, err := parseRevocations(f)
	if err != nil {
		return 0, fmt.Errorf("read revocation list %s: %w", path, err)
	}
	return number, nil
}
