package ca

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
)

// Order is who takes a step, and on what grounds.
type Order struct {
	// Actor is a person's subject, or "control"; SignIn and ClientAddress are theirs.
	Actor, SignIn, ClientAddress string
	// Force takes it although what it waits for has not come; Reason says why, and must then be there.
	Force  bool
	Reason string
}

// maxCAs is how many there can be, retired ones among them.
const maxCAs = 100

// CAs gives all CAs by name. They are not to be changed.
func (a *Authority) CAs() []*sekisho.CA {
	var all []*sekisho.CA
	for _, r := range a.rings.Load().byName {
		all = append(all, r.ca)
	}
	slices.SortFunc(all, func(x, y *sekisho.CA) int { return strings.Compare(x.Name, y.Name) })
	return all
}

// CA gives one; the error wraps sekisho.ErrNotFound.
func (a *Authority) CA(name string) (*sekisho.CA, error) {
	if r := a.rings.Load().byName[name]; r != nil {
		return r.ca, nil
	}
	return nil, fmt.Errorf("CA %.40q: %w", name, sekisho.ErrNotFound)
}

// Trouble says why a key of a CA could not sign when it was last asked to; nil: it could, or was not asked.
func (a *Authority) Trouble(name, fingerprint string) error {
	if k := a.key(name, fingerprint); k != nil {
		k.keeper.mu.Lock()
		defer k.keeper.mu.Unlock()
		return k.keeper.trouble
	}
	return nil
}

// CheckKeys asks the key stores of all keys that sign, or are about to, whether they can.
func (a *Authority) CheckKeys(ctx context.Context) error {
	var errs []error
	for _, c := range a.CAs() {
		for _, k := range c.Keys {
			if k.State == sekisho.CAKeyRetiring || k.State == sekisho.CAKeyRetired {
				continue
			}
			if at := a.key(c.Name, k.Fingerprint); at != nil {
				if err := at.keeper.check(ctx); err != nil {
					errs = append(errs, fmt.Errorf("CA %s: %w", c.Name, err))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// Expiry is when the last certificate expires that the key signed since the Authority was made; zero: it signed none.
func (a *Authority) Expiry(name, fingerprint string) time.Time {
	if k := a.key(name, fingerprint); k != nil && k.until.Load() > 0 {
		return time.Unix(k.until.Load(), 0).UTC()
	}
	return time.Time{}
}

func (a *Authority) key(name, fingerprint string) *authority {
	if r := a.rings.Load().byName[name]; r != nil {
		for _, k := range r.keys {
			if k.fingerprint == fingerprint {
				return k
			}
		}
	}
	return nil
}

// Create makes a CA with its first key, which issues from then on. The error wraps sekisho.ErrTaken where there is one of
// that name.
func (a *Authority) Create(ctx context.Context, name, kind, store, keyKind string, o Order) (*sekisho.CA, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if kind != TypeUser && kind != TypeHost {
		return nil, fmt.Errorf("type %.20q: want user or host", kind)
	}
	a.step.Lock()
	defer a.step.Unlock()
	if _, err := a.CA(name); err == nil {
		return nil, fmt.Errorf("CA %s is %w", name, sekisho.ErrTaken)
	}
	if n := len(a.rings.Load().byName); n >= maxCAs {
		return nil, &sekisho.Refusal{Sentence: fmt.Sprintf("There are %d CAs, and there cannot be more.", n), Next: "Use one that is there: sekisho ca list."}
	}
	at, opened, err := a.make(ctx, name, store, keyKind)
	if err != nil {
		return nil, err
	}
	c := First(name, kind, at, opened.PublicKey(), a.now())
	return c, a.put(ctx, c, &c.Keys[0], "", o, Facts{}, &opened)
}

// Announce makes another key for a CA and announces it. seen is the CA as the caller knows it: where it has changed since,
// the error wraps sekisho.ErrTaken.
func (a *Authority) Announce(ctx context.Context, seen *sekisho.CA, store, keyKind string, o Order) (*sekisho.CA, error) {
	a.step.Lock()
	defer a.step.Unlock()
	if err := a.unchanged(seen); err != nil {
		return nil, err
	}
	if s, ok := Next(seen); ok {
		return nil, fmt.Errorf("key %s is %s: one rotation at a time", s.Key, s.From)
	}
	at, opened, err := a.make(ctx, seen.Name, store, keyKind)
	if err != nil {
		return nil, err
	}
	c, err := Announce(seen, at, opened.PublicKey(), a.now())
	if err != nil {
		return nil, err
	}
	return c, a.put(ctx, c, &c.Keys[len(c.Keys)-1], "", o, Facts{}, &opened)
}

// Step takes a step. seen is as in Announce. The error wraps ErrNotYet where what it waits for has not come.
func (a *Authority) Step(ctx context.Context, seen *sekisho.CA, s Step, f Facts, o Order) (*sekisho.CA, error) {
	if o.Force && strings.TrimSpace(o.Reason) == "" {
		return nil, errors.New("a step is forced for a reason only")
	}
	a.step.Lock()
	defer a.step.Unlock()
	if err := a.unchanged(seen); err != nil {
		return nil, err
	}
	if s.To == sekisho.CAKeyIssuing { // before it is the only one that signs
		if k := a.key(seen.Name, s.Key); k != nil {
			if err := k.keeper.check(ctx); err != nil {
				return nil, fmt.Errorf("key %s cannot sign: %w", s.Key, err)
			}
		}
	}
	o.Force = o.Force && Waits(seen, s, f) != "" // else nothing is forced
	c, err := Take(seen, s, f, o.Force)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(c.Keys, func(k sekisho.CAKey) bool { return k.Fingerprint == s.Key })
	return c, a.put(ctx, c, &c.Keys[at], s.From, o, f, nil)
}

func (a *Authority) unchanged(seen *sekisho.CA) error {
	now, err := a.CA(seen.Name)
	if err != nil {
		return err
	}
	if now.Revision != seen.Revision {
		return fmt.Errorf("CA %s has changed meanwhile: its next step is %w", seen.Name, sekisho.ErrTaken)
	}
	return nil
}

// make makes a private key, which must not be one that there is already.
func (a *Authority) make(ctx context.Context, name, store, kind string) (string, Opened, error) {
	if a.create == nil {
		return "", Opened{}, errors.New("no key store is there to make a key in")
	}
	at, opened, err := a.create(ctx, name, store, kind)
	if err != nil {
		return "", Opened{}, fmt.Errorf("make key: %w", err)
	}
	if a.owns(string(opened.PublicKey().Marshal())) {
		return "", Opened{}, &sekisho.Refusal{
			Sentence: "The key that this key store names is, or was, a CA's already.",
			Next:     "Name a store whose URI has {key}, which makes a new one, or another key.",
		}
	}
	return at, opened, nil
}

// put notes a step, keeps the CA and goes by it from then on, in this order: what is in force is kept, and what is kept is
// in the audit log.
func (a *Authority) put(ctx context.Context, c *sekisho.CA, k *sekisho.CAKey, before sekisho.CAKeyState, o Order, f Facts, opened *Opened) error {
	r, err := a.ring(c, opened)
	if err != nil {
		return err
	}
	next, err := a.rings.Load().with(r)
	if err != nil {
		return err
	}
	if err := a.note(ctx, stepEvent(c, k, before, o, f)); err != nil {
		return fmt.Errorf("note step: %w", err)
	}
	if a.save != nil {
		if err := a.save(ctx, c); err != nil {
			return fmt.Errorf("keep CA %s: %w", c.Name, err)
		}
	}
	a.rings.Store(next)
	return nil
}

func stepEvent(c *sekisho.CA, k *sekisho.CAKey, before sekisho.CAKeyState, o Order, f Facts) *sekisho.Event {
	kind, _, _ := strings.Cut(k.Store, ":")
	ev := &sekisho.Event{
		Kind: sekisho.EventCAKey, Actor: o.Actor, SignIn: o.SignIn, ClientAddress: o.ClientAddress,
		Detail: map[string]string{"ca": c.Name, "type": c.Type, "key": k.Fingerprint, "state": string(k.State)},
	}
	if before != "" {
		ev.Detail["before"] = string(before)
	} else {
		ev.Detail["store"] = kind
	}
	if o.Reason != "" {
		ev.Detail["reason"] = o.Reason
	}
	if n := f.Lagging + f.Showing; before != "" && n > 0 {
		ev.Detail["lagging"] = strconv.Itoa(n)
	}
	if o.Force {
		ev.Detail["forced"] = "yes"
	}
	return ev
}
