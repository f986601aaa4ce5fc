package keystore

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The names of a URI's query by which passphrases are found.
const (
	passphraseFile       = "passphrase-file"
	passphraseEnv        = "passphrase-env"
	passphraseCredential = "passphrase-credential"
)

var errInURI = errors.New("a passphrase in the URI would be seen by everybody who reads the configuration or lists processes: " +
	"name where it is by passphrase-file=, passphrase-env= or passphrase-credential=")

// readQuery reads what follows a scheme: PLACE[?NAME=VALUE[&...]], percent-encoded (RFC 3986, 2.1). Names that are not
// known are refused, as is one that comes twice. Errors repeat no value.
func readQuery(rest string, names ...string) (where string, values map[string]string, err error) {
	where, query, _ := strings.Cut(rest, "?")
	if where, err = unescape(where); err != nil {
		return "", nil, fmt.Errorf("the place: %w", err)
	}
	values = map[string]string{}
	if query == "" {
		return where, values, nil
	}
	for part := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(part, "=")
		switch {
		case name == "passphrase" || name == "pin" || name == "pin-value" || name == "password":
			return "", nil, errInURI
		case len(names) == 0:
			return "", nil, errors.New("want nothing after a question mark")
		case !slices.Contains(names, name):
			return "", nil, fmt.Errorf("%s is not known here: want one of %s", shortName(name), strings.Join(names, ", "))
		case !ok || value == "" || values[name] != "":
			return "", nil, fmt.Errorf("%s: want it once, as %s=VALUE", name, name)
		}
		if values[name], err = unescape(value); err != nil {
			return "", nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return where, values, nil
}

// shortName shows a name that is not known, unless it looks as if it were more than a name.
func shortName(name string) string {
	plain := func(r rune) bool { return r >= 'a' && r <= 'z' || r == '-' }
	if name == "" || len(name) > 24 || strings.TrimFunc(name, plain) != "" {
		return "a name in the query"
	}
	return name
}

func unescape(text string) (string, error) {
	value, err := url.PathUnescape(text)
	if err != nil {
		return "", errors.New("it is not percent-encoded")
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", errors.New("it has characters that cannot be shown")
	}
	return value, nil
}
