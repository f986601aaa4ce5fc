package ca

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// order is what an issuer composed: everything the certificate will say, except its serial.
type order struct {
	issuer     *Issuer
	certType   uint32
	id         sekisho.KeyID
	key        ssh.PublicKey
	print      string // fingerprint of key, once that is checked
	templates  []template
	principals []string
	ttl        time.Duration
	until      time.Time // when what it rests on ends; zero: never
	extensions []string  // sorted, as name or name=value
	options    []string  // the same of critical options
	// values are those of templates that do not come from id.
	values map[string]string
	// address is where whoever asks comes from. unseen says that whoever checks the certificate does not see that address,
	// because they are reached through a connector.
	address netip.Addr
	unseen  bool
	// signed, command and sources are what is asked of a configured issuer.
	signed           *Possession
	command, sources string
	// event carries who, where and from where; the certificate's record is added to it.
	event *sekisho.Event
	// before are events that become durable together with the certificate's own, and in front of it.
	before []*sekisho.Event
}

// sign takes an order through note, serial and signature.
func (a *Authority) sign(ctx context.Context, o *order) (*ssh.Certificate, error) {
	if n := len(o.id.Prefix()); n > sekisho.MaxKeyID-24 {
		return nil, fmt.Errorf("certificate for %.60s: key ID of %d bytes is too long", o.id.Subject, n)
	}
	if err := a.check(ctx, o.issuer, o); err != nil {
		return nil, err
	}
	by, err := a.issuing(o.issuer.CA)
	if err != nil {
		return nil, fmt.Errorf("certificate for %s: %w", o.id.Subject, err)
	}
	now := a.now()
	after, before := now.Add(-Skew), now.Add(o.ttl)
	cert := &ssh.Certificate{
		Key:             o.key,
		CertType:        o.certType,
		ValidPrincipals: slices.Clone(o.principals),
		ValidAfter:      uint64(after.Unix()),
		ValidBefore:     uint64(before.Unix()),
	}
	cert.Extensions, cert.CriticalOptions = tuples(o.extensions), tuples(o.options)

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
		Options:     o.options,
	}
}

// tuples are extensions or critical options as a certificate has them.
func tuples(list []string) map[string]string {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]string, len(list))
	for _, e := range list {
		name, value, _ := strings.Cut(e, "=")
		m[name] = value
	}
	return m
}
