package recording

import (
	"bytes"
	"crypto"
	"crypto/hpke"
	"encoding/binary"
	"testing"
)

// What tests need to see of the inside.

// Reencode parses a header and encodes again what it parsed.
func Reencode(file []byte) (parsed, encoded []byte, err error) {
	h, err := readHeader(bytes.NewReader(file))
	if err != nil {
		return nil, nil, err
	}
	return h.bytes, append(h.appendUnsigned(nil), h.signature...), nil
}

// ReencodeEntry takes one entry off b and encodes it again.
func ReencodeEntry(b []byte) (parsed, encoded []byte, err error) {
	e, rest, err := cutEntry(b, &pace{})
	if err != nil {
		return nil, nil, err
	}
	encoded = make([]byte, entryHeader+len(e.Data))
	n := putEntry(encoded, e, &pace{})
	return b[:len(b)-len(rest)], encoded[:n], nil
}

// PutRaw puts bytes into the current frame that need not be entries.
func PutRaw(w *Writer, b []byte) {
	if w.buf == nil {
		w.buf = frames.Get().(*[MaxFrame]byte)
	}
	w.used += copy(w.buf[frameHead+w.used:maxPlain], b)
}

// CloseRaw closes the file with a properly signed last frame of what is pending.
func CloseRaw(w *Writer) error {
	frame, err := w.seal(flagLast)
	if err != nil {
		return err
	}
	signature, err := w.signer.Sign(nil, endMessage(w.chain), crypto.Hash(0))
	if err != nil {
		return err
	}
	return w.write(append(frame, signature...))
}

// EncryptQuickly is Encrypt with as few iterations as can be.
func EncryptQuickly(k *PrivateKey, passphrase []byte) ([]byte, error) {
	return k.encrypt(passphrase, minIterations)
}

// CheckSizes compares the table of KEMs with what they make.
func CheckSizes(t *testing.T) {
	for _, f := range kems {
		k, err := GenerateKey(f.kem, "")
		if err != nil {
			t.Fatal(err)
		}
		private, _ := k.private.Bytes()
		enc, _, err := hpke.NewSender(k.to.public, hpke.HKDFSHA256(), hpke.AES256GCM(), nil)
		if err != nil || len(k.to.public.Bytes()) != f.public || len(private) != f.private || len(enc) != f.encSize || f.encSize > maxEnc {
			t.Errorf("%s: public %d, private %d, enc %d bytes, %v", f.kem, len(k.to.public.Bytes()), len(private), len(enc), err)
		}
		if k.private.KEM().ID() != uint16(f.kem) {
			t.Errorf("%s is HPKE's %#x", f.kem, k.private.KEM().ID())
		}
	}
}

// PressRaw writes a frame that says it is compressed and holds b, which need not be.
func PressRaw(w *Writer, b []byte) error {
	PutRaw(w, b)
	flags := byte(flagPress)
	if w.segment.Frames == 0 {
		flags |= flagOpens
	}
	nonce, data := w.chain.bind(flags, w.random)
	plain := w.buf[frameHead : frameHead+w.used]
	sealed := w.aead.Seal(plain[:0], nonce, plain, data)
	binary.BigEndian.PutUint32(w.buf[:], uint32(len(sealed)))
	w.buf[4], w.used = flags, 0
	frame := w.buf[:frameHead+len(sealed)]
	if err := w.chain.add(frame); err != nil {
		return err
	}
	return w.write(frame)
}

// Dictionary is how much of the past a writer keeps.
func Dictionary(w *Writer) int { return cap(w.past.b) }

// Shrink compresses as the writer does; nil when that gains nothing.
func Shrink(plain, dictionary []byte) []byte {
	p := presses.Get().(*press)
	defer presses.Put(p)
	if !p.shrink(plain, dictionary) {
		return nil
	}
	return append([]byte{}, p.frame[frameHead:frameHead+p.used]...)
}
