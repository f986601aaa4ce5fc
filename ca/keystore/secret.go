package keystore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"github.com/sekisho/sekisho/ca/keyfile"
)

// maxSecret bounds a passphrase or PIN, in bytes.
const maxSecret = 1 << 10

// source says where a passphrase or PIN is found: in one of these at most.
type source struct {
	file, env, credential string
}

// readSource takes a source out of a URI's query.
func readSource(values map[string]string) (source, error) {
	s := source{file: values[passphraseFile], env: values[passphraseEnv], credential: values[passphraseCredential]}
	named := 0
	for _, v := range []string{s.file, s.env, s.credential} {
		if v != "" {
			named++
		}
	}
	if named > 1 {
		return source{}, errors.New("passphrase: name one place where it is")
	}
	if strings.ContainsRune(s.credential, '/') || s.credential == "." || s.credential == ".." {
		return source{}, fmt.Errorf("%s: want the name of a credential, which has no slash", passphraseCredential)
	}
	return s, nil
}

func (s source) named() bool { return s != source{} }

// find gives the secret, or asks for it. What says what it is, such as "passphrase of FILE".
func (s source) find(ctx context.Context, o Options, what string) ([]byte, error) {
	text, err := s.text(ctx, o, what)
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(text) == 0 || len(text) > maxSecret {
		return nil, fmt.Errorf("%s: it has %d bytes: want 1 to %d", what, len(text), maxSecret)
	}
	return text, nil
}

func (s source) text(ctx context.Context, o Options, what string) ([]byte, error) {
	switch {
	case s.file != "":
		return keyfile.Read("passphrase file", o.path(s.file))
	case s.env != "":
		if value := o.Getenv(s.env); value != "" {
			return []byte(value), nil
		}
		return nil, fmt.Errorf("%s: the environment variable %s is empty or not set: set it", what, s.env)
	case s.credential != "":
		return credential(o, s.credential)
	case o.Ask != nil:
		return o.Ask(ctx, what)
	}
	return nil, fmt.Errorf("%s: the URI does not say where it is: add ?%s=FILE (or %s=NAME, %s=NAME)", what, passphraseFile, passphraseEnv, passphraseCredential)
}

// credential reads what systemd hands to a service (systemd.exec(5), CREDENTIALS).
func credential(o Options, name string) ([]byte, error) {
	dir := o.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return nil, fmt.Errorf("credential %s: CREDENTIALS_DIRECTORY is not set: run this as a service with LoadCredential=%s:FILE or LoadCredentialEncrypted=", name, name)
	}
	text, err := keyfile.ReadCredential("credential", filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("credential %s: the service has none of that name: add LoadCredential=%s:FILE to its unit", name, name)
	}
	return text, err
}

// secret is a passphrase or PIN that a store asks for again and again. It is read anew each time, so that it can be
// changed; one that was typed is kept. One that the store refused is not tried again: stores lock after a few.
type secret struct {
	source  source
	options Options
	what    string

	mu      sync.Mutex
	typed   []byte
	refused [sha256.Size]byte
}

var errRefusedBefore = fmt.Errorf("%w: it was refused before, and is not tried again so that the store does not lock", ErrSecret)

func (s *secret) get(ctx context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := bytes.Clone(s.typed)
	if text == nil {
		var err error
		if text, err = s.source.find(ctx, s.options, s.what); err != nil {
			return nil, err
		}
		if !s.source.named() {
			s.typed = bytes.Clone(text)
		}
	}
	if sha256.Sum256(text) == s.refused {
		return nil, errRefusedBefore
	}
	return text, nil
}

// wrong remembers that the store did not take it.
func (s *secret) wrong(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = sha256.Sum256(text)
}
