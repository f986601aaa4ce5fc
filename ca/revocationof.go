package ca

import (
	"strconv"

	"github.com/sekisho/sekisho"
)

// Of gives the revocation in force that a certificate falls under, by its line of the audit log; nil: none.
func (b *Revocations) Of(ev *sekisho.Event) *sekisho.Revocation {
	rec, serial := ev.Certificate, strconv.FormatInt(ev.Seq, 10)
	if rec == nil {
		return nil
	}
	things := []thing{
		{sekisho.RevokedCertificate, serial}, {sekisho.RevokedKeyID, rec.KeyID + "/" + serial},
		{sekisho.RevokedKey, rec.Key}, {sekisho.RevokedCA, rec.CA},
	}
	if id, err := sekisho.ParseKeyID(rec.KeyID + "/" + serial); err == nil && rec.Type == "user" {
		things = append(things, thing{sekisho.RevokedPerson, id.Subject}, thing{sekisho.RevokedSignIn, id.SignIn})
	}
	return b.find(things...)
}
