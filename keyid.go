package sekisho

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxKeyID bounds a Key ID; sshd writes it into one line of its log.
const MaxKeyID = 2048

// KeyID is what a certificate's Key ID says, so that a line in a server's own log leads back to the person, the
// sign-in and the line of the audit log. As text: SUBJECT/ISSUER/SIGNIN/REQUEST/SERIAL, one line without spaces,
// "-" for what is absent, every byte outside [A-Za-z0-9@._+=:-] as %XX.
type KeyID struct {
	// Subject is the person, or the host's name.
	Subject string
	// Issuer is the way it was asked for: "people", "gateways", "hosts", or one that the configuration adds.
	Issuer string
	SignIn string
	// Request is what it was made for: the target token's ID for people, the session's for gateways.
	Request string
	Serial  uint64
}

// String is the Key ID as the certificate holds it.
func (k KeyID) String() string { return k.Prefix() + "/" + strconv.FormatUint(k.Serial, 10) }

// Prefix is all but the serial, which nobody knows before the line is in the audit log.
func (k KeyID) Prefix() string {
	var b strings.Builder
	for i, field := range []string{k.Subject, k.Issuer, k.SignIn, k.Request} {
		if i > 0 {
			b.WriteByte('/')
		}
		escapeField(&b, field)
	}
	return b.String()
}

// ParseKeyID reads a Key ID. Only what String writes is accepted: two texts never mean one Key ID.
func ParseKeyID(s string) (KeyID, error) {
	if len(s) > MaxKeyID {
		return KeyID{}, fmt.Errorf("key ID of %d bytes: want %d at most", len(s), MaxKeyID)
	}
	fields := strings.Split(s, "/")
	if len(fields) != 5 {
		return KeyID{}, fmt.Errorf("key ID %.200q: want SUBJECT/ISSUER/SIGNIN/REQUEST/SERIAL", s)
	}
	var k KeyID
	for i, to := range []*string{&k.Subject, &k.Issuer, &k.SignIn, &k.Request} {
		text, err := unescapeField(fields[i])
		if err != nil {
			return KeyID{}, fmt.Errorf("key ID %.200q: %w", s, err)
		}
		*to = text
	}
	serial, err := strconv.ParseUint(fields[4], 10, 64)
	if err != nil {
		return KeyID{}, fmt.Errorf("key ID %.200q: serial: %w", s, err)
	}
	k.Serial = serial
	if k.String() != s {
		return KeyID{}, fmt.Errorf("key ID %.200q: not in its one written form", s)
	}
	return k, nil
}

func plainInKeyID(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("@._+=:-", c) >= 0
}

func escapeField(b *strings.Builder, field string) {
	const hex = "0123456789ABCDEF"
	switch field {
	case "":
		b.WriteByte('-')
		return
	case "-": // a field that is a dash is not an absent one
		b.WriteString("%2D")
		return
	}
	for i := range len(field) {
		c := field[i]
		if plainInKeyID(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
}

func unescapeField(field string) (string, error) {
	if field == "-" {
		return "", nil
	}
	var b strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] != '%' {
			b.WriteByte(field[i])
			continue
		}
		if i+2 >= len(field) {
			return "", fmt.Errorf("escape is cut")
		}
		c, err := strconv.ParseUint(field[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("escape %q", field[i:i+3])
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), nil
}
