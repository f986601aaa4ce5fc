//go:build pkcs11 && cgo

package keystore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/pkcs11"
)

// resetPause is how long a library is left alone after it was made to look for tokens anew.
const resetPause = time.Second

// module is a PKCS#11 library that is loaded and initialised. C_Initialize and C_Finalize are for the whole process, so it
// is loaded once however many keys are used, and let go with the last of them.
//
// Some libraries see a token that was plugged in again only after C_Finalize and C_Initialize. Those end all sessions and
// may not run beside other calls, so that each call is made between enter and leave.
type module struct {
	*pkcs11.Ctx
	path  string
	users int // of modules

	mu         sync.Mutex
	active     int           // calls between enter and leave
	resetting  bool          // nobody may enter
	changed    chan struct{} // closed when any of these changes
	generation int           // sessions of older ones are gone
	lastReset  time.Time
	broken     error // why it did not initialise again
}

// modules are the libraries that are loaded, by path.
var modules = struct {
	sync.Mutex
	loaded map[string]*module
}{loaded: map[string]*module{}}

func loadModule(path string) (*module, error) {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", errModule, path, err)
	}
	if err := trusted(file); err != nil {
		return nil, fmt.Errorf("%w %s: %w", errModule, file, err)
	}
	modules.Lock()
	defer modules.Unlock()
	if m := modules.loaded[file]; m != nil {
		m.users++
		return m, nil
	}
	ctx := pkcs11.New(file)
	if ctx == nil {
		return nil, fmt.Errorf("%w %s: it has no C_GetFunctionList, or does not load", errModule, file)
	}
	if err := ctx.Initialize(); err != nil {
		ctx.Destroy()
		return nil, fmt.Errorf("%w %s: %w", errModule, file, err)
	}
	m := &module{Ctx: ctx, path: file, users: 1, changed: make(chan struct{})}
	modules.loaded[file] = m
	return m, nil
}

var errModule = errors.New("cannot use the PKCS#11 library")

// trusted refuses a library that others could have written: loading it runs what is in it.
func trusted(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d, neither to root nor to the one this runs as", st.Uid)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("mode %v lets others write it", info.Mode())
	}
	return nil
}

// release lets the library go; nothing of it may be used after.
func (m *module) release() error {
	modules.Lock()
	defer modules.Unlock()
	if m.users--; m.users > 0 {
		return nil
	}
	delete(modules.loaded, m.path)
	err := m.Finalize()
	m.Destroy()
	if err != nil && m.broken == nil {
		return fmt.Errorf("finalise %s: %w", m.path, err)
	}
	return nil
}

var errStale = errors.New("the session with the token has ended")

// enter begins a call. A session of generation (any, if 0) must still be good.
func (m *module) enter(ctx context.Context, generation int) (now int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.await(ctx, func() bool { return !m.resetting }); err != nil {
		return 0, err
	}
	switch {
	case m.broken != nil:
		return 0, m.broken
	case generation != 0 && generation != m.generation+1:
		return 0, errStale
	}
	m.active++
	return m.generation + 1, nil
}

func (m *module) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active--
	m.tell()
}

// await waits, with mu held before and after, until something is so.
func (m *module) await(ctx context.Context, so func() bool) error {
	for !so() {
		changed := m.changed
		m.mu.Unlock()
		select {
		case <-changed:
			m.mu.Lock()
		case <-ctx.Done():
			m.mu.Lock()
			return ctx.Err()
		}
	}
	return nil
}

// tell wakes those who wait.
func (m *module) tell() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// reset has the library look for tokens anew, when all calls are over, and not too often. A call that never comes back
// stands in the way: the library is then left as it is.
func (m *module) reset(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.resetting { // somebody else does
		return m.await(ctx, func() bool { return !m.resetting })
	}
	if time.Since(m.lastReset) < resetPause {
		return nil
	}
	m.resetting = true
	defer func() {
		m.resetting, m.lastReset = false, time.Now()
		m.tell()
	}()
	wait, cancel := context.WithTimeout(ctx, resetPause)
	defer cancel()
	if err := m.await(wait, func() bool { return m.active == 0 }); err != nil {
		return fmt.Errorf("wait for calls of the PKCS#11 library: %w", err)
	}
	m.generation++
	m.Finalize() // whatever it says, it is to begin anew
	m.broken = nil
	if err := m.Initialize(); err != nil {
		m.broken = fmt.Errorf("%w %s: %w", errModule, m.path, err)
	}
	return m.broken
}
