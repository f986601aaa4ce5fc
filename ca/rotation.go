package ca

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// The rotation of a CA from one key to the next, as pure functions. A key goes through its states in order and never back:
//
//	announced   hosts are told to trust it      → trusted   once all that need it report that they do
//	trusted     they do                         → issuing   when somebody decides so
//	issuing     it signs                        → retiring  in the same step in which the next one begins to
//	retiring    what it signed is still valid   → retired   once that has expired, or no host shows it any more
//
// At each moment one key issues, and one at most is on its way: so a CA has two keys in force at the most, and the next
// rotation begins when the last one has ended.

// Facts are what a step waits for.
type Facts struct {
	Now time.Time
	// Lagging is how many hosts do not trust the key that is on its way. Unknown says that nobody can tell.
	Lagging int
	Unknown bool
	// Showing is how many hosts may still show a certificate of the key that retires; for CAs that sign host certificates.
	Showing int
	// LastExpiry is when the last certificate expires that the retiring key has signed; zero: not known.
	LastExpiry time.Time
}

// Step is the next step of one key.
type Step struct {
	Key      string // fingerprint
	From, To sekisho.CAKeyState
	// Decision says that the house does not take it by itself.
	Decision bool
}

// maxRetired is how many retired keys are remembered of a CA.
const maxRetired = 50

// Next gives the step that is next in a CA; ok is false where no key is on its way.
func Next(c *sekisho.CA) (s Step, ok bool) {
	for _, k := range c.Keys {
		switch k.State {
		case sekisho.CAKeyAnnounced:
			return Step{Key: k.Fingerprint, From: k.State, To: sekisho.CAKeyTrusted}, true
		case sekisho.CAKeyTrusted:
			return Step{Key: k.Fingerprint, From: k.State, To: sekisho.CAKeyIssuing, Decision: true}, true
		case sekisho.CAKeyRetiring:
			return Step{Key: k.Fingerprint, From: k.State, To: sekisho.CAKeyRetired}, true
		}
	}
	return Step{}, false
}

// Stage is how far the rotation of a CA is: the state of the key on its way, or issuing where there is none.
func Stage(c *sekisho.CA) sekisho.CAKeyState {
	if s, ok := Next(c); ok {
		return s.From
	}
	return sekisho.CAKeyIssuing
}

// Waits says in a clause what a step waits for; empty: for nothing but, perhaps, a decision.
func Waits(c *sekisho.CA, s Step, f Facts) string {
	switch s.To {
	case sekisho.CAKeyTrusted, sekisho.CAKeyIssuing:
		switch {
		case f.Unknown && s.To == sekisho.CAKeyTrusted:
			return "nobody reports who trusts it"
		case f.Lagging == 1:
			return "1 host does not trust it yet"
		case f.Lagging > 1:
			return fmt.Sprintf("%d hosts do not trust it yet", f.Lagging)
		}
	case sekisho.CAKeyRetired:
		if !f.LastExpiry.IsZero() && !f.Now.Before(f.LastExpiry) {
			return ""
		}
		switch {
		case c.Type == TypeHost && !f.Unknown && f.Showing == 0:
		case c.Type == TypeHost && f.Showing == 1:
			return "1 host may still show a certificate of it"
		case c.Type == TypeHost && f.Showing > 1:
			return fmt.Sprintf("%d hosts may still show a certificate of it", f.Showing)
		case f.LastExpiry.IsZero():
			return "it is not known when its last certificate expires"
		default:
			return "its last certificate is valid until " + f.LastExpiry.UTC().Format("2006-01-02 15:04:05 MST")
		}
	}
	return ""
}

// ErrNotYet says, wrapped, that a step's condition is not met.
var ErrNotYet = errors.New("not yet")

// Take gives the CA as it is after its next step. Unless forced, what the step waits for must have come. c itself stays.
func Take(c *sekisho.CA, s Step, f Facts, force bool) (*sekisho.CA, error) {
	if next, ok := Next(c); !ok || next != s {
		return nil, fmt.Errorf("key %.80s of the CA %s is not about to become %s", s.Key, c.Name, s.To)
	}
	if why := Waits(c, s, f); why != "" && !force {
		return nil, fmt.Errorf("key %s of the CA %s cannot become %s: %w: %s", s.Key, c.Name, s.To, ErrNotYet, why)
	}
	next := clone(c)
	for i := range next.Keys {
		k := &next.Keys[i]
		switch {
		case k.Fingerprint == s.Key:
			enter(k, s.To, f.Now)
			if s.To == sekisho.CAKeyRetired && !f.LastExpiry.IsZero() {
				k.LastExpiry = f.LastExpiry
			}
		case s.To == sekisho.CAKeyIssuing && k.State == sekisho.CAKeyIssuing:
			enter(k, sekisho.CAKeyRetiring, f.Now)
			k.LastExpiry = f.LastExpiry
		}
	}
	return next, Check(next)
}

// Announce gives the CA with another key on its way. c itself stays.
func Announce(c *sekisho.CA, store string, key ssh.PublicKey, now time.Time) (*sekisho.CA, error) {
	if s, ok := Next(c); ok {
		return nil, fmt.Errorf("key %s of the CA %s is %s: one rotation at a time", s.Key, c.Name, s.From)
	}
	next := clone(c)
	if n := len(next.Keys) - maxRetired; n > 0 {
		next.Keys = slices.Delete(next.Keys, 0, n)
	}
	k := sekisho.CAKey{Fingerprint: ssh.FingerprintSHA256(key), Line: Line(key), Store: store}
	enter(&k, sekisho.CAKeyAnnounced, now)
	next.Keys = append(next.Keys, k)
	return next, Check(next)
}

// First makes a CA with its first key, which issues.
func First(name, kind, store string, key ssh.PublicKey, now time.Time) *sekisho.CA {
	k := sekisho.CAKey{Fingerprint: ssh.FingerprintSHA256(key), Line: Line(key), Store: store}
	enter(&k, sekisho.CAKeyIssuing, now)
	return &sekisho.CA{Name: name, Type: kind, Keys: []sekisho.CAKey{k}, Revision: 1}
}

func enter(k *sekisho.CAKey, state sekisho.CAKeyState, now time.Time) {
	k.State = state
	at := map[sekisho.CAKeyState]*time.Time{
		sekisho.CAKeyAnnounced: &k.Announced, sekisho.CAKeyTrusted: &k.Trusted, sekisho.CAKeyIssuing: &k.Issuing,
		sekisho.CAKeyRetiring: &k.Retiring, sekisho.CAKeyRetired: &k.Retired,
	}[state]
	*at = now.UTC()
}

// Since is when a key came into the state that it is in.
func Since(k sekisho.CAKey) time.Time {
	switch k.State {
	case sekisho.CAKeyAnnounced:
		return k.Announced
	case sekisho.CAKeyTrusted:
		return k.Trusted
	case sekisho.CAKeyIssuing:
		return k.Issuing
	case sekisho.CAKeyRetiring:
		return k.Retiring
	}
	return k.Retired
}

func clone(c *sekisho.CA) *sekisho.CA {
	next := *c
	next.Keys = slices.Clone(c.Keys)
	next.Revision++
	return &next
}

var caName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// CheckName says why a CA cannot have that name: it becomes part of file names and of URLs.
func CheckName(name string) error {
	if !caName.MatchString(name) {
		return fmt.Errorf("CA name %.40q: want a-z, 0-9 and -, a letter first, and at most 32 bytes", name)
	}
	return nil
}

// Check says what of a CA is not as it must be: one key issues, one at most is on its way, and no key is there twice.
func Check(c *sekisho.CA) error {
	if err := CheckName(c.Name); err != nil {
		return err
	}
	if c.Type != TypeUser && c.Type != TypeHost {
		return fmt.Errorf("CA %s: type %.20q: want user or host", c.Name, c.Type)
	}
	issuing, under := 0, 0
	seen := map[string]bool{}
	for _, k := range c.Keys {
		switch k.State {
		case sekisho.CAKeyIssuing:
			issuing++
		case sekisho.CAKeyAnnounced, sekisho.CAKeyTrusted, sekisho.CAKeyRetiring:
			under++
		case sekisho.CAKeyRetired:
		default:
			return fmt.Errorf("CA %s: key %.80s is in the state %.20q", c.Name, k.Fingerprint, k.State)
		}
		if seen[k.Fingerprint] {
			return fmt.Errorf("CA %s: key %.80s is there twice", c.Name, k.Fingerprint)
		}
		seen[k.Fingerprint] = true
	}
	if issuing != 1 || under > 1 {
		return fmt.Errorf("CA %s: %d keys issue and %d are on their way: want 1, and 1 at most", c.Name, issuing, under)
	}
	return nil
}
