package ca

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/krl"
)

// RevocationList is what is revoked as an OpenSSH KRL (PROTOCOL.krl). Lists with the same number are the same bytes,
// whoever makes them.
type RevocationList struct {
	// Number goes up with every revocation and with every end of one.
	Number uint64
	// Generated is when what it holds became so; zero where nothing was ever revoked.
	Generated time.Time
	// Entries counts serials, Key IDs and fingerprints.
	Entries int
	KRL     []byte
}

// lists are the newest ones.
type lists struct{ users, hosts *RevocationList }

// Users is the list for those who let users in: serials of user certificates, Key IDs, keys and CA keys. The caller does not
// change it.
func (b *Revocations) Users(ctx context.Context) (*RevocationList, error) {
	l, err := b.newestLists(ctx)
	return l.users, err
}

// Hosts is the list for those who go to hosts: serials of host certificates, Key IDs, keys and CA keys.
func (b *Revocations) Hosts(ctx context.Context) (*RevocationList, error) {
	l, err := b.newestLists(ctx)
	return l.hosts, err
}

// newestLists makes the lists when something has changed since they were made last.
func (b *Revocations) newestLists(ctx context.Context) (lists, error) {
	b.listing.Lock()
	defer b.listing.Unlock()
	s := b.state.Load()
	if b.lists != nil && b.lists.users.Number == uint64(s.number) {
		return *b.lists, nil
	}
	made, err := b.makeLists(ctx, s)
	if err != nil {
		return lists{}, fmt.Errorf("make revocation list %d: %w", s.number, err)
	}
	b.lists = made
	return *made, nil
}

// draft is a list while it is being gathered.
type draft struct {
	serials map[string][]krl.Range // by fingerprint of the CA key
	keyIDs  []string
	sums    [][32]byte
	entries int
}

func (b *Revocations) makeLists(ctx context.Context, s *revoked) (*lists, error) {
	users, hosts := &draft{serials: map[string][]krl.Range{}}, &draft{serials: map[string][]krl.Range{}}
	for _, r := range s.all {
		if r.Seq == 0 || !r.InForce(s.at) { // not noted yet, or over at the list's own time
			continue
		}
		if err := b.gather(ctx, s, r, users, hosts); err != nil {
			return nil, err
		}
	}
	keys, err := b.caKeys(ctx)
	if err != nil {
		return nil, err
	}
	made := &lists{}
	for _, each := range []struct {
		what string
		from *draft
		to   **RevocationList
	}{{"users", users, &made.users}, {"hosts", hosts, &made.hosts}} {
		if *each.to, err = each.from.list(s, each.what, keys); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// gather puts what falls under a revocation into the lists.
func (b *Revocations) gather(ctx context.Context, s *revoked, r *sekisho.Revocation, users, hosts *draft) error {
	switch r.Kind {
	case sekisho.RevokedKey, sekisho.RevokedCA:
		sum, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(r.Value, "SHA256:"))
		if err != nil || len(sum) != sha256.Size {
			return fmt.Errorf("revocation %s: %q is no fingerprint", r.ID, r.Value)
		}
		for _, d := range []*draft{users, hosts} {
			d.sums = append(d.sums, [32]byte(sum))
			d.entries++
		}
		return nil
	case sekisho.RevokedKeyID:
		for _, d := range []*draft{users, hosts} {
			d.keyIDs = append(d.keyIDs, r.Value)
			d.entries++
		}
		return nil
	}
	return b.valid(ctx, r, s.at, s.number, func(ev *sekisho.Event) {
		d := users
		if ev.Certificate.Type == "host" {
			d = hosts
		}
		d.serials[ev.Certificate.CA] = append(d.serials[ev.Certificate.CA], krl.Serials(uint64(ev.Seq))...)
		d.entries++
	})
}

// caKeys are all keys that ever signed, by fingerprint.
func (b *Revocations) caKeys(ctx context.Context) (map[string]ssh.PublicKey, error) {
	cas, err := b.cfg.CAs(ctx)
	if err != nil {
		return nil, fmt.Errorf("read CAs: %w", err)
	}
	keys := map[string]ssh.PublicKey{}
	for _, c := range cas {
		for _, k := range c.Keys {
			key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(k.Line))
			if err != nil {
				return nil, fmt.Errorf("CA %s: key %s: %w", c.Name, k.Fingerprint, err)
			}
			keys[ssh.FingerprintSHA256(key)] = key
		}
	}
	return keys, nil
}

// list writes a draft. Serials of a CA key that nobody knows any more are revoked for all CAs: a serial names one
// certificate of ours anyhow.
func (d *draft) list(s *revoked, what string, keys map[string]ssh.PublicKey) (*RevocationList, error) {
	l := &krl.List{
		Number: uint64(s.number), Generated: s.at, Comment: "sekisho revoked " + what,
		SHA256: d.sums, Authorities: []krl.Authority{{KeyIDs: d.keyIDs}},
	}
	for print, serials := range d.serials {
		l.Authorities = append(l.Authorities, krl.Authority{Key: keys[print], Serials: serials})
	}
	out := &RevocationList{Number: l.Number, Generated: s.at, Entries: d.entries}
	var err error
	out.KRL, err = l.Marshal()
	return out, err
}

// CAKey finds a CA and its key by the key's fingerprint; nil: there is none.
func (b *Revocations) CAKey(ctx context.Context, fingerprint string) (*sekisho.CA, *sekisho.CAKey, error) {
	cas, err := b.cfg.CAs(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read CAs: %w", err)
	}
	for _, c := range cas {
		if i := slices.IndexFunc(c.Keys, func(k sekisho.CAKey) bool { return k.Fingerprint == fingerprint }); i >= 0 {
			return c, &c.Keys[i], nil
		}
	}
	return nil, nil, nil
}
