//go:build pkcs11 && cgo

package main

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/miekg/pkcs11"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/pkcs11uri"
)

// hasTokens says whether this build can load PKCS#11 libraries.
const hasTokens = true

// p256Params is CKA_EC_PARAMS of the curve P-256: the DER of its object identifier, 1.2.840.10045.3.1.7 (RFC 5480).
var p256Params = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}

// token is a session with a token, logged in, and the key in it that the URI means. The library serves one thread at
// a time.
type token struct {
	mu      sync.Mutex
	module  *module // nil when closed
	session pkcs11.SessionHandle
	name    string
	private pkcs11.ObjectHandle
	public  *ecdh.PublicKey
}

// openToken logs in to a token and finds a key on it.
func (a *app) openToken(u pkcs11uri.URI) (tokenKey, error) {
	t, err := a.logIn(u, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return nil, err
	}
	if err := t.find(u); err != nil {
		return nil, errors.Join(tokenRefusal(t.name, err), t.Close())
	}
	return t, nil
}

// makeOnToken logs in to a token and makes a key pair there, which must not be there yet.
func (a *app) makeOnToken(u pkcs11uri.URI) (tokenKey, error) {
	t, err := a.logIn(u, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return nil, err
	}
	if err := t.make(u); err != nil {
		return nil, errors.Join(tokenRefusal(t.name, err), t.Close())
	}
	return t, nil
}

// logIn opens a session and gives the token its PIN, once: tokens count what is wrong, and lock.
func (a *app) logIn(u pkcs11uri.URI, flags uint) (*token, error) {
	path, err := libraryPath(u)
	if err != nil {
		return nil, err
	}
	l, err := loadModule(path)
	if err != nil {
		return nil, err
	}
	slot, info, err := l.slot(u)
	if err != nil {
		return nil, errors.Join(err, l.release())
	}
	session, err := l.OpenSession(slot, flags)
	if err != nil {
		return nil, errors.Join(tokenRefusal(info.Label, err), l.release())
	}
	t := &token{module: l, session: session, name: info.Label}
	if info.Flags&pkcs11.CKF_LOGIN_REQUIRED != 0 {
		if err := a.givePIN(t, u, info.Flags); err != nil {
			return nil, errors.Join(tokenRefusal(t.name, err), t.Close())
		}
	}
	return t, nil
}

func (a *app) givePIN(t *token, u pkcs11uri.URI, flags uint) error {
	switch {
	case flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return pkcs11.Error(pkcs11.CKR_PIN_LOCKED)
	case flags&pkcs11.CKF_USER_PIN_INITIALIZED == 0:
		return pkcs11.Error(pkcs11.CKR_USER_PIN_NOT_INITIALIZED)
	case flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		fmt.Fprintf(a.err, "Token %s: one more wrong PIN locks it.\n", plain(t.name))
	}
	pin, err := a.pin(u, t.name)
	if err != nil {
		return err
	}
	defer clear(pin)
	// The library reads the PIN during the call only; a string of its own could not be wiped.
	err = t.module.Login(t.session, pkcs11.CKU_USER, unsafe.String(unsafe.SliceData(pin), len(pin)))
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) { // by another session of this process
		return nil
	}
	return err
}

// Close ends the session, and with the last one of the process the login.
func (t *token) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.module == nil {
		return nil
	}
	// A token that was pulled out has closed the session itself.
	if err := t.module.CloseSession(t.session); err != nil && !gone(err) {
		err = fmt.Errorf("close the session with token %s: %w", t.name, err)
		return errors.Join(err, t.release())
	}
	return t.release()
}

func (t *token) release() error {
	l := t.module
	t.module = nil
	return l.release()
}

// PublicKey is the public half, as the token has it.
func (t *token) PublicKey() *ecdh.PublicKey { return t.public }

// Curve is always P-256.
func (t *token) Curve() ecdh.Curve { return ecdh.P256() }

// ECDH has the token agree on a secret with peer: CKM_ECDH1_DERIVE without a key derivation function, which gives the
// x coordinate (PKCS #11 v2.40, mechanisms, 2.3.8).
func (t *token) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	if peer == nil || peer.Curve() != ecdh.P256() {
		return nil, errors.New("agree on a secret: the other key is not of curve P-256")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.module == nil {
		return nil, errors.New("agree on a secret: the session with the token has ended")
	}
	secret, err := t.derive(peer.Bytes())
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_MECHANISM_PARAM_INVALID)) { // an older token, which wants it as CKA_EC_POINT has it
		var point []byte
		if point, err = asn1.Marshal(peer.Bytes()); err == nil {
			secret, err = t.derive(point)
		}
	}
	if err == nil && len(secret) != 32 {
		err = fmt.Errorf("the secret has %d bytes, not 32", len(secret))
	}
	return secret, tokenRefusal(t.name, err)
}

func (t *token) derive(point []byte) (secret []byte, err error) {
	mechanism := pkcs11.NewMechanism(pkcs11.CKM_ECDH1_DERIVE, pkcs11.NewECDH1DeriveParams(pkcs11.CKD_NULL, nil, point))
	object, err := t.module.DeriveKey(t.session, []*pkcs11.Mechanism{mechanism}, t.private, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, false),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
	})
	if err != nil {
		return nil, err
	}
	values, err := t.read(object, pkcs11.CKA_VALUE)
	if derr := t.module.DestroyObject(t.session, object); err == nil && derr != nil {
		err = fmt.Errorf("destroy the secret: %w", derr)
	}
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

// read gives attributes of an object, in the order of their types.
func (t *token) read(object pkcs11.ObjectHandle, types ...uint) ([][]byte, error) {
	var template []*pkcs11.Attribute
	for _, typ := range types {
		template = append(template, pkcs11.NewAttribute(typ, nil))
	}
	got, err := t.module.GetAttributeValue(t.session, object, template)
	if err != nil {
		return nil, err
	}
	var values [][]byte
	for _, a := range got {
		values = append(values, a.Value)
	}
	if len(values) != len(types) {
		return nil, fmt.Errorf("the token gives %d attributes, not %d", len(values), len(types))
	}
	return values, nil
}

// search gives at most two objects that match.
func (t *token) search(template []*pkcs11.Attribute) ([]pkcs11.ObjectHandle, error) {
	if err := t.module.FindObjectsInit(t.session, template); err != nil {
		return nil, err
	}
	found, _, err := t.module.FindObjects(t.session, 2)
	return found, errors.Join(err, t.module.FindObjectsFinal(t.session))
}

// template is of what the URI names.
func template(u pkcs11uri.URI, class uint) []*pkcs11.Attribute {
	template := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC)}
	if u.Object != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_LABEL, u.Object))
	}
	if u.ID != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(u.ID)))
	}
	return template
}

// find takes the one private key that the URI means, and the public key that goes with it.
func (t *token) find(u pkcs11uri.URI) error {
	found, err := t.search(template(u, pkcs11.CKO_PRIVATE_KEY))
	if err != nil {
		return fmt.Errorf("find the private key: %w", err)
	}
	switch {
	case len(found) == 0:
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("The private key that the URI means is not on token %s, or is not of an elliptic curve.", t.name),
			Next:     "See what is there with the token's own tools, or make one: sekisho keys generate NAME --token URI.",
		}
	case len(found) > 1:
		return &sekisho.Refusal{Sentence: fmt.Sprintf("The URI means more than one private key on token %s.", t.name), Next: "Add object= or id= to it."}
	}
	t.private = found[0]
	if t.public, err = t.publicHalf(); err != nil {
		return err
	}
	return nil
}

// publicHalf reads the public key that has the private key's CKA_ID; where there is none, its label.
func (t *token) publicHalf() (*ecdh.PublicKey, error) {
	names, err := t.read(t.private, pkcs11.CKA_ID, pkcs11.CKA_LABEL)
	if err != nil {
		return nil, fmt.Errorf("read the private key's names: %w", err)
	}
	twin := pkcs11uri.URI{ID: string(names[0])}
	if twin.ID == "" {
		twin.Object = string(names[1])
	}
	found, err := t.search(template(twin, pkcs11.CKO_PUBLIC_KEY))
	if err != nil {
		return nil, fmt.Errorf("find the public key: %w", err)
	}
	if len(found) != 1 {
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("Token %s has no one public key that goes with the private key.", t.name), Next: "Put it there with the token's own tools, with the same ID.",
		}
	}
	return t.point(found[0])
}

func (t *token) point(public pkcs11.ObjectHandle) (*ecdh.PublicKey, error) {
	values, err := t.read(public, pkcs11.CKA_EC_PARAMS, pkcs11.CKA_EC_POINT)
	if err != nil {
		return nil, fmt.Errorf("read the public key: %w", err)
	}
	if !bytes.Equal(values[0], p256Params) {
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("The key on token %s is not of curve P-256.", t.name), Next: "Recordings are sealed to keys of that curve: make one with sekisho keys generate NAME --token URI.",
		}
	}
	point := values[1]
	var inner []byte // CKA_EC_POINT is the DER of an OCTET STRING; some tokens leave that out
	if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 {
		point = inner
	}
	key, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("read the public key: %w", err)
	}
	return key, nil
}

// make has the token make a pair of which the private half can be used and never read.
func (t *token) make(u pkcs11uri.URI) error {
	there, err := t.search(template(u, pkcs11.CKO_PRIVATE_KEY))
	if err != nil {
		return fmt.Errorf("look for a key of that name: %w", err)
	}
	if len(there) > 0 {
		return &sekisho.Refusal{Sentence: fmt.Sprintf("Token %s has a key %s already.", t.name, u.Object), Next: "Give another object= in the URI; nothing is ever overwritten."}
	}
	var id [16]byte
	rand.Read(id[:]) // never fails (Go 1.24)
	names := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, u.Object), pkcs11.NewAttribute(pkcs11.CKA_ID, id[:])}
	public, private, err := t.module.GenerateKeyPair(t.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil)},
		append([]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, p256Params), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, false)}, names...),
		append([]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
			pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false), pkcs11.NewAttribute(pkcs11.CKA_DERIVE, true), pkcs11.NewAttribute(pkcs11.CKA_SIGN, false),
		}, names...))
	if err != nil {
		return fmt.Errorf("make the key pair: %w", err)
	}
	t.private = private
	if err := t.proveNew(public); err != nil { // what cannot be relied on does not stay
		return errors.Join(err, t.module.DestroyObject(t.session, public), t.module.DestroyObject(t.session, private))
	}
	return nil
}

// proveNew checks that the new private key is held as was asked, and that it works.
func (t *token) proveNew(public pkcs11.ObjectHandle) (err error) {
	held, err := t.read(t.private, pkcs11.CKA_SENSITIVE, pkcs11.CKA_EXTRACTABLE)
	if err != nil {
		return fmt.Errorf("read how the private key is held: %w", err)
	}
	if !bytes.Equal(held[0], []byte{1}) || !bytes.Equal(held[1], []byte{0}) {
		return &sekisho.Refusal{Sentence: fmt.Sprintf("Token %s would let the private key be read.", t.name), Next: "No key was made; use another token."}
	}
	if t.public, err = t.point(public); err != nil {
		return err
	}
	return agrees(t)
}

// gone says that the token is not there any more.
func gone(err error) bool {
	for _, code := range []uint{pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED} {
		if errors.Is(err, pkcs11.Error(code)) {
			return true
		}
	}
	return false
}

// tokenRefusal has words for what people can do something about; other errors are given the token's name.
func tokenRefusal(name string, err error) error {
	var refusal *sekisho.Refusal
	var usage *usageError
	var code pkcs11.Error
	if err == nil || errors.As(err, &refusal) || errors.As(err, &usage) || !errors.As(err, &code) {
		return err
	}
	switch code {
	case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE:
		return &sekisho.Refusal{Sentence: fmt.Sprintf("That is not the PIN of token %s.", name), Next: "Mind that a token locks after a few wrong ones.", Cause: err}
	case pkcs11.CKR_PIN_LOCKED:
		return &sekisho.Refusal{Sentence: fmt.Sprintf("The PIN of token %s is locked.", name), Next: "Unlock it with the token's own tools.", Cause: err}
	case pkcs11.CKR_USER_PIN_NOT_INITIALIZED:
		return &sekisho.Refusal{Sentence: fmt.Sprintf("Token %s has no PIN yet.", name), Next: "Set it with the token's own tools.", Cause: err}
	case pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED, pkcs11.CKR_KEY_TYPE_INCONSISTENT, pkcs11.CKR_MECHANISM_INVALID:
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("The key on token %s cannot agree on secrets: %v.", name, err), Next: "Use one that may derive (CKA_DERIVE, CKM_ECDH1_DERIVE).", Cause: err,
		}
	}
	if gone(err) {
		return &sekisho.Refusal{Sentence: fmt.Sprintf("Token %s is not there any more.", name), Next: "Put it back, and try again.", Cause: err}
	}
	return fmt.Errorf("token %s: %w", name, err)
}
