package ca

import "github.com/sekisho/sekisho"

// KeyID is what a certificate's Key ID says.
type KeyID = sekisho.KeyID

// ParseKeyID reads a Key ID (sekisho.ParseKeyID).
func ParseKeyID(s string) (KeyID, error) { return sekisho.ParseKeyID(s) }
