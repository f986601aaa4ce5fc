package keystore

import (
	"errors"
	"path/filepath"

	"github.com/sekisho/sekisho/pkcs11uri"
)

// tokenPlace is a PKCS#11 URI of one key.
type tokenPlace struct {
	uri pkcs11uri.URI
}

func readTokenPlace(rest string) (place, error) {
	u, err := pkcs11uri.Parse(pkcs11uri.Scheme + rest)
	switch {
	case err != nil:
		return nil, err
	case !filepath.IsAbs(u.ModulePath):
		return nil, errors.New("add ?module-path=/usr/lib/.../NAME.so, the whole path of the library that came with the token")
	case u.Object == "" && u.ID == "":
		return nil, errors.New("add object=LABEL or id=ID, which say which key on the token is meant")
	}
	return tokenPlace{u}, nil
}

// name is the URI without the ways to library and PIN.
func (p tokenPlace) name() string {
	u := p.uri
	u.ModulePath, u.PINSource = "", ""
	return u.String()
}
