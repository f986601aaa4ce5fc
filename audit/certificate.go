package audit

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// CheckCertificate reports why a certificate is not the one that a line of the audit log describes, and nil if it is: each
// field that does not fit is named. The certificate's own signature must be good; whether the line is in the log is
// CheckInclusion's to say.
func CheckCertificate(cert *ssh.Certificate, ev *sekisho.Event) error {
	if err := CheckSignature(cert); err != nil {
		return err
	}
	rec := ev.Certificate
	if ev.Kind != sekisho.EventCertificate || rec == nil {
		return fmt.Errorf("line %d of the audit log is no certificate's: none with that serial was issued", ev.Seq)
	}
	got := recordOf(cert)
	var odd []string
	differs := func(what string, same bool) {
		if !same {
			odd = append(odd, what)
		}
	}
	differs("serial", ev.Seq > 0 && cert.Serial == uint64(ev.Seq))
	differs("type", got.Type == rec.Type)
	differs("Key ID", cert.KeyId == fmt.Sprintf("%s/%d", rec.KeyID, ev.Seq))
	differs("key", got.Key == rec.Key)
	differs("CA", got.CA == rec.CA)
	differs("principals", slices.Equal(got.Principals, rec.Principals))
	differs("validity", got.ValidAfter.Equal(rec.ValidAfter) && got.ValidBefore.Equal(rec.ValidBefore))
	differs("extensions", slices.Equal(got.Extensions, rec.Extensions))
	differs("critical options", slices.Equal(got.Options, rec.Options))
	if len(odd) > 0 {
		return fmt.Errorf("%s: not what line %d of the audit log says", strings.Join(odd, ", "), ev.Seq)
	}
	return nil
}

// CheckSignature reports that a certificate is not signed by the CA that it names. It says nothing of who that is.
func CheckSignature(cert *ssh.Certificate) error {
	if cert.SignatureKey == nil || cert.Signature == nil {
		return errors.New("the certificate is not signed")
	}
	principal := ""
	if len(cert.ValidPrincipals) > 0 {
		principal = cert.ValidPrincipals[0]
	}
	checker := &ssh.CertChecker{Clock: func() time.Time { return time.Unix(int64(cert.ValidAfter), 0) }}
	for option := range cert.CriticalOptions {
		checker.SupportedCriticalOptions = append(checker.SupportedCriticalOptions, option)
	}
	if err := checker.CheckCert(principal, cert); err != nil {
		return fmt.Errorf("the certificate's signature is not that of the CA it names: %w", err)
	}
	return nil
}

// recordOf is what a certificate says as its line of the audit log has it, but for what the Key ID says.
func recordOf(cert *ssh.Certificate) *sekisho.CertificateRecord {
	kind := "user"
	if cert.CertType == ssh.HostCert {
		kind = "host"
	}
	return &sekisho.CertificateRecord{
		Type: kind, Key: ssh.FingerprintSHA256(cert.Key), CA: ssh.FingerprintSHA256(cert.SignatureKey), Principals: cert.ValidPrincipals,
		ValidAfter: time.Unix(int64(cert.ValidAfter), 0), ValidBefore: time.Unix(int64(cert.ValidBefore), 0),
		Extensions: named(cert.Extensions), Options: named(cert.CriticalOptions),
	}
}

// named are extensions or options, sorted, as the audit log has them: "name", or "name=value". A name with an equals sign,
// which those issued here never have, is quoted, so that it does not read as another's value.
func named(all map[string]string) []string {
	var out []string
	for name, value := range all {
		if strings.Contains(name, "=") {
			name = strconv.Quote(name)
		}
		if value != "" {
			name += "=" + value
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
