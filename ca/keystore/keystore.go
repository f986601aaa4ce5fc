// Package keystore opens the private keys of CAs, wherever they live, behind crypto.Signer. A URI says where: its scheme
// names the store, the rest the place in it.
//
//	file:PATH          a file, PKCS#8 in PEM, encrypted if a passphrase is named
//	pkcs11:...         a token or HSM (RFC 7512); in builds with cgo and the tag pkcs11
//	tpm:DEVICE?handle= the machine's TPM 2.0
//	agent:SOCKET?fingerprint=  an ssh-agent
//	awskms:REGION/KEY, azurekms:VAULT-URL/KEY  key management services
//
// The public key is read once, when a key is opened. From then on a store that shows another one is refused, and what any
// store but a file signs is verified before it is handed out, so that a faulty or swapped key signs no certificate. A store
// that goes away makes signing fail within a bound, by an error that names store and fix, and signing goes on by itself
// when it is back. A URI never holds a secret, and no error repeats one. No lock is held over a signature.
//
// docs/key-stores.md is the operators' page.
package keystore

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
)

const (
	// signTime bounds a signature, from the call to the answer, if Options does not say otherwise.
	signTime = 10 * time.Second
	// maxURI bounds a URI, in bytes.
	maxURI = 4 << 10
)

// Key is a private key in its store. Sign works beside itself from many goroutines. A key that can only sign whole
// messages (ssh-agent) implements crypto.MessageSigner, too, and is signed with through that.
//
// Errors of its methods are of type *Error.
type Key interface {
	crypto.Signer
	// Check asks the store whether it can sign now with this key, without signing. It takes no longer than a signature may.
	Check(context.Context) error
	// Close lets the store go. Signing afterwards gives ErrClosed.
	io.Closer
}

// Kind is a kind of key.
type Kind string

// The kinds. Best is the best that a store has: Ed25519 in files, ECDSA P-256 elsewhere.
const (
	Best    Kind = ""
	Ed25519 Kind = "ed25519"
	P256    Kind = "ecdsa-p256"
	P384    Kind = "ecdsa-p384"
)

var (
	// ErrNotFound says, wrapped, that the store is there and has no such key.
	ErrNotFound = fmt.Errorf("key %w", sekisho.ErrNotFound)
	// ErrTaken says, wrapped, that there is a key already where one was to be made.
	ErrTaken = fmt.Errorf("key place is %w", sekisho.ErrTaken)
	// ErrClosed says, wrapped, that Close was called.
	ErrClosed = errors.New("key is closed")
	// ErrSecret says, wrapped, that the store did not take the passphrase or PIN.
	ErrSecret = errors.New("wrong passphrase or PIN")
)

// Error says which store could not do what it was asked, and what somebody can do about it. Its text is for the log of
// who runs the service, not for who asked for a certificate.
type Error struct {
	// Store names scheme and place, never a secret.
	Store string
	// Cause is what happened.
	Cause error
	// Fix says what to do, as an order; it may be empty.
	Fix string
}

func (e *Error) Error() string {
	text := "key store " + e.Store + ": " + e.Cause.Error()
	if e.Fix != "" {
		text += ": " + e.Fix
	}
	return text
}

func (e *Error) Unwrap() error { return e.Cause }

// Options are what opening a key needs and no URI says. The zero value will do.
type Options struct {
	// Folder is where relative paths begin; "" is the working directory.
	Folder string
	// Getenv finds environment variables; nil is os.Getenv.
	Getenv func(string) string
	// Ask asks a person for a secret, such as "passphrase of /etc/ca.pem", where the URI names none. Nil: nobody is there.
	Ask func(ctx context.Context, what string) ([]byte, error)
	// Timeout bounds opening, checking, and each signature; 0 is 10 seconds.
	Timeout time.Duration
	// HTTPClient calls key management services; nil is one of their libraries' own.
	HTTPClient *http.Client
}

func (o Options) withDefaults() Options {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Timeout <= 0 {
		o.Timeout = signTime
	}
	return o
}

// path makes a path of a URI absolute where a folder to begin at is known.
func (o Options) path(p string) string {
	if o.Folder == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(o.Folder, p)
}

// place is a URI that has been read: where a key is, or is to be.
type place interface {
	open(context.Context, Options) (Key, error)
	create(context.Context, Kind, Options) (Key, error)
}

// schemes are the stores, by the scheme of their URIs; each func reads what comes after the colon.
var schemes = map[string]func(rest string) (place, error){
	"file":     readFilePlace,
	"agent":    readAgentPlace,
	"pkcs11":   readTokenPlace,
	"tpm":      readTPMPlace,
	"awskms":   readAWSPlace,
	"azurekms": readAzurePlace,
}

// Open opens the key that the URI names. The error wraps ErrNotFound when the store is there and the key is not, ErrSecret
// when it does not take the passphrase or PIN.
func Open(ctx context.Context, uri string, o Options) (Key, error) {
	p, err := read(uri)
	if err != nil {
		return nil, err
	}
	return p.open(ctx, o.withDefaults())
}

// Create makes a new key where the URI says and opens it. The error wraps ErrTaken when there is one already: nothing is
// ever overwritten.
func Create(ctx context.Context, uri string, kind Kind, o Options) (Key, error) {
	p, err := read(uri)
	if err != nil {
		return nil, err
	}
	return p.create(ctx, kind, o.withDefaults())
}

// Check says what is wrong with a URI, and opens nothing.
func Check(uri string) error {
	_, err := read(uri)
	return err
}

func read(uri string) (place, error) {
	if len(uri) > maxURI {
		return nil, fmt.Errorf("key store: the URI has more than %d bytes", maxURI)
	}
	scheme, rest, found := strings.Cut(uri, ":")
	reader := schemes[scheme]
	if !found || reader == nil {
		return nil, fmt.Errorf("key store: the URI begins with none of the schemes known here: %s (a file is file:PATH)", known())
	}
	p, err := reader(rest)
	if err != nil {
		return nil, fmt.Errorf("key store %s: %w", scheme, err)
	}
	return p, nil
}

// known lists the schemes.
func known() string {
	var all []string
	for scheme := range schemes {
		all = append(all, scheme+":")
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// kindOf picks the kind to make: the first of what a store has, if it is to pick.
func kindOf(kind Kind, has ...Kind) (Kind, error) {
	if kind == Best {
		return has[0], nil
	}
	if !slices.Contains(has, kind) {
		return "", fmt.Errorf("it makes no keys of kind %.20q: want one of %v", kind, has)
	}
	return kind, nil
}
