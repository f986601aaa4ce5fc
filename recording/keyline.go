package recording

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Words of the text forms: one line of "TYPE KEM BASE64" or "TYPE KEM BASE64 LABEL". That of a locked key is longer
// (locked.go).
const (
	recipientType = "sekisho-recipient-v1"
	privateType   = "sekisho-auditor-key-v1"
	lockedType    = "sekisho-locked-key-v1"
	maxKeyLine    = 4 << 10
)

// ErrLocked is what ParsePrivateKey wraps for a key under a passphrase: ParseLockedKey reads it.
var ErrLocked = errors.New("the private key is under a passphrase")

// Encode gives the private key as one line with its newline. It is the secret itself.
func (k *PrivateKey) Encode() ([]byte, error) {
	raw, err := k.private.Bytes()
	if err != nil {
		return nil, errors.New("encode private key: it is kept elsewhere")
	}
	return []byte(keyLine(privateType, k.to.kem, raw, k.to.label) + "\n"), nil
}

// ParsePrivateKey reads what Encode gave. The newline may be missing. For what Encrypt gave the error wraps ErrLocked.
func ParsePrivateKey(text []byte) (*PrivateKey, error) {
	line, _ := bytes.CutSuffix(text, []byte("\n"))
	switch {
	case bytes.HasPrefix(line, []byte(recipientType+" ")):
		return nil, errors.New("this is a recipient line, the public half; the private key is in the file without .pub")
	case bytes.HasPrefix(line, []byte(lockedType+" ")):
		return nil, fmt.Errorf("parse private key: %w", ErrLocked)
	}
	fields, label, err := splitKeyLine(privateType, string(line), 3)
	if err != nil {
		return nil, fmt.Errorf("parse private key: %w", err)
	}
	kem, form, err := parseForm(fields[1])
	if err != nil {
		return nil, fmt.Errorf("parse private key: %w", err)
	}
	raw, err := decodeField("key", fields[2], form.private, form.private)
	if err != nil {
		return nil, fmt.Errorf("parse private key: %w", err)
	}
	return newPrivateKey(kem, raw, label)
}

func newPrivateKey(kem KEM, raw []byte, label string) (*PrivateKey, error) {
	suite, err := kem.hpke()
	if err != nil {
		return nil, fmt.Errorf("parse private key: %w", err)
	}
	private, err := suite.NewPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("parse private key: it is no %s key", kem)
	}
	return &PrivateKey{private: private, to: newRecipient(kem, private.PublicKey(), label)}, nil
}

// ParseRecipient reads a recipient's line. The newline may be there.
func ParseRecipient(line string) (Recipient, error) {
	line, _ = strings.CutSuffix(line, "\n")
	if strings.HasPrefix(line, privateType+" ") || strings.HasPrefix(line, lockedType+" ") {
		return Recipient{}, errors.New("this is a private key; the recipient line is in the file with .pub")
	}
	fields, label, err := splitKeyLine(recipientType, line, 3)
	if err != nil {
		return Recipient{}, fmt.Errorf("parse recipient: %w", err)
	}
	kem, form, err := parseForm(fields[1])
	if err != nil {
		return Recipient{}, fmt.Errorf("parse recipient: %w", err)
	}
	raw, err := decodeField("key", fields[2], form.public, form.public)
	if err != nil {
		return Recipient{}, fmt.Errorf("parse recipient: %w", err)
	}
	suite, err := kem.hpke()
	if err != nil {
		return Recipient{}, fmt.Errorf("parse recipient: %w", err)
	}
	public, err := suite.NewPublicKey(raw)
	if err != nil {
		return Recipient{}, fmt.Errorf("parse recipient: it is no %s key", kem)
	}
	return newRecipient(kem, public, label), nil
}

func keyLine(kind string, kem KEM, raw []byte, label string) string {
	return withLabel(kind+" "+kem.String()+" "+base64.StdEncoding.EncodeToString(raw), label)
}

func withLabel(line, label string) string {
	if label != "" {
		line += " " + label
	}
	return line
}

// splitKeyLine takes a line apart into n fields and a label. Its errors never repeat the line: it may be a secret.
func splitKeyLine(kind, line string, n int) (fields []string, label string, err error) {
	if len(line) > maxKeyLine {
		return nil, "", fmt.Errorf("line of %d bytes, more than %d", len(line), maxKeyLine)
	}
	fields = strings.Split(line, " ")
	if fields[0] != kind {
		return nil, "", fmt.Errorf("line does not begin with %s", kind)
	}
	switch len(fields) {
	case n:
	case n + 1:
		if label = fields[n]; !labelForm.MatchString(label) {
			return nil, "", errors.New("label has characters that do not belong there")
		}
	default:
		return nil, "", fmt.Errorf("line has %d fields, not %d and a label", len(fields), n)
	}
	return fields, label, nil
}

func parseForm(name string) (KEM, kemForm, error) {
	kem, err := ParseKEM(name)
	if err != nil { // the name is not repeated: it may be the secret, in the wrong place
		return 0, kemForm{}, fmt.Errorf("key is of no kind that is known here: %w", ErrVersion)
	}
	form, _ := kem.form()
	return kem, form, nil
}

// decodeField reads the one base64 that encodes to field again, of least to most bytes.
func decodeField(what, field string, least, most int) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(field)
	if err != nil || base64.StdEncoding.EncodeToString(raw) != field {
		return nil, fmt.Errorf("%s is not base64", what)
	}
	if len(raw) < least || len(raw) > most {
		return nil, fmt.Errorf("%s has %d bytes, not %d", what, len(raw), least)
	}
	return raw, nil
}
