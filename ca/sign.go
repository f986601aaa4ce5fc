package ca

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// order is what an issuer composed: everything the certificate will say, except its serial.
type order struct {
	// ca is the name of the CA that signs.
	ca         string
	certType   uint32
	id         KeyID
	key        ssh.PublicKey
	principals []string
	ttl        time.Duration
	maxTTL     time.Duration
	extensions []string
	// event carries who, where and from where; the certificate's record is added to it.
	event *sekisho.Event
	// before are events that become durable together with the certificate's own, and in front of it.
	before []*sekisho.Event
}

// sign takes an order through note, serial and signature.
func (a *Authority) sign(ctx context.Context, o *order) (*ssh.Certificate, error) {
	key, err := a.checkKey(o.key)
	if err != nil {
		return nil, err
	}
	if o.ttl <= 0 {
		return nil, fmt.Errorf("certificate for %s: TTL is %v: want more than nothing", o.id.Subject, o.ttl)
	}
	if len(o.principals) == 0 {
		// OpenSSH takes a certificate without principals as good for every name.
		return nil, fmt.Errorf("certificate for %s: no principals", o.id.Subject)
	}
	if n := len(o.id.Prefix()); n > sekisho.MaxKeyID-24 {
		return nil, fmt.Errorf("certificate for %.60s: key ID of %d bytes is too long", o.id.Subject, n)
	}
	by, err := a.issuing(o.ca)
	if err != nil {
		return nil, fmt.Errorf("certificate for %s: %w", o.id.Subject, err)
	}
	now := a.now()
	after, before := now.Add(-Skew), now.Add(min(o.ttl, o.maxTTL))
	cert := &ssh.Certificate{
		Key:             key,
		CertType:        o.certType,
		ValidPrincipals: slices.Clone(o.principals),
		ValidAfter:      uint64(after.Unix()),
		ValidBefore:     uint64(before.Unix()),
	}
	if len(o.extensions) > 0 {
		cert.Extensions = make(map[string]string, len(o.extensions))
		for _, e := range o.extensions {
			cert.Extensions[e] = ""
		}
	}

	ev := o.event
	ev.Kind = sekisho.EventCertificate
	ev.Certificate = o.record(cert, by.fingerprint)
	if err := a.refuse(o.id, ev.Certificate); err != nil {
		return nil, err
	}
	by.signs(cert.ValidBefore)
	if err := a.note(ctx, append(slices.Clone(o.before), ev)...); err != nil {
		return nil, fmt.Errorf("note certificate: %w", err)
	}
	if ev.Seq <= 0 || ev.Seq == math.MaxInt64 {
		return nil, fmt.Errorf("note certificate: the audit log gave it line %d, which is no serial", ev.Seq)
	}
	if err := a.refuse(o.id, ev.Certificate); err != nil {
		return nil, err
	}
	cert.Serial = uint64(ev.Seq)
	o.id.Serial = cert.Serial
	cert.KeyId = o.id.String()
	if err := cert.SignCert(rand.Reader, by.signer); err != nil {
		return nil, fmt.Errorf("sign certificate %d: %w", cert.Serial, err)
	}
	return cert, nil
}

func (o *order) record(cert *ssh.Certificate, ca string) *sekisho.CertificateRecord {
	kind := "user"
	if o.certType == ssh.HostCert {
		kind = "host"
	}
	return &sekisho.CertificateRecord{
		Issuer:      o.id.Issuer,
		Type:        kind,
		KeyID:       o.id.Prefix(),
		Key:         ssh.FingerprintSHA256(cert.Key),
		CA:          ca,
		Principals:  cert.ValidPrincipals,
		ValidAfter:  time.Unix(int64(cert.ValidAfter), 0).UTC(),
		ValidBefore: time.Unix(int64(cert.ValidBefore), 0).UTC(),
		Extensions:  o.extensions,
	}
}

// Matches reports why a certificate is not the one that its line of the audit log describes; nil when it is.
// The caller has verified the certificate's signature and read log[cert.Serial].
func Matches(cert *ssh.Certificate, ev *sekisho.Event) error {
	rec := ev.Certificate
	if ev.Kind != sekisho.EventCertificate || rec == nil {
		return fmt.Errorf("line %d is no certificate's", ev.Seq)
	}
	o := &order{certType: cert.CertType}
	id, err := ParseKeyID(cert.KeyId)
	if err != nil {
		return err
	}
	o.id = id
	for e, value := range cert.Extensions {
		o.extensions = append(o.extensions, e+value) // ours have no values
	}
	slices.Sort(o.extensions)
	got := o.record(cert, ssh.FingerprintSHA256(cert.SignatureKey))
	same := got.Issuer == rec.Issuer && got.Type == rec.Type && got.KeyID == rec.KeyID && got.Key == rec.Key && got.CA == rec.CA &&
		slices.Equal(got.Principals, rec.Principals) && slices.Equal(got.Extensions, rec.Extensions) &&
		got.ValidAfter.Equal(rec.ValidAfter) && got.ValidBefore.Equal(rec.ValidBefore)
	switch {
	case cert.Serial != uint64(ev.Seq) || id.Serial != cert.Serial:
		return fmt.Errorf("certificate has serial %d, its line is %d", cert.Serial, ev.Seq)
	case !same || len(rec.Options) > 0 || len(cert.CriticalOptions) > 0:
		return errors.New("certificate says something else than its line of the audit log")
	}
	return nil
}
