package control_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/ca"
)

func (d *device) list(req *apiv1.ListCertificatesRequest) (*apiv1.ListCertificatesResponse, error) {
	res, err := d.Certificate.List(d.house.t.Context(), connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

func (d *device) explain(text string) (*apiv1.ExplainResponse, error) {
	res, err := d.Certificate.Explain(d.house.t.Context(), connect.NewRequest(&apiv1.ExplainRequest{Text: text}))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

func TestListCertificates(t *testing.T) {
	h := newHouse(t)
	mei, bob, kay := h.signIn("mei@example.com", "ops"), h.signIn("bob@example.com", "ops"), h.signIn("kay@example.com", "ca-admins")
	first, second, bobs := mei.certified(), mei.certified(), bob.certified()
	revoked := &sekisho.Revocation{Kind: sekisho.RevokedCertificate, Value: fmt.Sprint(first.Serial), Reason: "lost"}
	if _, _, err := h.revoked.Revoke(t.Context(), revoked, &sekisho.Event{Kind: sekisho.EventRevoked, Actor: "kay@example.com"}); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		who  *device
		req  *apiv1.ListCertificatesRequest
		want []uint64
		more bool
	}{
		"one's own":        {mei, &apiv1.ListCertificatesRequest{}, []uint64{second.Serial, first.Serial}, false},
		"oneself by name":  {mei, &apiv1.ListCertificatesRequest{Subject: "mei@example.com"}, []uint64{second.Serial, first.Serial}, false},
		"all":              {kay, &apiv1.ListCertificatesRequest{}, []uint64{bobs.Serial, second.Serial, first.Serial}, false},
		"one's, by kay":    {kay, &apiv1.ListCertificatesRequest{Subject: "bob@example.com"}, []uint64{bobs.Serial}, false},
		"one":              {kay, &apiv1.ListCertificatesRequest{Limit: 1}, []uint64{bobs.Serial}, true},
		"the next":         {kay, &apiv1.ListCertificatesRequest{Limit: 1, Before: bobs.Serial}, []uint64{second.Serial}, true},
		"the last":         {kay, &apiv1.ListCertificatesRequest{Limit: 1, Before: second.Serial}, []uint64{first.Serial}, false},
		"valid":            {kay, &apiv1.ListCertificatesRequest{Valid: true}, []uint64{bobs.Serial, second.Serial}, false},
		"valid, the first": {mei, &apiv1.ListCertificatesRequest{Valid: true, Limit: 1}, []uint64{second.Serial}, false},
		"by key":           {kay, &apiv1.ListCertificatesRequest{Key: ssh.FingerprintSHA256(first.Key)}, []uint64{first.Serial}, false},
		"by principal":     {kay, &apiv1.ListCertificatesRequest{Principal: "deploy:web1", Limit: 1000}, []uint64{bobs.Serial, second.Serial, first.Serial}, false},
		"an enormous one":  {kay, &apiv1.ListCertificatesRequest{Before: 1 << 63}, []uint64{bobs.Serial, second.Serial, first.Serial}, false},
	} {
		res, err := c.who.list(c.req)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		var got []uint64
		for _, one := range res.Certificates {
			got = append(got, one.Serial)
			if (one.Revoked != "") != (one.Serial == first.Serial) {
				t.Errorf("%s: %d is revoked by %q", what, one.Serial, one.Revoked)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || res.More != c.more {
			t.Errorf("%s: %v, more %v: want %v, %v", what, got, res.More, c.want, c.more)
		}
	}
	_, err := mei.list(&apiv1.ListCertificatesRequest{Subject: "bob@example.com"})
	wantCode(t, "another's", err, connect.CodePermissionDenied)
	_, err = kay.list(&apiv1.ListCertificatesRequest{Type: "both"})
	wantCode(t, "no type", err, connect.CodeInvalidArgument)
	_, err = kay.list(&apiv1.ListCertificatesRequest{Limit: 1001})
	wantCode(t, "too many", err, connect.CodeInvalidArgument)
	_, err = kay.list(&apiv1.ListCertificatesRequest{Principal: strings.Repeat("x", 600)})
	wantCode(t, "too long", err, connect.CodeInvalidArgument)
}

func TestProveCertificate(t *testing.T) {
	h := newHouse(t)
	mei, bob, kay := h.signIn("mei@example.com", "ops"), h.signIn("bob@example.com", "ops"), h.signIn("kay@example.com", "ca-admins")
	cert := mei.certified()
	prove := func(d *device, serial uint64) (*apiv1.ProveResponse, error) {
		res, err := d.Certificate.Prove(t.Context(), connect.NewRequest(&apiv1.ProveRequest{Serial: serial}))
		if err != nil {
			return nil, err
		}
		return res.Msg, nil
	}
	for _, d := range []*device{mei, kay} {
		m := must(prove(d, cert.Serial))(t)
		in := &audit.Inclusion{Seq: int64(cert.Serial), Line: string(m.Event), Checkpoint: m.Checkpoint}
		for _, hash := range m.Proof {
			in.Proof = append(in.Proof, tlog.Hash(hash))
		}
		if err := audit.CheckInclusion(in, h.log.VerifierKey()); err != nil {
			t.Error(err)
		}
		var ev sekisho.Event
		if err := json.Unmarshal(m.Event, &ev); err != nil {
			t.Fatal(err)
		}
		if err := audit.CheckCertificate(cert, &ev); err != nil || m.Size <= int64(cert.Serial) {
			t.Errorf("size %d, %v", m.Size, err)
		}
	}
	_, err := prove(bob, cert.Serial)
	wantCode(t, "another's", err, connect.CodePermissionDenied)
	for _, serial := range []uint64{0, cert.Serial - 1, cert.Serial + 100, 1 << 63, 1<<64 - 1} {
		_, err := prove(kay, serial)
		wantCode(t, fmt.Sprint(serial), err, connect.CodeNotFound)
	}
}

func TestExplain(t *testing.T) {
	h := newHouse(t)
	mei, bob, kay := h.signIn("mei@example.com", "ops"), h.signIn("bob@example.com", "ops"), h.signIn("kay@example.com", "ca-admins")
	cert, other := mei.certified(), bob.certified()
	key, signer := ssh.FingerprintSHA256(cert.Key), ssh.FingerprintSHA256(cert.SignatureKey)
	id, _ := sekisho.ParseKeyID(cert.KeyId)
	for what, session := range map[string]map[string]string{"ses_used": {"request": id.Request}, "ses_other": {"request": "tok_x"}, "ses_agent": {"certificate": fmt.Sprint(cert.Serial)}} {
		for _, kind := range []string{sekisho.EventSessionStarted, sekisho.EventRecordingClosed} {
			ev := &sekisho.Event{Kind: kind, Actor: "mei@example.com", Session: what, Target: "web1", Detail: session}
			if err := h.log.Append(t.Context(), ev); err != nil {
				t.Fatal(err)
			}
		}
	}
	says := fmt.Sprintf("ED25519-CERT %s ID %s (serial %d) CA ED25519 %s", key, cert.KeyId, cert.Serial, signer)
	line := func(rest string) string {
		return "Nov 22 18:00:00 web1 sshd[77]: Accepted publickey for deploy from 192.0.2.7 port 50000 ssh2: " + rest
	}
	with := func(old, new string) string { return line(strings.Replace(says, old, new, 1)) }
	forged := *cert
	forged.ValidPrincipals = []string{"root:web1"}
	if err := forged.SignCert(rand.Reader, foreign(t)); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		text, found, doubt string
		serial             uint64
	}{
		"serial":              {fmt.Sprint(cert.Serial), "serial", "", cert.Serial},
		"Key ID":              {" " + cert.KeyId + "\n", "key ID", "", cert.Serial},
		"certificate":         {ca.Line(cert) + " mei's\n", "certificate", "", cert.Serial},
		"log line":            {line(says), "log line", "", cert.Serial},
		"in its time":         {h.now().Format(time.RFC3339) + " web1 sshd-session[7]: Accepted publickey for deploy from ::1 port 5 ssh2: " + says, "log line", "", cert.Serial},
		"cut before serial":   {line(says[:strings.Index(says, " (serial")]), "log line", "", cert.Serial},
		"cut in the Key ID":   {line(says[:strings.Index(says, " (serial")-9]), "log line", "", cert.Serial},
		"a year later":        {"2031-11-22T18:00:00Z web1 sshd[7]: Accepted publickey for deploy from ::1 port 5 ssh2: " + says, "log line", "the line is of 2031", cert.Serial},
		"another fingerprint": {with(key, ssh.FingerprintSHA256(other.Key)), "log line", "its key is", cert.Serial},
		"another CA":          {with(signer, ssh.FingerprintSHA256(h.ca.HostCA())), "log line", "its CA is", cert.Serial},
		"another serial":      {with(fmt.Sprintf("(serial %d)", cert.Serial), fmt.Sprintf("(serial %d)", other.Serial)), "log line", "its Key ID is", other.Serial},
		"another person":      {with("mei@", "bob@"), "log line", "its Key ID is", cert.Serial},
		"two in one":          {line("x ssh2: " + says + " " + says), "log line", "several certificates", cert.Serial},
		"another Key ID":      {strings.Replace(cert.KeyId, "mei@", "bob@", 1), "key ID", "its Key ID is", cert.Serial},
		"forged":              {ca.Line(&forged), "certificate", "its CA is", cert.Serial},
		"none":                {"9999999", "serial", "no certificate with the serial 9999999", 0},
		"0":                   {"0", "serial", "no certificate with the serial 0", 0},
		"no certificate's":    {fmt.Sprint(cert.Serial - 1), "serial", "no certificate with the serial", 0},
		"hostile Key ID":      {line("RSA-CERT " + key + " ID \x1b[31mroot\x07 (serial 3) CA RSA " + signer), "log line", "no certificate with the serial 3", 0},
	} {
		res, err := kay.explain(c.text)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if res.Found != c.found || res.GetCertificate().GetSerial() != c.serial || !strings.Contains(res.Doubt, c.doubt) || (res.Doubt == "") != (c.doubt == "") {
			t.Errorf("%s: found %q, serial %d, doubt %q: want %q, %d, %q", what, res.Found, res.GetCertificate().GetSerial(), res.Doubt, c.found, c.serial, c.doubt)
		}
	}
	res := must(kay.explain(cert.KeyId))(t)
	var kinds []string
	for _, text := range res.Events {
		var ev sekisho.Event
		if err := json.Unmarshal(text, &ev); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, ev.Kind+" "+ev.Session)
	}
	got := strings.Join(kinds, ", ")
	for _, want := range []string{"sign-in , decision , certificate ", "session.started ses_used", "recording.closed ses_used", "session.started ses_agent"} {
		if !strings.Contains(got, want) {
			t.Errorf("events are %s: want %s", got, want)
		}
	}
	if strings.Contains(got, "ses_other") || res.SignIn.GetDevice() != "mei@example.com's laptop" || res.SignInEnded || res.KeyId != cert.KeyId {
		t.Errorf("%s, %v", got, res)
	}

	if _, err := mei.explain(cert.KeyId); err != nil {
		t.Error(err)
	}
	_, err := bob.explain(cert.KeyId)
	wantCode(t, "another's", err, connect.CodePermissionDenied)
	for _, bad := range []string{"", "hello", "-7", ca.Line(cert.Key), "a\nb", strings.Repeat("x", 20000), "18446744073709551616"} {
		_, err := kay.explain(bad)
		wantCode(t, bad, err, connect.CodeInvalidArgument)
	}
}

func foreign(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return must(ssh.NewSignerFromSigner(key))(t)
}

// Whatever is to be explained, the answer is one, or that it is malformed; and nothing is taken for a certificate that was not
// issued.
func FuzzExplain(f *testing.F) {
	h := newHouse(f)
	mei, kay := h.signIn("mei@example.com", "ops"), h.signIn("kay@example.com", "ca-admins")
	cert := mei.certified()
	for _, s := range []string{cert.KeyId, fmt.Sprint(cert.Serial), ca.Line(cert), "0", "-/-/-/-/0", "a\x1b[2J/people/-/-/99"} {
		f.Add(s)
	}
	f.Add(fmt.Sprintf("Accepted publickey for root from ::1 port 1 ssh2: ED25519-CERT %s ID %s (serial %d) CA ED25519 %s",
		ssh.FingerprintSHA256(cert.Key), cert.KeyId, cert.Serial, ssh.FingerprintSHA256(cert.SignatureKey)))
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return // no message holds it
		}
		answer, err := kay.Certificate.Explain(t.Context(), connect.NewRequest(&apiv1.ExplainRequest{Text: text}))
		if err != nil {
			wantCode(t, text, err, connect.CodeInvalidArgument)
			return
		}
		res := answer.Msg
		if c := res.Certificate; c != nil && c.Serial != cert.Serial {
			t.Errorf("%q is taken for %d", text, c.Serial)
		}
		if res.Certificate == nil && res.Doubt == "" {
			t.Errorf("%q leads to nothing, and nothing is said of it: %v", text, res)
		}
	})
}
