package ca

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// SignNamespace is the namespace of SSHSIG signatures (PROTOCOL.sshsig): ssh-keygen -Y sign -n sekisho-sign.
	SignNamespace = "sekisho-sign"
	// ProofWindow is how far a proof's time may be off.
	ProofWindow = time.Minute

	maxSignature = 16 << 10 // bytes
	maxTaken     = 100_000  // proofs that are remembered
)

// Possession proves that whoever asks has the key that is to be certified: its signature over SignText.
type Possession struct {
	// Token is the SHA-256, in hexadecimal, of what the caller proved themselves with: the sign-in's or API token.
	Token string
	// Signature is an SSH signature blob (RFC 4253 6.6), or what ssh-keygen -Y sign writes.
	Signature []byte
	// Time is when it was made, in seconds since 1970.
	Time int64
}

// SignText is what the key signs: "sekisho-sign-v1", the token's SHA-256 in hexadecimal, the issuer and the time, a line each.
func SignText(token, issuer string, at int64) []byte {
	return []byte("sekisho-sign-v1\n" + token + "\n" + issuer + "\n" + strconv.FormatInt(at, 10) + "\n")
}

func (p *Possession) text(issuer string) []byte { return SignText(p.Token, issuer, p.Time) }

// check verifies the signature and its time. The errors are clauses for the person.
func (p *Possession) check(i *Issuer, key ssh.PublicKey, now time.Time) error {
	key, err := certifiable(key)
	if err != nil {
		return err
	}
	if off := now.Unix() - p.Time; off > int64(ProofWindow.Seconds()) || off < -int64(ProofWindow.Seconds()) {
		return fmt.Errorf("it was made at another time than now, %s", time.Unix(p.Time, 0).UTC().Format(time.RFC3339))
	}
	signature, signed, err := readSignature(p.Signature, key, p.text(i.Name))
	if err != nil {
		return err
	}
	if signature.Format == ssh.KeyAlgoRSA {
		return errors.New("it is by SHA-1")
	}
	if err := key.Verify(signed, signature); err != nil {
		return errors.New("the signature is not by this key over the text that is asked for")
	}
	if i.verified && (len(signature.Rest) == 0 || signature.Rest[0]&userVerified == 0) {
		return errors.New("the security key was used without PIN or fingerprint, and its issuer asks for that")
	}
	return nil
}

// userVerified is the flag of a FIDO signature that says so (CTAP2 authenticator data, PROTOCOL.u2f).
const userVerified = 0x04

// readSignature reads either form of a signature, and gives what was signed.
func readSignature(data []byte, key ssh.PublicKey, text []byte) (*ssh.Signature, []byte, error) {
	if len(data) > maxSignature {
		return nil, nil, fmt.Errorf("it has %d bytes", len(data))
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN ")) {
		return readSSHSIG(bytes.TrimSpace(data), key, text)
	}
	signature := new(ssh.Signature)
	if err := ssh.Unmarshal(data, signature); err != nil {
		return nil, nil, errors.New("it is no SSH signature")
	}
	return signature, text, nil
}

// sshsig is the blob of PROTOCOL.sshsig after its magic.
type sshsig struct {
	Version                       uint32
	Key                           []byte
	Namespace, Reserved, HashName string
	Signature                     []byte
}

const sshsigMagic = "SSHSIG"

func readSSHSIG(data []byte, key ssh.PublicKey, text []byte) (*ssh.Signature, []byte, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "SSH SIGNATURE" || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, nil, errors.New("it is no SSH signature as ssh-keygen -Y sign writes it")
	}
	blob, ok := bytes.CutPrefix(block.Bytes, []byte(sshsigMagic))
	var s sshsig
	if !ok || ssh.Unmarshal(blob, &s) != nil || s.Version != 1 {
		return nil, nil, errors.New("it is no SSH signature of version 1")
	}
	if s.Namespace != SignNamespace {
		return nil, nil, fmt.Errorf("its namespace is %.40q, not %s", s.Namespace, SignNamespace)
	}
	if !bytes.Equal(s.Key, key.Marshal()) {
		return nil, nil, errors.New("it is by another key")
	}
	var sum []byte
	switch s.HashName {
	case "sha256":
		h := sha256.Sum256(text)
		sum = h[:]
	case "sha512":
		h := sha512.Sum512(text)
		sum = h[:]
	default:
		return nil, nil, fmt.Errorf("its hash is %.20q", s.HashName)
	}
	signature := new(ssh.Signature)
	if err := ssh.Unmarshal(s.Signature, signature); err != nil {
		return nil, nil, errors.New("there is no signature in it")
	}
	signed := ssh.Marshal(struct {
		Namespace, Reserved, HashName string
		Sum                           []byte
	}{s.Namespace, s.Reserved, s.HashName, sum})
	return signature, append([]byte(sshsigMagic), signed...), nil
}

// ErrProofUsed says that a proof was used before. The next one can be made a second later.
var ErrProofUsed = errors.New("it was used already, and a new one cannot be made within the same second")

// taken remembers proofs, so that each is taken once. It goes by what was signed, for one text has many signatures.
type taken struct {
	mu    sync.Mutex
	until map[[32]byte]int64 // by text and key: the proof's time
	swept time.Time
	// forgotten is the newest time of a proof that is not remembered any more, or when remembering began: a clock that is
	// set back opens nothing.
	forgotten int64
}

func newTaken(now time.Time) *taken {
	return &taken{until: make(map[[32]byte]int64), swept: now, forgotten: now.Unix() - 1}
}

func (t *taken) take(text []byte, key ssh.PublicKey, at int64, now time.Time) error {
	id := sha256.Sum256(append(key.Marshal(), text...))
	t.mu.Lock()
	defer t.mu.Unlock()
	if off := now.Sub(t.swept); off > ProofWindow/2 || off < 0 {
		t.sweep(now)
	}
	if _, used := t.until[id]; used {
		return ErrProofUsed
	}
	if at <= t.forgotten {
		return errors.New("it is from before this service started, or its clock was set back")
	}
	if len(t.until) >= maxTaken {
		return errors.New("too many proofs come in at once")
	}
	t.until[id] = at
	return nil
}

// sweep forgets what is too old to be accepted.
func (t *taken) sweep(now time.Time) {
	t.swept = now
	for id, at := range t.until {
		if now.Unix()-at > int64(ProofWindow.Seconds()) {
			delete(t.until, id)
			t.forgotten = max(t.forgotten, at)
		}
	}
}
