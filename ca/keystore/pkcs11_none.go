//go:build !pkcs11 || !cgo

package keystore

import (
	"context"
	"errors"
)

func (p tokenPlace) none() error {
	return &Error{
		Store: p.name(), Cause: errors.New("this build has no PKCS#11"),
		Fix: "build it with: make build-pkcs11 (CGO_ENABLED=1 go build -tags pkcs11 ./cmd/sekishod)",
	}
}

func (p tokenPlace) open(context.Context, Options) (Key, error) { return nil, p.none() }

func (p tokenPlace) create(context.Context, Kind, Options) (Key, error) { return nil, p.none() }
