package keystore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

const (
	// tpmDevice is the kernel's resource manager, through which many can use the TPM.
	tpmDevice = "/dev/tpmrm0"
	// maxTPMAuth bounds a passphrase in bytes: it has the length of the key's hash at most.
	maxTPMAuth = 32
	// Persistent handles that belong to the owner (TPM 2.0 Library, Part 2, 7.5; Registry of Reserved TPM 2.0 Handles).
	firstHandle, lastHandle = 0x8100_0000, 0x817F_FFFF
)

// tpmPlace is tpm:[DEVICE]?handle=0x81...[&passphrase-...=].
type tpmPlace struct {
	device string
	handle tpm2.TPMHandle
	auth   source
}

func readTPMPlace(rest string) (place, error) {
	device, values, err := readQuery(rest, "handle", passphraseFile, passphraseEnv, passphraseCredential)
	if err != nil {
		return nil, err
	}
	handle, err := strconv.ParseUint(values["handle"], 0, 32)
	if err != nil || handle < firstHandle || handle > lastHandle {
		return nil, fmt.Errorf("want tpm:[DEVICE]?handle=H, with a persistent handle of the owner: %#x to %#x", firstHandle, lastHandle)
	}
	if device == "" {
		device = tpmDevice
	}
	auth, err := readSource(values)
	return tpmPlace{device: device, handle: tpm2.TPMHandle(handle), auth: auth}, err
}

func (p tpmPlace) name() string { return fmt.Sprintf("tpm:%s handle %#x", p.device, p.handle) }

func (p tpmPlace) fail(err error) error {
	fix := "is the TPM there, switched on, and may this user open it (group tss)? Signing goes on by itself"
	switch {
	case errors.Is(err, ErrClosed):
		fix = ""
	case errors.Is(err, ErrNotFound):
		fix = "name another handle, or create the key"
	case errors.Is(err, ErrTaken):
		fix = "name another handle, or open the key that is there"
	case errors.Is(err, ErrSecret):
		fix = "correct the passphrase where the URI says it is; signing goes on by itself"
	case errors.Is(err, tpm2.TPMRCLockout):
		fix = "the TPM was given wrong passphrases and waits: see tpm2_getcap properties-variable, tpm2_dictionarylockout; signing goes on by itself"
	case errors.Is(err, errOtherKey), errors.Is(err, errSignature), errors.Is(err, errHeld):
		fix = "do not trust this key until it is known who changed it"
	}
	return &Error{Store: p.name(), Cause: err, Fix: fix}
}

var errHeld = errors.New("the key is not one that was made in this TPM, cannot leave it and signs what it is given (fixedTPM, sensitiveDataOrigin, sign, not restricted)")

func (p tpmPlace) open(ctx context.Context, o Options) (Key, error) {
	auth := &secret{source: p.auth, options: o, what: "passphrase of " + p.name()}
	return openKey(ctx, store{
		dial:  func(ctx context.Context) (link, error) { return p.dial(ctx, o, auth) },
		fail:  p.fail,
		links: 1,
		brief: true, // the TPM's raw device and the sockets of software TPMs serve one at a time
	}, o.Timeout)
}

// connect reaches a TPM: by its device, or by the socket of a software TPM.
func (p tpmPlace) connect(ctx context.Context, o Options) (transport.TPMCloser, error) {
	path := o.path(p.device)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	var conn interface {
		io.ReadWriteCloser
		SetDeadline(time.Time) error
	}
	switch {
	case info.Mode()&os.ModeSocket != 0:
		conn, err = new(net.Dialer).DialContext(ctx, "unix", path)
	case info.Mode()&os.ModeCharDevice != 0:
		conn, err = os.OpenFile(path, os.O_RDWR, 0)
	default:
		err = errors.New("it is neither a device nor a socket")
	}
	if err != nil {
		return nil, err
	}
	hold(ctx, conn)
	return transport.FromReadWriteCloser(conn), nil
}

func (p tpmPlace) dial(ctx context.Context, o Options, auth *secret) (link, error) {
	tpm, err := p.connect(ctx, o)
	if err != nil {
		return nil, err
	}
	l := &tpmLink{tpm: tpm, handle: p.handle, auth: auth}
	if l.key, l.name, err = readTPMKey(tpm, p.handle); err != nil {
		tpm.Close()
		return nil, err
	}
	return l, nil
}

// readTPMKey reads a key's public half and name, and how it is held.
func readTPMKey(tpm transport.TPM, handle tpm2.TPMHandle) (*ecdsa.PublicKey, tpm2.TPM2BName, error) {
	var none tpm2.TPM2BName
	answer, err := tpm2.ReadPublic{ObjectHandle: handle}.Execute(tpm)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil, none, ErrNotFound
	}
	if err != nil {
		return nil, none, fmt.Errorf("read the public key: %w", err)
	}
	public, err := answer.OutPublic.Contents()
	if err != nil {
		return nil, none, fmt.Errorf("read the public key: %w", err)
	}
	if public.Type != tpm2.TPMAlgECC {
		return nil, none, errors.New("the key is not of an elliptic curve: want ECDSA P-256")
	}
	if a := public.ObjectAttributes; !a.FixedTPM || !a.SensitiveDataOrigin || !a.SignEncrypt || a.Restricted {
		return nil, none, errHeld
	}
	params, err := public.Parameters.ECCDetail()
	if err != nil || params.CurveID != tpm2.TPMECCNistP256 {
		return nil, none, errors.New("the key is not of the curve P-256")
	}
	point, err := public.Unique.ECC()
	if err != nil || len(point.X.Buffer) > 32 || len(point.Y.Buffer) > 32 {
		return nil, none, errors.New("the key's public half is no point")
	}
	raw := make([]byte, 65)
	raw[0] = 4 // SEC 1, 2.3.3
	new(big.Int).SetBytes(point.X.Buffer).FillBytes(raw[1:33])
	new(big.Int).SetBytes(point.Y.Buffer).FillBytes(raw[33:])
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
	return key, answer.Name, err
}

// tpmLink is a connection to a TPM with a key in it.
type tpmLink struct {
	tpm    transport.TPMCloser
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	key    *ecdsa.PublicKey
	auth   *secret
}

func (l *tpmLink) public(context.Context) (crypto.PublicKey, error) { return l.key, nil }

func (l *tpmLink) close() error { return l.tpm.Close() }

func (l *tpmLink) sign(ctx context.Context, digest []byte, hash crypto.Hash) ([]byte, error) {
	if hash != crypto.SHA256 {
		return nil, fmt.Errorf("with %v: a TPM key of P-256 signs with SHA-256", hash)
	}
	session, passphrase := tpm2.PasswordAuth(nil), []byte(nil)
	if l.auth.source.named() {
		var err error
		if passphrase, err = l.auth.get(ctx); err != nil {
			return nil, err
		}
		defer clear(passphrase)
		session = tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Auth(passphrase)) // the passphrase does not cross the bus
	}
	answer, err := tpm2.Sign{
		KeyHandle:  tpm2.AuthHandle{Handle: l.handle, Name: l.name, Auth: session},
		Digest:     tpm2.TPM2BDigest{Buffer: digest},
		InScheme:   ecdsaScheme(),
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
	}.Execute(l.tpm)
	if errors.Is(err, tpm2.TPMRCAuthFail) || errors.Is(err, tpm2.TPMRCBadAuth) {
		l.auth.wrong(passphrase)
		return nil, ErrSecret
	}
	if err != nil {
		return nil, err
	}
	signature, err := answer.Signature.Signature.ECDSA()
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(signature.SignatureR.Buffer), new(big.Int).SetBytes(signature.SignatureS.Buffer),
	})
}

func ecdsaScheme() tpm2.TPMTSigScheme {
	return tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})}
}

func (p tpmPlace) create(ctx context.Context, kind Kind, o Options) (Key, error) {
	if _, err := kindOf(kind, P256); err != nil {
		return nil, p.fail(err)
	}
	if err := p.make(ctx, o); err != nil {
		return nil, p.fail(err)
	}
	return p.open(ctx, o)
}

// make has the TPM make a key under its storage root key, and keep it at the handle.
func (p tpmPlace) make(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, max(o.Timeout, makeTime))
	defer cancel()
	var auth []byte
	if p.auth.named() {
		var err error
		if auth, err = p.auth.find(ctx, o, "new passphrase of "+p.name()); err != nil {
			return err
		}
		defer clear(auth)
		if len(auth) > maxTPMAuth {
			return fmt.Errorf("the passphrase has %d bytes, and a TPM takes at most %d", len(auth), maxTPMAuth)
		}
	}
	tpm, err := p.connect(ctx, o)
	if err != nil {
		return err
	}
	defer tpm.Close()
	if _, err := (tpm2.ReadPublic{ObjectHandle: p.handle}).Execute(tpm); err == nil {
		return ErrTaken
	}
	root, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
	if errors.Is(err, tpm2.TPMRCBadAuth) || errors.Is(err, tpm2.TPMRCAuthFail) {
		return errors.New("the TPM's owner has a password, which is not known here: make the key with tpm2_create, tpm2_load and tpm2_evictcontrol, and open it")
	}
	if err != nil {
		return fmt.Errorf("make the storage root key: %w", err)
	}
	defer tpm2.FlushContext{FlushHandle: root.ObjectHandle}.Execute(tpm)
	return p.makeUnder(tpm, tpm2.AuthHandle{Handle: root.ObjectHandle, Name: root.Name, Auth: tpm2.PasswordAuth(nil)}, auth)
}

// makeTime bounds making a key; a TPM takes some seconds for it.
const makeTime = 60 * time.Second

func (p tpmPlace) makeUnder(tpm transport.TPM, root tpm2.AuthHandle, auth []byte) error {
	made, err := tpm2.Create{
		ParentHandle: root,
		InSensitive:  tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: auth}}},
		InPublic:     tpm2.New2B(signingKey(len(auth) > 0)),
	}.Execute(tpm)
	if err != nil {
		return fmt.Errorf("make the key: %w", err)
	}
	loaded, err := tpm2.Load{ParentHandle: root, InPrivate: made.OutPrivate, InPublic: made.OutPublic}.Execute(tpm)
	if err != nil {
		return fmt.Errorf("load the key: %w", err)
	}
	defer tpm2.FlushContext{FlushHandle: loaded.ObjectHandle}.Execute(tpm)
	_, err = tpm2.EvictControl{
		Auth:             tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
		ObjectHandle:     &tpm2.NamedHandle{Handle: loaded.ObjectHandle, Name: loaded.Name},
		PersistentHandle: p.handle,
	}.Execute(tpm)
	if errors.Is(err, tpm2.TPMRCNVDefined) { // by somebody else meanwhile
		return ErrTaken
	}
	if err != nil {
		return fmt.Errorf("keep the key: %w", err)
	}
	return nil
}

// signingKey is what the TPM is asked to make: a key that is born in it, stays in it, and signs what it is given. Without a
// passphrase, others' wrong ones do not lock it.
func signingKey(locked bool) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, SignEncrypt: true, NoDA: !locked},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			CurveID: tpm2.TPMECCNistP256,
			Scheme:  tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
		}),
	}
}
