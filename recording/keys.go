package recording

import (
	"bytes"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Words of the text forms: one line of "TYPE KEM BASE64" or "TYPE KEM BASE64 LABEL".
const (
	recipientType = "sekisho-recipient-v1"
	privateType   = "sekisho-auditor-key-v1"
	kemName       = "mlkem768-x25519"
	maxKeyLine    = 4 << 10
)

var labelForm = regexp.MustCompile(`^[A-Za-z0-9@._+:/=-]{1,64}$`)

// keyID is the first bytes of the SHA-256 of a public key; it tells keys apart and proves nothing.
type keyID [8]byte

func (id keyID) String() string { return "rk_" + hex.EncodeToString(id[:]) }

// Recipient is the public half of an auditor's key: what recordings are sealed to.
type Recipient struct {
	public hpke.PublicKey
	id     keyID
	label  string
}

// PrivateKey opens recordings. It never leaves its owner; the house has no copy.
type PrivateKey struct {
	private hpke.PrivateKey
	to      Recipient
}

// CheckLabel reports why a label cannot stand in a key's line.
func CheckLabel(label string) error {
	if label != "" && !labelForm.MatchString(label) {
		return fmt.Errorf("label %.70q: want at most 64 of the characters A-Z a-z 0-9 @ . _ + : / = -", label)
	}
	return nil
}

// GenerateKey makes a key pair. The label is for people and may be empty.
func GenerateKey(label string) (*PrivateKey, error) {
	if err := CheckLabel(label); err != nil {
		return nil, err
	}
	private, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return &PrivateKey{private: private, to: newRecipient(private.PublicKey(), label)}, nil
}

func newRecipient(public hpke.PublicKey, label string) Recipient {
	sum := sha256.Sum256(public.Bytes())
	return Recipient{public: public, id: keyID(sum[:len(keyID{})]), label: label}
}

// Recipient is the public half.
func (k *PrivateKey) Recipient() Recipient { return k.to }

// ID names the key pair: "rk_" and 16 hex digits.
func (k *PrivateKey) ID() string { return k.to.ID() }

// Encode gives the private key as one line with its newline. It is the secret itself.
func (k *PrivateKey) Encode() ([]byte, error) {
	raw, err := k.private.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return []byte(keyLine(privateType, raw, k.to.label) + "\n"), nil
}

// String names the key without showing it, so that no log ever holds one.
func (k *PrivateKey) String() string { return "private key " + k.ID() }

// GoString is the same for %#v.
func (k *PrivateKey) GoString() string { return k.String() }

// ID names the key pair: "rk_" and 16 hex digits.
func (r Recipient) ID() string { return r.id.String() }

// Label is the name that the key's maker gave it.
func (r Recipient) Label() string { return r.label }

// String is the recipient's line, without a newline.
func (r Recipient) String() string {
	if r.public == nil {
		return ""
	}
	return keyLine(recipientType, r.public.Bytes(), r.label)
}

// ParsePrivateKey reads what Encode gave. The newline may be missing.
func ParsePrivateKey(text []byte) (*PrivateKey, error) {
	line, _ := bytes.CutSuffix(text, []byte("\n"))
	if bytes.HasPrefix(line, []byte(recipientType+" ")) {
		return nil, errors.New("this is a recipient line, the public half; the private key is in the file without .pub")
	}
	raw, label, err := cutKeyLine(privateType, string(line))
	if err != nil {
		return nil, fmt.Errorf("parse private key: %w", err)
	}
	private, err := hpke.MLKEM768X25519().NewPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("parse private key: %w", err)
	}
	return &PrivateKey{private: private, to: newRecipient(private.PublicKey(), label)}, nil
}

// ParseRecipient reads a recipient's line. The newline may be there.
func ParseRecipient(line string) (Recipient, error) {
	line, _ = strings.CutSuffix(line, "\n")
	if strings.HasPrefix(line, privateType+" ") {
		return Recipient{}, errors.New("this is a private key; the recipient line is in the file with .pub")
	}
	raw, label, err := cutKeyLine(recipientType, line)
	if err != nil {
		return Recipient{}, fmt.Errorf("parse recipient: %w", err)
	}
	public, err := hpke.MLKEM768X25519().NewPublicKey(raw)
	if err != nil {
		return Recipient{}, fmt.Errorf("parse recipient: %w", err)
	}
	return newRecipient(public, label), nil
}

func keyLine(kind string, raw []byte, label string) string {
	line := kind + " " + kemName + " " + base64.StdEncoding.EncodeToString(raw)
	if label != "" {
		line += " " + label
	}
	return line
}

// cutKeyLine takes a line apart. Its errors never repeat the line: it may be a secret.
func cutKeyLine(kind, line string) (raw []byte, label string, err error) {
	if len(line) > maxKeyLine {
		return nil, "", fmt.Errorf("line of %d bytes, more than %d", len(line), maxKeyLine)
	}
	fields := strings.Split(line, " ")
	if fields[0] != kind {
		return nil, "", fmt.Errorf("line does not begin with %s", kind)
	}
	if len(fields) != 3 && len(fields) != 4 {
		return nil, "", fmt.Errorf("line has %d fields, not %s, %s, the key and a label", len(fields), kind, kemName)
	}
	if fields[1] != kemName {
		return nil, "", fmt.Errorf("key is not of kind %s: %w", kemName, ErrVersion)
	}
	raw, err = base64.StdEncoding.Strict().DecodeString(fields[2])
	if err != nil || base64.StdEncoding.EncodeToString(raw) != fields[2] {
		return nil, "", errors.New("key is not base64")
	}
	if len(fields) == 4 {
		if label = fields[3]; !labelForm.MatchString(label) {
			return nil, "", errors.New("label has characters that do not belong there")
		}
	}
	return raw, label, nil
}
