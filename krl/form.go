package krl

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// form is a list as it is on the wire: keys as blobs, everything sorted once tidy has passed over it.
type form struct {
	number, generated uint64
	comment           string
	authorities       []authority
	keys              [][]byte
	sha256, sha1      [][]byte
}

// authority has an empty blob for any CA.
type authority struct {
	blob    []byte
	serials []Range
	keyIDs  []string
}

// latest is the last second of the year 9999: later times have no text in RFC 3339.
const latest = 253402300799

var (
	errSerial  = errors.New("a serial is 0 or a range ends before it begins")
	errZero    = errors.New("a text holds a zero byte")
	errEntries = fmt.Errorf("more than %d entries", MaxEntries)
	errSize    = fmt.Errorf("longer than %d bytes", MaxSize)
	errTime    = errors.New("a time outside of 1970 to 9999")
)

// form checks the list and gives it sorted, without touching it.
func (l *List) form() (*form, error) {
	f := &form{number: l.Number, comment: l.Comment}
	if !l.Generated.IsZero() {
		f.generated = uint64(l.Generated.Unix())
	}
	for _, a := range l.Authorities {
		if err := f.addAuthority(a); err != nil {
			return nil, err
		}
	}
	for _, k := range l.Keys {
		blob, err := plain(k)
		if err != nil {
			return nil, err
		}
		f.keys = append(f.keys, blob)
	}
	for i := range l.SHA256 {
		f.sha256 = append(f.sha256, bytes.Clone(l.SHA256[i][:]))
	}
	for i := range l.SHA1 {
		f.sha1 = append(f.sha1, bytes.Clone(l.SHA1[i][:]))
	}
	return f, f.tidy()
}

func (f *form) addAuthority(a Authority) error {
	var blob []byte
	if a.Key != nil {
		var err error
		if blob, err = plain(a.Key); err != nil {
			return fmt.Errorf("CA: %w", err)
		}
		if _, err = ssh.ParsePublicKey(blob); err != nil {
			return fmt.Errorf("CA: %w", err)
		}
	}
	f.authorities = append(f.authorities, authority{blob, slices.Clone(a.Serials), slices.Clone(a.KeyIDs)})
	return nil
}

// plain is the blob of a key that is no certificate.
func plain(k ssh.PublicKey) ([]byte, error) {
	if k == nil {
		return nil, errors.New("a key is missing")
	}
	blob := k.Marshal()
	return blob, checkPlain(blob)
}

func checkPlain(blob []byte) error {
	r := reader{blob}
	kind, err := r.string()
	if err != nil || len(kind) == 0 {
		return errors.New("a key does not say its type")
	}
	if isCertificate(string(kind)) {
		return fmt.Errorf("a key is a certificate (%q): revoke its serial, its key ID or its plain key", kind)
	}
	return nil
}

func isCertificate(kind string) bool { return strings.Contains(kind, "-cert-v0") }

// tidy checks, joins, sorts and removes what is there twice. Lengths of blobs have been checked before.
func (f *form) tidy() error {
	if f.generated > latest {
		return errTime
	}
	if strings.Contains(f.comment, "\x00") {
		return errZero
	}
	for i := range f.authorities {
		if err := f.authorities[i].tidy(); err != nil {
			return err
		}
	}
	f.joinAuthorities()
	for _, set := range []*[][]byte{&f.keys, &f.sha256, &f.sha1} {
		*set = sorted(*set, bytes.Compare)
	}
	if f.entries() > MaxEntries {
		return errEntries
	}
	return nil
}

func (a *authority) tidy() error {
	for _, id := range a.keyIDs {
		if strings.Contains(id, "\x00") {
			return errZero
		}
	}
	for _, r := range a.serials {
		if r.First == 0 || r.First > r.Last {
			return errSerial
		}
	}
	a.keyIDs = sorted(a.keyIDs, cmp.Compare[string])
	a.serials = join(a.serials)
	return nil
}

// joinAuthorities makes one of those with the same key, and drops those that revoke nothing.
func (f *form) joinAuthorities() {
	slices.SortStableFunc(f.authorities, func(a, b authority) int { return bytes.Compare(a.blob, b.blob) })
	var out []authority
	for _, a := range f.authorities {
		if n := len(out); n > 0 && bytes.Equal(out[n-1].blob, a.blob) {
			last := &out[n-1]
			last.serials = append(last.serials, a.serials...)
			last.keyIDs = append(last.keyIDs, a.keyIDs...)
		} else if len(a.serials)+len(a.keyIDs) > 0 {
			out = append(out, a)
		}
	}
	for i := range out {
		out[i].keyIDs = sorted(out[i].keyIDs, cmp.Compare[string])
		out[i].serials = join(out[i].serials)
	}
	f.authorities = out
}

// join sorts ranges and makes one of those that overlap or meet.
func join(ranges []Range) []Range {
	byFirst := func(a, b Range) int { return cmp.Compare(a.First, b.First) }
	if !slices.IsSortedFunc(ranges, byFirst) {
		slices.SortFunc(ranges, byFirst)
	}
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && r.First-1 <= out[n-1].Last {
			out[n-1].Last = max(out[n-1].Last, r.Last)
		} else {
			out = append(out, r)
		}
	}
	return out
}

func sorted[T any](set []T, compare func(a, b T) int) []T {
	if !slices.IsSortedFunc(set, compare) {
		slices.SortFunc(set, compare)
	}
	return slices.CompactFunc(set, func(a, b T) bool { return compare(a, b) == 0 })
}

func (f *form) entries() int {
	n := len(f.keys) + len(f.sha256) + len(f.sha1)
	for _, a := range f.authorities {
		n += 1 + len(a.serials) + len(a.keyIDs)
	}
	return n
}

// list is the form for people to work with.
func (f *form) list() (*List, error) {
	l := &List{Number: f.number, Comment: f.comment}
	if f.generated != 0 {
		l.Generated = time.Unix(int64(f.generated), 0).UTC()
	}
	for _, a := range f.authorities {
		var key ssh.PublicKey
		if len(a.blob) > 0 {
			var err error
			if key, err = ssh.ParsePublicKey(a.blob); err != nil {
				return nil, fmt.Errorf("CA: %w", err)
			}
		}
		l.Authorities = append(l.Authorities, Authority{Key: key, Serials: a.serials, KeyIDs: a.keyIDs})
	}
	for _, blob := range f.keys {
		l.Keys = append(l.Keys, publicKey(blob))
	}
	for _, h := range f.sha256 {
		l.SHA256 = append(l.SHA256, [32]byte(h))
	}
	for _, h := range f.sha1 {
		l.SHA1 = append(l.SHA1, [20]byte(h))
	}
	return l, nil
}

// publicKey gives the key of a blob, and the blob itself where the key is not known or has other bytes: sshd compares
// bytes, and revokes keys that it does not know.
func publicKey(blob []byte) ssh.PublicKey {
	if k, err := ssh.ParsePublicKey(blob); err == nil && bytes.Equal(k.Marshal(), blob) {
		return k
	}
	return unknown(blob)
}

// unknown is a key that is only compared.
type unknown []byte

func (u unknown) Type() string {
	kind, _ := (&reader{u}).string()
	return string(kind)
}
func (u unknown) Marshal() []byte { return slices.Clone(u) }
func (u unknown) Verify([]byte, *ssh.Signature) error {
	return errors.New("the key's type is not known")
}
