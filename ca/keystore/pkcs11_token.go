//go:build pkcs11 && cgo

package keystore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/miekg/pkcs11"

	"github.com/sekisho/sekisho/pkcs11uri"
)

const (
	// tokenSessions is how many sessions with a token one key has at most.
	tokenSessions = 8
	// maxSlots bounds how many slots are looked at.
	maxSlots = 256
)

var (
	errAbsent = errors.New("not plugged in")
	errChoice = errors.New("the URI means more than one")
)

func (p tokenPlace) fail(err error) error {
	fix := "see to " + p.token() + "; signing goes on by itself"
	var code pkcs11.Error
	errors.As(err, &code)
	switch {
	case errors.Is(err, ErrClosed):
		fix = ""
	case errors.Is(err, ErrNotFound):
		fix = "look what is there (pkcs11-tool --list-objects), or create the key"
	case errors.Is(err, ErrTaken):
		fix = "give another object= in the URI, or open the key that is there"
	case errors.Is(err, ErrSecret):
		fix = "put the right PIN where pin-source= says; mind that tokens lock after a few wrong ones"
	case errors.Is(err, errChoice):
		fix = "add serial=, object= or id= to it"
	case errors.Is(err, errModule):
		fix = "is it the library that came with " + p.token() + ", for this machine, and configured? Signing goes on by itself"
	case errors.Is(err, errOtherKey), errors.Is(err, errSignature):
		fix = "do not trust this token until it is known who changed it"
	case errors.Is(err, errAbsent):
		fix = "plug it in; signing goes on by itself"
	case code == pkcs11.CKR_PIN_LOCKED:
		fix = "unlock its PIN with the token's own tools; signing goes on by itself"
	case code == pkcs11.CKR_USER_PIN_NOT_INITIALIZED:
		fix = "set its PIN with the token's own tools"
	}
	return &Error{Store: p.name(), Cause: err, Fix: fix}
}

// token says which token is meant, for sentences.
func (p tokenPlace) token() string {
	switch {
	case p.uri.Token != "":
		return "token " + p.uri.Token
	case p.uri.Serial != "":
		return "the token with serial " + p.uri.Serial
	}
	return "the token"
}

// token is a key on a token, and what its sessions share.
type token struct {
	place  tokenPlace
	module *module
	pin    *secret
}

func (p tokenPlace) shared(o Options) (*token, error) {
	m, err := loadModule(p.uri.ModulePath)
	if err != nil {
		return nil, p.fail(err)
	}
	return &token{place: p, module: m, pin: &secret{source: source{file: p.uri.PINSource}, options: o, what: "PIN of " + p.token()}}, nil
}

func (p tokenPlace) open(ctx context.Context, o Options) (Key, error) {
	t, err := p.shared(o)
	if err != nil {
		return nil, err
	}
	return openKey(ctx, store{dial: t.dial, fail: p.fail, links: tokenSessions, done: t.module.release}, o.Timeout)
}

// dial opens a session and finds the key. Where that does not work, the library is made to look anew once.
func (t *token) dial(ctx context.Context) (link, error) {
	s, err := t.find(ctx)
	if err != nil && !errors.Is(err, ErrSecret) && !errors.Is(err, errChoice) && ctx.Err() == nil {
		if err := t.module.reset(ctx); err != nil {
			return nil, err
		}
		s, err = t.find(ctx)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (t *token) find(ctx context.Context) (*session, error) {
	s, err := t.logIn(ctx, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return nil, err
	}
	if err := s.call(ctx, s.find); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// logIn opens a session and gives the token its PIN.
func (t *token) logIn(ctx context.Context, flags uint) (*session, error) {
	generation, err := t.module.enter(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer t.module.leave()
	slot, info, err := t.slot()
	if err != nil {
		return nil, err
	}
	handle, err := t.module.OpenSession(slot, flags)
	if err != nil {
		return nil, t.words(fmt.Errorf("open a session: %w", err))
	}
	if info.Flags&pkcs11.CKF_LOGIN_REQUIRED != 0 {
		if err := t.givePIN(ctx, handle, info.Flags); err != nil {
			t.module.CloseSession(handle)
			return nil, t.words(fmt.Errorf("log in: %w", err))
		}
	}
	return &session{token: t, handle: handle, generation: generation}, nil
}

// givePIN logs in, unless another session of this process has: the login is for all of them.
func (t *token) givePIN(ctx context.Context, handle pkcs11.SessionHandle, flags uint) error {
	switch {
	case flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return pkcs11.Error(pkcs11.CKR_PIN_LOCKED)
	case flags&pkcs11.CKF_USER_PIN_INITIALIZED == 0:
		return pkcs11.Error(pkcs11.CKR_USER_PIN_NOT_INITIALIZED)
	}
	if info, err := t.module.GetSessionInfo(handle); err == nil && (info.State == pkcs11.CKS_RO_USER_FUNCTIONS || info.State == pkcs11.CKS_RW_USER_FUNCTIONS) {
		return nil
	}
	pin, err := t.pin.get(ctx)
	if err != nil {
		return err
	}
	defer clear(pin)
	// The library reads the PIN during the call only; a string of its own could not be wiped.
	err = t.module.Login(handle, pkcs11.CKU_USER, unsafe.String(unsafe.SliceData(pin), len(pin)))
	var code pkcs11.Error
	errors.As(err, &code)
	switch code {
	case pkcs11.CKR_USER_ALREADY_LOGGED_IN:
		return nil
	case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE:
		t.pin.wrong(pin)
		return ErrSecret
	}
	return err
}

// slot finds the one token that the URI means.
func (t *token) slot() (slot uint, info pkcs11.TokenInfo, err error) {
	slots, err := t.module.GetSlotList(true)
	if err != nil {
		return 0, info, t.words(fmt.Errorf("list tokens: %w", err))
	}
	if len(slots) > maxSlots {
		return 0, info, fmt.Errorf("list tokens: there are %d, more than %d", len(slots), maxSlots)
	}
	found := 0
	for _, s := range slots {
		i, err := t.module.GetTokenInfo(s)
		if err == nil && i.Flags&pkcs11.CKF_TOKEN_INITIALIZED != 0 && matches(t.place.uri, i) {
			slot, info, found = s, i, found+1
		}
	}
	switch found {
	case 0:
		return 0, info, t.absent()
	case 1:
		return slot, info, nil
	}
	return 0, info, fmt.Errorf("%w token", errChoice)
}

func (t *token) absent() error { return fmt.Errorf("%s is %w", t.place.token(), errAbsent) }

func matches(u pkcs11uri.URI, t pkcs11.TokenInfo) bool {
	for _, pair := range [][2]string{{u.Token, t.Label}, {u.Manufacturer, t.ManufacturerID}, {u.Model, t.Model}, {u.Serial, t.SerialNumber}} {
		if pair[0] != "" && pair[0] != strings.TrimRight(pair[1], " \x00") {
			return false
		}
	}
	return true
}

// words says that the token is not there where a library has a number for it.
func (t *token) words(err error) error {
	for _, code := range []uint{pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_SLOT_ID_INVALID, pkcs11.CKR_TOKEN_NOT_RECOGNIZED} {
		if errors.Is(err, pkcs11.Error(code)) {
			return fmt.Errorf("%w (%w)", t.absent(), err)
		}
	}
	return err
}
