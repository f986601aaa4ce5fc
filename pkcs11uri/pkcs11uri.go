// Package pkcs11uri reads and writes PKCS#11 URIs (RFC 7512): which token, which key on it, which library speaks to it and
// which file holds the PIN. It takes less than the RFC allows, because what is left out of a URI matches more than was
// meant, and a PIN in a URI would be seen by everybody who lists processes. It opens nothing.
package pkcs11uri

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// Scheme is what a PKCS#11 URI begins with.
	Scheme = "pkcs11:"
	// MaxLength bounds a PKCS#11 URI, in bytes.
	MaxLength = 4 << 10
)

// URI is a PKCS#11 URI (RFC 7512): which token, which key on it, and how to get there. Attributes that are empty
// match everything.
type URI struct {
	// Token, Manufacturer, Model and Serial choose the token.
	Token, Manufacturer, Model, Serial string
	// Object and ID choose the key: CKA_LABEL and CKA_ID.
	Object, ID string
	// ModulePath is the PKCS#11 library, PINSource the file that holds the PIN.
	ModulePath, PINSource string
}

// pathAttributes and queryAttributes are those of RFC 7512 (2.3, 2.4) that are understood. One that is not
// understood is refused: leaving it out would match more than was meant.
func (u *URI) pathAttributes() []attribute {
	return []attribute{
		{"token", &u.Token}, {"manufacturer", &u.Manufacturer}, {"model", &u.Model}, {"serial", &u.Serial},
		{"object", &u.Object}, {"id", &u.ID},
	}
}

func (u *URI) queryAttributes() []attribute {
	return []attribute{{"module-path", &u.ModulePath}, {"pin-source", &u.PINSource}}
}

type attribute struct {
	name  string
	value *string
}

var errPINValue = errors.New("pin-value would show the PIN to everybody who lists processes or reads the shell's history: " +
	"leave it out to be asked, or use pin-source=file:FILE")

// Parse reads a PKCS#11 URI. Its errors never repeat a pin-value.
func Parse(text string) (URI, error) {
	var u URI
	rest, ok := strings.CutPrefix(text, Scheme)
	if !ok || len(text) > MaxLength {
		return u, fmt.Errorf("want %s and at most %d bytes", Scheme, MaxLength)
	}
	path, query, _ := strings.Cut(rest, "?")
	if err := readAttributes(path, ";", u.pathAttributes()); err != nil {
		return URI{}, err
	}
	if err := readAttributes(query, "&", u.queryAttributes()); err != nil {
		return URI{}, err
	}
	return u, u.check()
}

func readAttributes(text, separator string, known []attribute) error {
	if text == "" {
		return nil
	}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, separator) {
		name, escaped, ok := strings.Cut(part, "=")
		switch {
		case name == "pin-value":
			return errPINValue
		case !ok || seen[name]:
			return fmt.Errorf("attribute %.40q: want each once, as name=value", name)
		case name == "type" && escaped == "private": // all that is ever looked for
			continue
		}
		seen[name] = true
		value, err := url.PathUnescape(escaped)
		if err != nil {
			return fmt.Errorf("attribute %.40q: its value is not percent-encoded", name)
		}
		if err := set(known, name, value); err != nil {
			return err
		}
	}
	return nil
}

func set(known []attribute, name, value string) error {
	for _, a := range known {
		if a.name != name {
			continue
		}
		if name != "id" && !printable(value) {
			return fmt.Errorf("attribute %s: its value has characters that cannot be shown", name)
		}
		*a.value = value
		return nil
	}
	return fmt.Errorf("attribute %.40q is not known here", name)
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// check finishes what the syntax cannot say. A pin-source is a file: a URI of the scheme file or a path.
func (u *URI) check() error {
	if u.PINSource == "" {
		return nil
	}
	path, isFile := strings.CutPrefix(u.PINSource, "file:")
	if isFile && strings.HasPrefix(path, "//") { // file://HOST/PATH, of which only this host is meant
		path = strings.TrimPrefix(strings.TrimPrefix(path, "//"), "localhost")
	}
	if !isFile && (strings.Contains(path, ":") || strings.HasPrefix(path, "|")) || path == "" || path == "-" {
		return errors.New("pin-source: want a file, such as file:/home/me/pin")
	}
	u.PINSource = path
	return nil
}

// String is the URI again, in one fixed order.
func (u URI) String() string {
	text := Scheme + writeAttributes(u.pathAttributes(), ";")
	source := u.PINSource
	if source != "" {
		source = "file:" + source
	}
	u.PINSource = source
	if query := writeAttributes(u.queryAttributes(), "&"); query != "" {
		text += "?" + query
	}
	return text
}

func writeAttributes(all []attribute, separator string) string {
	var parts []string
	for _, a := range all {
		if *a.value != "" {
			parts = append(parts, a.name+"="+percent(*a.value))
		}
	}
	return strings.Join(parts, separator)
}

// percent encodes every byte but RFC 3986's unreserved ones, "/" and ":".
func percent(value string) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/:", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
