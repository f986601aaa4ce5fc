//go:build pkcs11 && cgo

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/pkcs11uri"
)

// module is a PKCS#11 library that is loaded and initialised.
type module struct {
	*pkcs11.Ctx
	path  string
	users int
}

// modules are the libraries that are loaded. C_Initialize and C_Finalize are for the whole process, so each is loaded once
// however many keys are used, and let go with the last of them.
var modules = struct {
	sync.Mutex
	loaded map[string]*module
}{loaded: map[string]*module{}}

func loadModule(path string) (*module, error) {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, notLoaded(path, err)
	}
	path = file
	modules.Lock()
	defer modules.Unlock()
	if l := modules.loaded[path]; l != nil {
		l.users++
		return l, nil
	}
	ctx := pkcs11.New(path)
	if ctx == nil {
		return nil, notLoaded(path, errors.New("it has no C_GetFunctionList, or does not load"))
	}
	if err := ctx.Initialize(); err != nil {
		ctx.Destroy()
		return nil, notLoaded(path, err)
	}
	l := &module{Ctx: ctx, path: path, users: 1}
	modules.loaded[path] = l
	return l, nil
}

func notLoaded(path string, err error) error {
	return &sekisho.Refusal{
		Sentence: fmt.Sprintf("The PKCS#11 library %s cannot be used: %v.", path, err),
		Next:     "Is it the library that came with the token, and for this machine?", Cause: err,
	}
}

// release lets the library go; nothing of it may be used after.
func (l *module) release() error {
	modules.Lock()
	defer modules.Unlock()
	if l.users--; l.users > 0 {
		return nil
	}
	delete(modules.loaded, l.path)
	err := l.Finalize()
	l.Destroy()
	if err != nil {
		return fmt.Errorf("finalise %s: %w", l.path, err)
	}
	return nil
}

// maxSlots bounds how many slots are looked at.
const maxSlots = 256

// slot finds the one token that the URI means.
func (l *module) slot(u pkcs11uri.URI) (slot uint, info pkcs11.TokenInfo, err error) {
	slots, err := l.GetSlotList(true)
	if err != nil {
		return 0, info, fmt.Errorf("list tokens: %w", err)
	}
	if len(slots) > maxSlots {
		return 0, info, fmt.Errorf("list tokens: there are %d, more than %d", len(slots), maxSlots)
	}
	var there []string
	found := 0
	for _, s := range slots {
		t, err := l.GetTokenInfo(s)
		if err != nil || t.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			continue
		}
		there = append(there, fmt.Sprintf("%s (serial %s)", t.Label, t.SerialNumber))
		if matches(u, t) {
			slot, info, found = s, t, found+1
		}
	}
	switch {
	case found == 1:
		return slot, info, nil
	case found > 1:
		return 0, info, &sekisho.Refusal{Sentence: "The URI means more than one token.", Next: "Add serial= to it. There are: " + strings.Join(there, ", ") + "."}
	case len(there) == 0:
		return 0, info, &sekisho.Refusal{Sentence: "There is no token.", Next: "Put it in, and try again."}
	}
	return 0, info, &sekisho.Refusal{Sentence: "The token that the URI means is not there.", Next: "There are: " + strings.Join(there, ", ") + "."}
}

func matches(u pkcs11uri.URI, t pkcs11.TokenInfo) bool {
	for _, pair := range [][2]string{{u.Token, t.Label}, {u.Manufacturer, t.ManufacturerID}, {u.Model, t.Model}, {u.Serial, t.SerialNumber}} {
		if pair[0] != "" && pair[0] != strings.TrimRight(pair[1], " \x00") {
			return false
		}
	}
	return true
}
