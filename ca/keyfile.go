package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxKeyFile bounds what is read of a key file; a real one has a few hundred bytes.
const maxKeyFile = 16 << 10

// OpenKey opens the Ed25519 key kept at path (PKCS#8 in PEM, RFC 5958), or makes one when there is none. The
// file must be the caller's own and unreadable for others, as must its folder.
func OpenKey(path string) (crypto.Signer, error) {
	key, err := openKey(path, func() (any, error) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	})
	if err != nil {
		return nil, err
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key file %s: it holds a %T: want an Ed25519 key; move the file away to have one made", path, key)
	}
	return private, nil
}

// OpenECDSA does the same for an ECDSA P-256 key, as JWTs and x509 certificates use.
func OpenECDSA(path string) (*ecdsa.PrivateKey, error) {
	key, err := openKey(path, func() (any, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	if err != nil {
		return nil, err
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, fmt.Errorf("key file %s: it holds a %T: want an ECDSA P-256 key; move the file away to have one made", path, key)
	}
	return private, nil
}

func openKey(path string, generate func() (any, error)) (any, error) {
	if err := privateDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	der, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path, generate); err != nil {
			return nil, fmt.Errorf("make key file %s: %w", path, err)
		}
		// Read what the disk holds, also when another process was first: both must use the same key.
		der, err = readKey(path)
	}
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("key file %s: it is damaged: restore it from a backup, or move it away to have a new key made", path)
	}
	return key, nil
}

// privateDir makes a folder for keys, or checks that one is closed to others.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make key folder: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at key folder: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("key folder %s: mode %04o lets others in: run chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	return ownFile(dir, info)
}

// ownFile refuses what belongs to somebody who could change it under us.
func ownFile(path string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: it belongs to user %d, not to the one this runs as (%d): run chown %d %s", path, st.Uid, os.Geteuid(), os.Geteuid(), path)
	}
	return nil
}

func readKey(path string) ([]byte, error) {
	// Non-blocking, so that a pipe in the key's place does not hold the start forever.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("key file %s: it is a symbolic link: put the key itself there", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("key file %s: it is no regular file: put the key there", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key file %s: mode %04o lets others read it: run chmod 600 %s, and make a new key if others have had it", path, info.Mode().Perm(), path)
	}
	if err := ownFile(path, info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	block, rest := pem.Decode(text)
	if len(text) > maxKeyFile || block == nil || block.Type != "PRIVATE KEY" || len(rest) != 0 {
		return nil, fmt.Errorf("key file %s: want one PEM block of type PRIVATE KEY (PKCS#8) and nothing after it", path)
	}
	return block.Bytes, nil
}

// makeKey writes a new key beside path and links it into place: a link, unlike a rename, never replaces a key
// that somebody else made meanwhile.
func makeKey(path string, generate func() (any, error)) error {
	key, err := generate()
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	tmp, err := writeBeside(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := os.Link(tmp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeBeside makes a durable file with an unguessable name in path's folder and returns that name.
func writeBeside(path string, text []byte, mode fs.FileMode) (string, error) {
	var b [8]byte
	rand.Read(b[:])
	tmp := path + ".new-" + hex.EncodeToString(b[:])
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, mode)
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		os.Remove(tmp)
		return "", err
	}
	return tmp, nil
}

// replaceFile puts a durable file at path, whole or not at all.
func replaceFile(path string, text []byte, mode fs.FileMode) error {
	tmp, err := writeBeside(path, text, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
