package krl

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Parse reads a list. What it gives is sorted, joined and without repetitions; flags, reserved fields and extensions
// that are not critical are dropped, as sshd ignores them. Errors say which section is wrong.
func Parse(b []byte) (*List, error) {
	if len(b) > MaxSize {
		return nil, errSize
	}
	p := &parser{authorities: map[string]int{}}
	r := &reader{bytes.Clone(b)} // keys keep pieces of it
	if err := p.header(r); err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	for n := 1; len(r.b) > 0; n++ {
		if err := p.section(r); err != nil {
			return nil, fmt.Errorf("read section %d: %w", n, err)
		}
	}
	if err := p.tidy(); err != nil {
		return nil, err
	}
	return p.list()
}

// parser fills a form and counts what it puts in.
type parser struct {
	form
	authorities map[string]int // index in form.authorities by blob
	count       int
}

func (p *parser) header(r *reader) error {
	if !bytes.HasPrefix(r.b, []byte(magic)) {
		return errors.New("this is no key revocation list")
	}
	r.b = r.b[len(magic):]
	v, err := r.uint32()
	if err != nil {
		return err
	}
	if v != version {
		return fmt.Errorf("format version %d is not known", v)
	}
	var flags uint64
	for _, field := range []*uint64{&p.number, &p.generated, &flags} {
		if *field, err = r.uint64(); err != nil {
			return err
		}
	}
	if _, err := r.string(); err != nil { // reserved
		return err
	}
	p.comment, err = r.text()
	return err
}

func (p *parser) section(r *reader) error {
	kind, err := r.byte()
	if err != nil {
		return err
	}
	body, err := r.string()
	if err != nil {
		return err
	}
	s := &reader{body}
	switch kind {
	case sectionCertificates:
		return p.certificates(s)
	case sectionKeys:
		return p.blobs(s, &p.keys, 0)
	case sectionSHA1:
		return p.blobs(s, &p.sha1, 20)
	case sectionSHA256:
		return p.blobs(s, &p.sha256, 32)
	case sectionExtension:
		return extension(s)
	case sectionSignature:
		return errors.New("signatures in the list are not supported")
	}
	return fmt.Errorf("type %d is not known", kind)
}

// blobs reads a section of keys or, with a size, of hashes.
func (p *parser) blobs(s *reader, into *[][]byte, size int) error {
	for len(s.b) > 0 {
		blob, err := s.string()
		if err != nil {
			return err
		}
		if size != 0 && len(blob) != size {
			return fmt.Errorf("a hash of %d bytes, not %d", len(blob), size)
		}
		if size == 0 {
			if err := checkPlain(blob); err != nil {
				return err
			}
		}
		if err := p.more(); err != nil {
			return err
		}
		*into = append(*into, blob)
	}
	return nil
}

func (p *parser) more() error {
	if p.count++; p.count > MaxEntries {
		return errEntries
	}
	return nil
}

// extension passes over one that is not critical.
func extension(s *reader) error {
	name, err := s.text()
	if err != nil {
		return err
	}
	critical, err := s.byte()
	if err != nil {
		return err
	}
	if _, err := s.string(); err != nil {
		return err
	}
	if critical != 0 {
		return fmt.Errorf("the critical extension %.64q is not known", name)
	}
	return s.end()
}

// authority is the one of that CA, whose key is kept in its own form: sshd compares CAs by value.
func (p *parser) authority(blob []byte) (*authority, error) {
	if len(blob) > 0 {
		if err := checkPlain(blob); err != nil {
			return nil, fmt.Errorf("CA: %w", err)
		}
		key, err := ssh.ParsePublicKey(blob)
		if err != nil {
			return nil, fmt.Errorf("CA: %w", err)
		}
		blob = key.Marshal()
	}
	i, ok := p.authorities[string(blob)]
	if !ok {
		i = len(p.form.authorities)
		p.authorities[string(blob)] = i
		p.form.authorities = append(p.form.authorities, authority{blob: blob})
		if err := p.more(); err != nil {
			return nil, err
		}
	}
	return &p.form.authorities[i], nil
}

func (p *parser) certificates(s *reader) error {
	blob, err := s.string()
	if err != nil {
		return err
	}
	if _, err := s.string(); err != nil { // reserved
		return err
	}
	a, err := p.authority(blob)
	if err != nil {
		return err
	}
	for len(s.b) > 0 {
		kind, err := s.byte()
		if err != nil {
			return err
		}
		body, err := s.string()
		if err != nil {
			return err
		}
		if err := p.revoked(a, kind, &reader{body}); err != nil {
			return fmt.Errorf("certificates of type %#x: %w", kind, err)
		}
	}
	return nil
}

// revoked reads one section within those of a CA.
func (p *parser) revoked(a *authority, kind byte, s *reader) error {
	switch kind {
	case certificateList:
		return p.serialList(a, s)
	case certificateRange:
		return p.serialRange(a, s)
	case certificateBitmap:
		return p.serialBitmap(a, s)
	case certificateKeyIDs:
		return p.keyIDs(a, s)
	case certificateExtension:
		return extension(s)
	}
	return errors.New("the type is not known")
}

func (p *parser) serialList(a *authority, s *reader) error {
	for len(s.b) > 0 {
		n, err := s.uint64()
		if err != nil {
			return err
		}
		if err := p.add(a, Range{n, n}); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) serialRange(a *authority, s *reader) error {
	first, err := s.uint64()
	if err != nil {
		return err
	}
	last, err := s.uint64()
	if err != nil {
		return err
	}
	if err := p.add(a, Range{first, last}); err != nil {
		return err
	}
	return s.end()
}

func (p *parser) serialBitmap(a *authority, s *reader) error {
	first, err := s.uint64()
	if err != nil {
		return err
	}
	number, err := s.bitmap()
	if err != nil {
		return err
	}
	for n := range uint64(len(number) * 8) {
		if number[len(number)-1-int(n/8)]&(1<<(n%8)) == 0 {
			continue
		}
		if first+n < first {
			return errors.New("a bitmap goes beyond the last serial")
		}
		if err := p.add(a, Range{first + n, first + n}); err != nil {
			return err
		}
	}
	return s.end()
}

// add puts a range behind the others, or makes the last one longer.
func (p *parser) add(a *authority, r Range) error {
	if r.First == 0 || r.First > r.Last {
		return errSerial
	}
	if n := len(a.serials); n > 0 && r.First-1 == a.serials[n-1].Last {
		a.serials[n-1].Last = r.Last
		return nil
	}
	a.serials = append(a.serials, r)
	return p.more()
}

func (p *parser) keyIDs(a *authority, s *reader) error {
	for len(s.b) > 0 {
		id, err := s.text()
		if err != nil {
			return err
		}
		if err := p.more(); err != nil {
			return err
		}
		a.keyIDs = append(a.keyIDs, id)
	}
	return nil
}

// reader takes SSH's types (RFC 4251) from the front of its bytes.
type reader struct{ b []byte }

func (r *reader) take(n int) ([]byte, error) {
	if n > len(r.b) {
		return nil, io.ErrUnexpectedEOF
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out, nil
}

func (r *reader) byte() (byte, error) {
	b, err := r.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (r *reader) uint32() (uint32, error) {
	b, err := r.take(4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

func (r *reader) uint64() (uint64, error) {
	b, err := r.take(8)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

func (r *reader) string() ([]byte, error) {
	n, err := r.uint32()
	if err != nil {
		return nil, err
	}
	if uint64(n) > uint64(len(r.b)) {
		return nil, io.ErrUnexpectedEOF
	}
	return r.take(int(n))
}

// text reads a string that OpenSSH keeps as C does: one zero byte may end it, and is not part of it.
func (r *reader) text() (string, error) {
	b, err := r.string()
	if err != nil {
		return "", err
	}
	s := cText(string(b))
	if strings.Contains(s, "\x00") {
		return "", errZero
	}
	return s, nil
}

func cText(s string) string { return strings.TrimSuffix(s, "\x00") }

// bitmap reads an mpint within OpenSSH's bounds, without its leading zeros.
func (r *reader) bitmap() ([]byte, error) {
	b, err := r.string()
	if err != nil {
		return nil, err
	}
	if len(b) > 0 && b[0]&0x80 != 0 {
		return nil, errors.New("a bitmap is negative")
	}
	if len(b) > mostBits/8+1 || len(b) == mostBits/8+1 && b[0] != 0 {
		return nil, fmt.Errorf("a bitmap of more than %d bits", mostBits)
	}
	return bytes.TrimLeft(b, "\x00"), nil
}

func (r *reader) end() error {
	if len(r.b) > 0 {
		return fmt.Errorf("%d bytes too many", len(r.b))
	}
	return nil
}
