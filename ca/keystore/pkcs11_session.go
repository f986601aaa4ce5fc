//go:build pkcs11 && cgo

package keystore

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"
)

// curves are CKA_EC_PARAMS, the DER of object identifiers (RFC 5480, 2.1.1.1), and their curves.
var curves = []struct {
	kind   Kind
	params []byte
	curve  elliptic.Curve
}{
	{P256, []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, elliptic.P256()},
	{P384, []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, elliptic.P384()},
}

// session is a session with a token, logged in, and the key pair there.
type session struct {
	*token
	handle     pkcs11.SessionHandle
	generation int
	private    pkcs11.ObjectHandle
	twin       pkcs11.ObjectHandle
}

// call does something with the session that is made of calls of the library.
func (s *session) call(ctx context.Context, do func() error) error {
	if _, err := s.module.enter(ctx, s.generation); err != nil {
		return err
	}
	defer s.module.leave()
	return s.words(do())
}

func (s *session) close() error {
	return s.call(context.Background(), func() error { return s.module.CloseSession(s.handle) })
}

func (s *session) public(ctx context.Context) (key crypto.PublicKey, err error) {
	err = s.call(ctx, func() error {
		if _, err := s.read(s.private, pkcs11.CKA_LABEL); err != nil {
			return fmt.Errorf("read the private key's name: %w", err)
		}
		public, err := s.point(s.twin)
		key = public
		return err
	})
	if err != nil {
		return nil, err
	}
	return key, nil
}

// sign has the token sign a digest: CKM_ECDSA gives r and s beside one another (PKCS #11 v2.40, mechanisms, 2.3.1).
func (s *session) sign(ctx context.Context, digest []byte, _ crypto.Hash) (signature []byte, err error) {
	err = s.call(ctx, func() error {
		if err := s.module.SignInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}, s.private); err != nil {
			return err
		}
		raw, err := s.module.Sign(s.handle, digest)
		if err != nil {
			return err
		}
		if len(raw) == 0 || len(raw)%2 != 0 {
			return fmt.Errorf("the signature has %d bytes", len(raw))
		}
		half := len(raw) / 2
		signature, err = asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
		return err
	})
	return signature, err
}

// read gives attributes of an object, in the order of their types.
func (s *session) read(object pkcs11.ObjectHandle, types ...uint) ([][]byte, error) {
	var template []*pkcs11.Attribute
	for _, typ := range types {
		template = append(template, pkcs11.NewAttribute(typ, nil))
	}
	got, err := s.module.GetAttributeValue(s.handle, object, template)
	if err != nil {
		return nil, err
	}
	if len(got) != len(types) {
		return nil, fmt.Errorf("the token gives %d attributes, not %d", len(got), len(types))
	}
	var values [][]byte
	for _, a := range got {
		values = append(values, a.Value)
	}
	return values, nil
}

// search gives at most two keys of an elliptic curve of that class, label and ID.
func (s *session) search(class uint, label string, id []byte) ([]pkcs11.ObjectHandle, error) {
	template := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC)}
	if label != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_LABEL, label))
	}
	if len(id) > 0 {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_ID, id))
	}
	if err := s.module.FindObjectsInit(s.handle, template); err != nil {
		return nil, err
	}
	found, _, err := s.module.FindObjects(s.handle, 2)
	return found, errors.Join(err, s.module.FindObjectsFinal(s.handle))
}

// find takes the one private key that the URI means, and the public key with the same ID; where there is no ID, of the
// same label.
func (s *session) find() error {
	found, err := s.search(pkcs11.CKO_PRIVATE_KEY, s.place.uri.Object, []byte(s.place.uri.ID))
	switch {
	case err != nil:
		return fmt.Errorf("find the private key: %w", err)
	case len(found) == 0:
		return ErrNotFound
	case len(found) > 1:
		return fmt.Errorf("%w private key", errChoice)
	}
	s.private = found[0]
	names, err := s.read(s.private, pkcs11.CKA_ID, pkcs11.CKA_LABEL)
	if err != nil {
		return fmt.Errorf("read the private key's names: %w", err)
	}
	label := ""
	if len(names[0]) == 0 {
		label = string(names[1])
	}
	found, err = s.search(pkcs11.CKO_PUBLIC_KEY, label, names[0])
	if err != nil {
		return fmt.Errorf("find the public key: %w", err)
	}
	if len(found) != 1 {
		return errors.New("the token has no one public key that goes with the private key: put it there, with the same ID")
	}
	s.twin = found[0]
	return nil
}

func (s *session) point(object pkcs11.ObjectHandle) (*ecdsa.PublicKey, error) {
	values, err := s.read(object, pkcs11.CKA_EC_PARAMS, pkcs11.CKA_EC_POINT)
	if err != nil {
		return nil, fmt.Errorf("read the public key: %w", err)
	}
	point := values[1]
	var inner []byte // CKA_EC_POINT is the DER of an OCTET STRING; some tokens leave that out
	if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 {
		point = inner
	}
	for _, c := range curves {
		if bytes.Equal(values[0], c.params) {
			return ecdsa.ParseUncompressedPublicKey(c.curve, point)
		}
	}
	return nil, errors.New("the key is of another curve: want P-256 or P-384")
}

func (p tokenPlace) create(ctx context.Context, kind Kind, o Options) (Key, error) {
	kind, err := kindOf(kind, P256, P384)
	if err != nil {
		return nil, p.fail(err)
	}
	if p.uri.Object == "" {
		return nil, p.fail(errors.New("a new key wants a label: add object=LABEL"))
	}
	t, err := p.shared(o)
	if err != nil {
		return nil, err
	}
	defer t.module.release()
	ctx, cancel := context.WithTimeout(ctx, max(o.Timeout, makeTime))
	defer cancel()
	s, err := t.logIn(ctx, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return nil, p.fail(err)
	}
	err = s.call(ctx, func() error { return s.make(kind) })
	s.close() // what was made is there already
	if err != nil {
		return nil, p.fail(err)
	}
	return p.open(ctx, o)
}

// make has the token make a pair of which the private half can be used and never read.
func (s *session) make(kind Kind) error {
	there, err := s.search(pkcs11.CKO_PRIVATE_KEY, s.place.uri.Object, []byte(s.place.uri.ID))
	if err != nil {
		return fmt.Errorf("look for a key of that name: %w", err)
	}
	if len(there) > 0 {
		return ErrTaken
	}
	id := []byte(s.place.uri.ID)
	if len(id) == 0 {
		id = make([]byte, 16)
		rand.Read(id)
	}
	names := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_LABEL, s.place.uri.Object), pkcs11.NewAttribute(pkcs11.CKA_ID, id)}
	params := curves[0].params
	if kind == P384 {
		params = curves[1].params
	}
	public, private, err := s.module.GenerateKeyPair(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil)},
		append([]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, params), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, false), pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true)}, names...),
		append([]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
			pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true), pkcs11.NewAttribute(pkcs11.CKA_DERIVE, false),
		}, names...))
	if err != nil {
		return fmt.Errorf("make the key pair: %w", err)
	}
	held, err := s.read(private, pkcs11.CKA_SENSITIVE, pkcs11.CKA_EXTRACTABLE)
	if err == nil && (!bytes.Equal(held[0], []byte{1}) || !bytes.Equal(held[1], []byte{0})) {
		err = errors.New("the token would let the private key be read: no key was made; use another token")
	}
	if err != nil { // what cannot be relied on does not stay
		return errors.Join(err, s.module.DestroyObject(s.handle, public), s.module.DestroyObject(s.handle, private))
	}
	return nil
}
