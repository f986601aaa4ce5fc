package ca

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// rings are all CAs at one moment. They are never changed: a step puts others in their place.
type rings struct {
	byName map[string]*ring
	owner  map[string]string // name of the CA by its marshalled public key, retired ones included
}

// ring is a CA with its keys.
type ring struct {
	ca      *sekisho.CA
	keys    []*authority // of ca.Keys, one for each
	inForce []*authority // the issuing one first
	issuing *authority
	lines   []string // of those in force
}

// add makes a ring one of all, unless one of its keys is another CA's.
func (all *rings) add(r *ring, err error) error {
	if err != nil {
		return err
	}
	for _, k := range r.keys {
		if other, taken := all.owner[k.marshalled]; taken {
			return fmt.Errorf("%s CA key: it is the %s CA's key too; each CA needs its own", r.ca.Name, other)
		}
		all.owner[k.marshalled] = r.ca.Name
	}
	all.byName[r.ca.Name] = r
	return nil
}

// with gives all CAs with one of them as it is from now on.
func (all *rings) with(r *ring) (*rings, error) {
	next := &rings{byName: maps.Clone(all.byName), owner: maps.Clone(all.owner)}
	maps.DeleteFunc(next.owner, func(_, name string) bool { return name == r.ca.Name })
	return next, next.add(r, nil)
}

// ring makes a CA usable. Keys that it had before stay as they were opened; opened is the private half of the newest key,
// where it is at hand.
func (a *Authority) ring(c *sekisho.CA, opened *Opened) (*ring, error) {
	if err := Check(c); err != nil {
		return nil, err
	}
	r := &ring{ca: c}
	for i, k := range c.Keys {
		made, err := a.authority(c.Name, k)
		if err != nil {
			return nil, fmt.Errorf("%s CA key %.80s: %w", c.Name, k.Fingerprint, err)
		}
		if i == len(c.Keys)-1 && opened != nil {
			made.keeper.set(*opened)
		}
		r.keys = append(r.keys, made)
		switch {
		case k.State == sekisho.CAKeyIssuing:
			r.issuing = made
			r.inForce = slices.Insert(r.inForce, 0, made)
		case k.State.InForce():
			r.inForce = append(r.inForce, made)
		}
	}
	for _, k := range r.inForce {
		r.lines = append(r.lines, k.line)
	}
	return r, nil
}

// authority is one CA key with what is computed once.
type authority struct {
	signer      ssh.Signer
	keeper      *keeper
	line        string
	fingerprint string
	marshalled  string
	until       atomic.Int64 // when the last certificate that it signed here expires, in seconds
}

// authority gives a key as it is known already, or makes it.
func (a *Authority) authority(name string, k sekisho.CAKey) (*authority, error) {
	public, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(k.Line))
	if err != nil || len(rest) > 0 {
		return nil, errors.New("its line is no public key")
	}
	switch public.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384:
	default:
		return nil, fmt.Errorf("it is %s: want Ed25519 or ECDSA", public.Type())
	}
	wire := string(public.Marshal())
	if all := a.rings.Load(); all != nil && all.byName[name] != nil {
		for _, known := range all.byName[name].keys {
			if known.marshalled == wire {
				return known, nil
			}
		}
	}
	if ssh.FingerprintSHA256(public) != k.Fingerprint {
		return nil, errors.New("its fingerprint is another key's")
	}
	keeper := &keeper{public: public, store: k.Store, open: a.open, now: a.now}
	return &authority{signer: keeper, keeper: keeper, line: Line(public), fingerprint: k.Fingerprint, marshalled: wire}, nil
}

// signs notes until when a certificate will be valid that the key is about to sign.
func (k *authority) signs(until uint64) {
	for n := int64(until); ; {
		old := k.until.Load()
		if n <= old || k.until.CompareAndSwap(old, n) {
			return
		}
	}
}

// issuing gives the key that signs for a CA.
func (a *Authority) issuing(name string) (*authority, error) {
	r := a.rings.Load().byName[name]
	if r == nil {
		return nil, fmt.Errorf("there is no CA %.60q", name)
	}
	return r.issuing, nil
}

// owns reports whether a marshalled public key is, or was, one of the CAs' own.
func (a *Authority) owns(marshalled string) bool {
	_, own := a.rings.Load().owner[marshalled]
	return own
}

// Opened is a private CA key at hand.
type Opened struct {
	ssh.Signer
	// Check asks the key store whether it can sign now, without signing. Nil: it always can.
	Check func(context.Context) error
}

// keeper is the private half of a CA key: it opens it when it is first needed, and remembers what is wrong with it. It is
// a signer that fails while its key store does.
type keeper struct {
	public ssh.PublicKey
	store  string
	open   func(ctx context.Context, store string) (Opened, error)
	now    func() time.Time

	opening sync.Mutex // held while it is being opened

	mu      sync.Mutex
	opened  *Opened
	failed  time.Time // when opening it went wrong last
	trouble error     // of the last use; nil: it went well
}

const (
	// openTime bounds opening a key, openPause is the time after a failure within which it is not tried again.
	openTime  = 15 * time.Second
	openPause = 2 * time.Second
)

// PublicKey is of ssh.Signer.
func (k *keeper) PublicKey() ssh.PublicKey { return k.public }

// Sign is of ssh.Signer. Its error is a refusal whose cause names key store and fix.
func (k *keeper) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	opened, err := k.use()
	var signature *ssh.Signature
	if err == nil {
		signature, err = opened.Sign(random, data)
	}
	if err == nil {
		k.heard(nil)
		return signature, nil
	}
	k.heard(err)
	return nil, &sekisho.Refusal{
		Sentence: "The certificate authority cannot sign now, because its key cannot be reached.",
		Next:     "Try again in a few minutes; the administrators see why in the log and by: sekisho ca status.",
		Cause:    fmt.Errorf("%w: %w", ErrCannotSign, err),
	}
}

// ErrCannotSign says, wrapped, that the key store of a CA's key does not sign now. It may later.
var ErrCannotSign = errors.New("key store does not sign")

func (k *keeper) set(o Opened) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.opened = &o
}

func (k *keeper) heard(trouble error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trouble = trouble
}

// at gives the private key where it is open, or why it cannot be opened now.
func (k *keeper) at() (*Opened, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.opened == nil && k.trouble != nil && k.now().Sub(k.failed) < openPause {
		return nil, k.trouble
	}
	return k.opened, nil
}

// use gives the private key, opened.
func (k *keeper) use() (*Opened, error) {
	if opened, err := k.at(); opened != nil || err != nil {
		return opened, err
	}
	k.opening.Lock()
	defer k.opening.Unlock()
	if opened, err := k.at(); opened != nil || err != nil {
		return opened, err
	}
	if k.open == nil {
		return nil, errors.New("no key store is there to open it")
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	opened, err := k.open(ctx, k.store)
	if err == nil && string(opened.PublicKey().Marshal()) != string(k.public.Marshal()) {
		err = fmt.Errorf("the key store holds %s, which is not the key %s that was there before: restore it",
			ssh.FingerprintSHA256(opened.PublicKey()), ssh.FingerprintSHA256(k.public))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.trouble, k.failed = err, k.now()
		return nil, err
	}
	k.opened, k.trouble = &opened, nil
	return k.opened, nil
}

// check says why the key cannot sign now; nil: it can.
func (k *keeper) check(ctx context.Context) error {
	opened, err := k.use()
	if err == nil && opened.Check != nil {
		err = opened.Check(ctx)
	}
	k.heard(err)
	return err
}
