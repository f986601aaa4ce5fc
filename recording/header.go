package recording

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"time"
)

const (
	magic         = "sekisho\x00"
	formatVersion = 2
	preambleSize  = len(magic) + 2 + 2 + 4 // magic, version, flags, size of the body
	maxBody       = MaxHeader - preambleSize - ed25519.SignatureSize

	sealedKeySize = 32 + tagSize // file key and tag

	headerContext = "sekisho-recording-header-v2\x00"
)

// sessionForm is what a session's ID may look like; it becomes a file name elsewhere.
var sessionForm = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)

// featureRandom says that each frame has a random nonce, which stands before its ciphertext.
const featureRandom = 1

// clearHeader is the header as it stands in the file.
type clearHeader struct {
	random     bool // featureRandom
	session    string
	started    int64 // Unix nanoseconds
	signer     ed25519.PublicKey
	commitment [32]byte
	slots      []slot
	signature  []byte
	// bytes are preamble, body and signature, hash their SHA-256.
	bytes []byte
	hash  [32]byte
}

// slot holds the file key for one recipient.
type slot struct {
	kem    KEM
	id     keyID
	enc    []byte // as many bytes as the KEM says
	sealed [sealedKeySize]byte
}

// sign completes the header: it encodes it and signs that.
func (h *clearHeader) sign(signer crypto.Signer) error {
	h.bytes = h.appendUnsigned(nil)
	signature, err := signer.Sign(rand.Reader, append([]byte(headerContext), h.bytes...), crypto.Hash(0))
	if err != nil {
		return fmt.Errorf("sign header: %w", err)
	}
	if len(signature) != ed25519.SignatureSize {
		return fmt.Errorf("sign header: signature of %d bytes", len(signature))
	}
	h.signature = signature
	h.bytes = append(h.bytes, signature...)
	h.hash = sha256.Sum256(h.bytes)
	return nil
}

func (h *clearHeader) appendUnsigned(b []byte) []byte {
	body := append([]byte(nil), byte(len(h.session)))
	body = append(body, h.session...)
	body = binary.BigEndian.AppendUint64(body, uint64(h.started))
	body = append(body, h.signer...)
	body = append(body, h.commitment[:]...)
	body = binary.BigEndian.AppendUint16(body, uint16(len(h.slots)))
	for i := range h.slots {
		s := &h.slots[i]
		body = binary.BigEndian.AppendUint16(body, uint16(s.kem))
		body = append(body, s.id[:]...)
		body = append(body, s.enc...)
		body = append(body, s.sealed[:]...)
	}
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint16(b, formatVersion)
	b = binary.BigEndian.AppendUint16(b, h.features())
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}

func (h *clearHeader) features() uint16 {
	if h.random {
		return featureRandom
	}
	return 0
}

// overhead is how much longer a frame's sealed part is than its entries.
func (h *clearHeader) overhead() uint32 {
	if h.random {
		return nonceSize + tagSize
	}
	return tagSize
}

// readHeader reads a header and checks its form and its signature by the key that it names itself.
func readHeader(r io.Reader) (*clearHeader, error) {
	var pre [preambleSize]byte
	if _, err := io.ReadFull(r, pre[:]); err != nil {
		return nil, notEnough(err)
	}
	if string(pre[:len(magic)]) != magic {
		return nil, invalid("this is no recording")
	}
	d := decoder{b: pre[len(magic):]}
	version, flags, size := d.uint16(), d.uint16(), d.uint32()
	switch {
	case version < formatVersion:
		return nil, invalid("format %d: %w", version, ErrOld)
	case version != formatVersion:
		return nil, invalid("format %d: %w", version, ErrVersion)
	case flags&^featureRandom != 0:
		return nil, invalid("feature flags %#x: %w", flags, ErrVersion)
	case size > uint32(maxBody):
		return nil, invalid("header of %d bytes, more than %d", size, maxBody)
	}
	text := make([]byte, preambleSize+int(size)+ed25519.SignatureSize)
	copy(text, pre[:])
	if _, err := io.ReadFull(r, text[preambleSize:]); err != nil {
		return nil, notEnough(err)
	}
	h := &clearHeader{random: flags&featureRandom != 0, bytes: text, hash: sha256.Sum256(text), signature: text[len(text)-ed25519.SignatureSize:]}
	signed := text[:len(text)-ed25519.SignatureSize]
	if err := h.parseBody(signed[preambleSize:]); err != nil {
		return nil, err
	}
	if !ed25519.Verify(h.signer, append([]byte(headerContext), signed...), h.signature) {
		return nil, invalid("the header's signature is wrong: it was changed after it was written")
	}
	return h, nil
}

// notEnough turns the end of the input into ErrCut and leaves other errors as they are.
func notEnough(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it ends inside its header: %w", ErrCut)
	}
	return err
}

func (h *clearHeader) parseBody(body []byte) error {
	d := decoder{b: body}
	h.session = string(d.take(uint64(d.uint8())))
	started := d.uint64()
	h.started = int64(started)
	h.signer = ed25519.PublicKey(d.take(ed25519.PublicKeySize))
	copy(h.commitment[:], d.take(uint64(len(h.commitment))))
	count := d.uint16()
	switch {
	case d.bad:
		return invalid("%w", d.end("header"))
	case !sessionForm.MatchString(h.session):
		return invalid("header has no proper session id")
	case started > math.MaxInt64:
		return invalid("header has a start before 1970")
	case count == 0 || count > MaxRecipients:
		return invalid("header has %d recipients, not 1 to %d", count, MaxRecipients)
	}
	if err := h.parseSlots(&d, int(count)); err != nil {
		return err
	}
	if err := d.end("header"); err != nil {
		return invalid("%w", err)
	}
	return nil
}

func (h *clearHeader) parseSlots(d *decoder, count int) error {
	seen := map[keyID]bool{}
	for range count {
		s := slot{kem: KEM(d.uint16())}
		form, ok := s.kem.form()
		if !ok && !d.bad {
			return invalid("recipient of %s: %w", s.kem, ErrVersion)
		}
		copy(s.id[:], d.take(uint64(len(s.id))))
		s.enc = d.take(uint64(form.encSize))
		copy(s.sealed[:], d.take(sealedKeySize))
		if d.bad {
			return nil // which the caller finds
		}
		if seen[s.id] {
			return invalid("recipient %s stands twice in the header", s.id)
		}
		seen[s.id] = true
		h.slots = append(h.slots, s)
	}
	return nil
}

// public is what a caller gets to see of the header before the first frame was opened.
func (h *clearHeader) public() Header {
	p := Header{Signer: h.signer, Hash: hex.EncodeToString(h.hash[:])}
	p.Session.ID, p.Session.Started = h.session, time.Unix(0, h.started).UTC()
	for _, s := range h.slots {
		p.Recipients = append(p.Recipients, s.id.String())
		p.Slots = append(p.Slots, Slot{ID: s.id.String(), KEM: s.kem})
	}
	return p
}
