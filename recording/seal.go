package recording

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
)

const (
	keyContext        = "sekisho-recording-v2\x00"
	frameKeyInfo      = "sekisho-recording-v2 frames"
	commitmentKeyInfo = "sekisho-recording-v2 commitment"

	tagSize       = 16
	nonceSize     = 12
	frameHead     = 4 + 1 // length of what is sealed, flags
	frameOverhead = frameHead + nonceSize + tagSize
	maxPlain      = MaxFrame - frameOverhead

	flagLast  = 1 // the frame holds the end record, and a signature comes after it
	flagOpens = 2 // the frame opens a segment: no dictionary reaches over its beginning
	flagPress = 4 // the entries are compressed
)

// WrongKeyError says that a private key is for other recordings.
type WrongKeyError struct {
	// Have is the ID of the key that was tried, Want are those that open the recording.
	Have string
	Want []string
}

func (e *WrongKeyError) Error() string {
	return fmt.Sprintf("key %s does not open this recording; it was sealed to %s", e.Have, strings.Join(e.Want, ", "))
}

// keyInfo is HPKE's info: it binds a sealed file key to format, kind of key and session.
func keyInfo(kem KEM, session string) []byte {
	b := binary.BigEndian.AppendUint16([]byte(keyContext), uint16(kem))
	return append(b, session...)
}

// sealKey makes a file key, fills h's slots and commitment, and returns the AEAD for the frames.
func (h *clearHeader) sealKey(recipients []Recipient) (cipher.AEAD, error) {
	var key [32]byte
	rand.Read(key[:]) // never fails (Go 1.24)
	for _, to := range recipients {
		s, err := sealSlot(to, key[:], h.session)
		if err != nil {
			return nil, fmt.Errorf("seal file key to %s: %w", to.ID(), err)
		}
		h.slots = append(h.slots, s)
	}
	aead, commitment, err := deriveKeys(key[:], h.random)
	h.commitment = commitment
	return aead, err
}

func sealSlot(to Recipient, key []byte, session string) (slot, error) {
	s := slot{kem: to.kem, id: to.id}
	enc, sender, err := hpke.NewSender(to.public, hpke.HKDFSHA256(), hpke.AES256GCM(), keyInfo(to.kem, session))
	if err != nil {
		return s, err
	}
	sealed, err := sender.Seal(nil, key)
	if err != nil {
		return s, err
	}
	if form, _ := to.kem.form(); len(enc) != form.encSize || len(sealed) != sealedKeySize {
		return s, errors.New("unexpected size")
	}
	s.enc = enc
	copy(s.sealed[:], sealed)
	return s, nil
}

// openKey finds the slot for k and opens it.
func (h *clearHeader) openKey(k *PrivateKey) (cipher.AEAD, error) {
	i := slices.IndexFunc(h.slots, func(s slot) bool { return s.id == k.to.id })
	if i < 0 {
		return nil, &WrongKeyError{Have: k.ID(), Want: h.public().Recipients}
	}
	s := &h.slots[i]
	if s.kem != k.to.kem {
		return nil, invalid("open file key with %s: the header takes it for a key of %s", k.ID(), s.kem)
	}
	recipient, err := hpke.NewRecipient(s.enc, k.private, hpke.HKDFSHA256(), hpke.AES256GCM(), keyInfo(s.kem, h.session))
	var failed exchangeError
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("open file key with %s: %w", k.ID(), failed.error)
	}
	if err != nil {
		return nil, invalid("open file key with %s: %w", k.ID(), err)
	}
	key, err := recipient.Open(nil, s.sealed[:])
	if err != nil {
		return nil, invalid("open file key with %s: %w", k.ID(), err)
	}
	aead, commitment, err := deriveKeys(key, h.random)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(commitment[:], h.commitment[:]) != 1 {
		return nil, invalid("open file key with %s: it is not the key the header commits to", k.ID())
	}
	return aead, nil
}

// deriveKeys gives the AEAD for frames, and the value in the header that commits to the key: AES-GCM alone would
// let a dishonest writer make one file that two recipients read differently.
func deriveKeys(key []byte, random bool) (aead cipher.AEAD, commitment [32]byte, err error) {
	frames, err := hkdf.Key(sha256.New, key, nil, frameKeyInfo, 32)
	if err != nil {
		return nil, commitment, fmt.Errorf("derive frame key: %w", err)
	}
	commit, err := hkdf.Key(sha256.New, key, nil, commitmentKeyInfo, len(commitment))
	if err != nil {
		return nil, commitment, fmt.Errorf("derive commitment: %w", err)
	}
	block, err := aes.NewCipher(frames)
	if err != nil {
		return nil, commitment, fmt.Errorf("derive frame key: %w", err)
	}
	if random {
		aead, err = cipher.NewGCMWithRandomNonce(block)
	} else {
		aead, err = cipher.NewGCM(block)
	}
	return aead, [32]byte(commit), err
}

// chain is the running SHA-256 over header and frames, with what the sealing of the next frame is bound to.
type chain struct {
	sum  hash.Hash
	head [32]byte // hash of the header: h(0)
	now  [32]byte // h(seq)
	seq  uint64   // number of frames so far
	// nonce and data are kept here because they would escape to the heap for every frame.
	nonce [12]byte
	data  [32 + 8 + 1 + 32]byte
}

func newChain(head [32]byte) *chain { return &chain{sum: sha256.New(), head: head, now: head} }

// bind gives nonce and additional data of the next frame. Both are valid until the next call. A random nonce is nobody's to
// give.
func (c *chain) bind(flags byte, random bool) (nonce, data []byte) {
	binary.BigEndian.PutUint64(c.nonce[4:], c.seq)
	copy(c.data[:], c.head[:])
	binary.BigEndian.PutUint64(c.data[32:], c.seq)
	c.data[40] = flags
	copy(c.data[41:], c.now[:])
	if random {
		return nil, c.data[:]
	}
	return c.nonce[:], c.data[:]
}

// add takes a whole frame, as it stands in the file, into the chain.
func (c *chain) add(frame []byte) error {
	if c.seq >= maxFrames {
		return errors.New("recording has too many frames")
	}
	c.sum.Reset()
	c.sum.Write(c.now[:])
	c.sum.Write(frame)
	c.sum.Sum(c.now[:0])
	c.seq++
	return nil
}
