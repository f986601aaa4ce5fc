package keystore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/sekisho/sekisho/ca/keyfile"
)

// The types of PEM blocks (RFC 7468, 10 and 11).
const (
	pemPlain     = "PRIVATE KEY"
	pemEncrypted = "ENCRYPTED PRIVATE KEY"
)

// filePlace is file:PATH[?passphrase-...=].
type filePlace struct {
	path       string
	passphrase source
}

func readFilePlace(rest string) (place, error) { return parseFile(rest) }

func parseFile(rest string) (filePlace, error) {
	path, values, err := readQuery(rest, passphraseFile, passphraseEnv, passphraseCredential)
	if err != nil {
		return filePlace{}, err
	}
	if after, ok := strings.CutPrefix(path, "//"); ok { // file://HOST/PATH, of which only this host is meant
		if path = strings.TrimPrefix(after, "localhost"); !strings.HasPrefix(path, "/") {
			return filePlace{}, errors.New("want file:PATH: a file of another host cannot be opened")
		}
	}
	if path == "" || strings.HasSuffix(path, "/") {
		return filePlace{}, errors.New("want file:PATH, of a file")
	}
	from, err := readSource(values)
	return filePlace{path: path, passphrase: from}, err
}

// fileError names the file, and the fix unless the cause does.
func (p filePlace) fail(err error, fix string) error {
	return &Error{Store: "file:" + p.path, Cause: err, Fix: fix}
}

func (p filePlace) open(ctx context.Context, o Options) (Key, error) {
	path := o.path(p.path)
	if err := keyfile.CheckFolder(filepath.Dir(path)); err != nil {
		return nil, p.missing(err)
	}
	text, err := keyfile.Read("key file", path)
	if err != nil {
		return nil, p.missing(err)
	}
	signer, err := p.parse(ctx, o, text)
	if err != nil {
		return nil, err
	}
	return &fileKey{Signer: signer, place: p}, nil
}

func (p filePlace) missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return p.fail(ErrNotFound, "restore it from a backup, or create the key")
	}
	return p.fail(err, "")
}

// parse gives the key in a file.
func (p filePlace) parse(ctx context.Context, o Options, text []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(text)
	switch {
	case block == nil || len(rest) != 0 || block.Type != pemPlain && block.Type != pemEncrypted:
		return nil, p.fail(fmt.Errorf("want one PEM block of type %s or %s (PKCS#8) and nothing after it", pemPlain, pemEncrypted), "restore it from a backup")
	case block.Type == pemPlain && p.passphrase.named():
		return nil, p.fail(errors.New("the URI names a passphrase, and the file is not encrypted"), "encrypt it, or leave the passphrase out of the URI")
	case block.Type == pemPlain:
		return p.signer(block.Bytes, "it is damaged")
	}
	passphrase, err := p.passphrase.find(ctx, o, "passphrase of "+p.path)
	if err != nil {
		return nil, p.fail(err, "")
	}
	defer clear(passphrase)
	der, err := decrypt(block.Bytes, passphrase)
	if errors.Is(err, ErrSecret) {
		return nil, p.wrongPassphrase()
	}
	if err != nil {
		return nil, p.fail(err, "")
	}
	defer clear(der)
	if _, err := x509.ParsePKCS8PrivateKey(der); err != nil { // one wrong passphrase in 256 has good padding
		return nil, p.wrongPassphrase()
	}
	return p.signer(der, "it is damaged")
}

func (p filePlace) wrongPassphrase() error {
	return p.fail(ErrSecret, "give the passphrase that the file was encrypted under; if it is the right one, the file is damaged: restore it from a backup")
}

func (p filePlace) signer(der []byte, damaged string) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, p.fail(errors.New(damaged), "restore it from a backup")
	}
	signer, ok := key.(crypto.Signer)
	if !ok || checkKind(signer.Public()) != nil {
		return nil, p.fail(fmt.Errorf("it holds a %T", key), "want an Ed25519 key, or an ECDSA key of P-256 or P-384")
	}
	return signer, nil
}

func (p filePlace) create(ctx context.Context, kind Kind, o Options) (Key, error) {
	kind, err := kindOf(kind, Ed25519, P256, P384)
	if err != nil {
		return nil, p.fail(err, "")
	}
	signer, err := generate(kind)
	if err != nil {
		return nil, p.fail(err, "")
	}
	text, err := p.encode(ctx, o, signer)
	if err != nil {
		return nil, err
	}
	path := o.path(p.path)
	if err := keyfile.MakeFolder(filepath.Dir(path)); err != nil {
		return nil, p.fail(err, "")
	}
	if err := keyfile.Create(path, text); errors.Is(err, fs.ErrExist) {
		return nil, p.fail(ErrTaken, "open it, or name another file")
	} else if err != nil {
		return nil, p.fail(fmt.Errorf("make key file: %w", err), "")
	}
	return p.open(ctx, o) // what the disk holds
}

func generate(kind Kind) (crypto.Signer, error) {
	switch kind {
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return private, err
}

// encode makes what goes into the file: encrypted if the URI names a passphrase.
func (p filePlace) encode(ctx context.Context, o Options, signer crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, p.fail(err, "")
	}
	defer clear(der)
	if !p.passphrase.named() {
		return pem.EncodeToMemory(&pem.Block{Type: pemPlain, Bytes: der}), nil
	}
	passphrase, err := p.passphrase.find(ctx, o, "new passphrase of "+p.path)
	if err != nil {
		return nil, p.fail(err, "")
	}
	defer clear(passphrase)
	sealed, err := encrypt(der, passphrase)
	if err != nil {
		return nil, p.fail(fmt.Errorf("encrypt: %w", err), "")
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemEncrypted, Bytes: sealed}), nil
}

// Rewrap writes a key file anew under another passphrase: from and to are two URIs of one file, and to says where the
// new passphrase is; without one the file is not encrypted any more. The file has the old content or the new at any time.
func Rewrap(ctx context.Context, from, to string, o Options) error {
	o = o.withDefaults()
	var places [2]filePlace
	for i, uri := range []string{from, to} {
		rest, ok := strings.CutPrefix(uri, "file:")
		if !ok {
			return errors.New("rewrap: want a URI of the scheme file, as only files have passphrases of their own")
		}
		var err error
		if places[i], err = parseFile(rest); err != nil {
			return fmt.Errorf("key store file: %w", err)
		}
	}
	old, renewed := places[0], places[1]
	path := o.path(old.path)
	if o.path(renewed.path) != path {
		return errors.New("rewrap: want two URIs of one file")
	}
	key, err := old.open(ctx, o)
	if err != nil {
		return err
	}
	text, err := renewed.encode(ctx, o, key.(*fileKey).Signer)
	if err != nil {
		return err
	}
	if err := keyfile.Replace(path, text, 0o600); err != nil {
		return old.fail(fmt.Errorf("write key file: %w", err), "")
	}
	again, err := renewed.open(ctx, o)
	if err != nil {
		return err
	}
	if !samePublic(again.Public(), key.Public()) {
		return renewed.fail(errOtherKey, "restore it from a backup")
	}
	return nil
}

// fileKey is a key that was read into memory. The file is not needed any more.
type fileKey struct {
	crypto.Signer
	place  filePlace
	closed atomic.Bool
}

func (k *fileKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := k.Check(context.Background()); err != nil {
		return nil, err
	}
	signature, err := k.Signer.Sign(random, digest, opts)
	if err != nil {
		return nil, k.place.fail(fmt.Errorf("sign: %w", err), "")
	}
	return signature, nil
}

func (k *fileKey) Check(context.Context) error {
	if k.closed.Load() {
		return k.place.fail(ErrClosed, "")
	}
	return nil
}

func (k *fileKey) Close() error {
	k.closed.Store(true)
	return nil
}
