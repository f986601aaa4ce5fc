//go:build !pkcs11 || !cgo

package main

import (
	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/pkcs11uri"
)

// hasTokens says whether this build can load PKCS#11 libraries; without cgo none can.
const hasTokens = false

func noTokens() error {
	return &sekisho.Refusal{
		Sentence: "This build of sekisho has no PKCS#11.",
		Next:     "Build it with: CGO_ENABLED=1 go build -tags pkcs11 ./cmd/sekisho",
	}
}

func (a *app) openToken(pkcs11uri.URI) (tokenKey, error) { return nil, noTokens() }

func (a *app) makeOnToken(pkcs11uri.URI) (tokenKey, error) { return nil, noTokens() }
