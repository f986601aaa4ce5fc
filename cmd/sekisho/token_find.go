//go:build pkcs11 && cgo

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/pkcs11uri"
)

// pinFileVariable names a file with the PIN in it, where the URI does not.
const pinFileVariable = "SEKISHO_KEY_PIN_FILE"

// libraryPath is the PKCS#11 library to load. Only an absolute path is taken, so that nothing is loaded from wherever the
// person happens to stand.
func libraryPath(u pkcs11uri.URI) (string, error) {
	switch {
	case u.ModulePath == "":
		return "", &sekisho.Refusal{
			Sentence: "It is not said which PKCS#11 library speaks to the token.",
			Next:     "Add ?module-path=/usr/lib/.../NAME.so to the URI, or set " + modulePathVariable + ".",
		}
	case !filepath.IsAbs(u.ModulePath):
		return "", &sekisho.Refusal{
			Sentence: fmt.Sprintf("The PKCS#11 library %s is not named by an absolute path.", u.ModulePath), Next: "Write the whole path.",
		}
	}
	return u.ModulePath, nil
}

// pin finds the PIN of a token: in the file that the URI or the environment names, or by asking for it.
func (a *app) pin(u pkcs11uri.URI, token string) ([]byte, error) {
	path := u.PINSource
	if path == "" {
		path = os.Getenv(pinFileVariable)
	}
	if path != "" {
		return a.secretFile("PIN", path)
	}
	pin, err := a.ask(fmt.Sprintf("PIN of token %s", token))
	if errors.Is(err, errNoTerminal) {
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("The token %s wants its PIN, and there is no terminal to ask at.", token),
			Next:     "Put it into a file that only you can read, and name that by ?pin-source=file:FILE in the URI or by " + pinFileVariable + ".",
		}
	}
	if err == nil && len(pin) == 0 {
		return nil, &sekisho.Refusal{Sentence: "No PIN was given.", Next: "Try again."}
	}
	return pin, err
}
