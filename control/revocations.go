package control

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/policy"
)

const (
	// maxRevoked is how long what is revoked may be, in bytes. Key IDs that are longer are revoked by their serial.
	maxRevoked = 512
	// maxRevokedFor is how far off the end of a revocation may be.
	maxRevokedFor = 10 * 366 * 24 * time.Hour
	// maxRevokedOwn is how many a person may have made who may revoke only what is their own. All together are bounded
	// (ca.MaxRevocations), and one person must not be able to use that up, so that nothing can be revoked any more.
	maxRevokedOwn = 100
)

// Revoke takes back what is the caller's own, or anything for who may revoke certificates.
func (d certificates) Revoke(ctx context.Context, req *connect.Request[apiv1.RevokeRequest]) (*connect.Response[apiv1.RevokeResponse], error) {
	who, err := d.known(ctx, req, scopeRevoke)
	if err != nil {
		return nil, err
	}
	want, err := d.readRevocation(req.Msg)
	if err != nil {
		return nil, err
	}
	if err := d.mayRevoke(ctx, who, want); err != nil {
		return nil, err
	}
	if err := d.checkRevoked(ctx, want, req.Msg.Confirm); err != nil {
		return nil, err
	}
	made, _, err := d.Revoked.Revoke(ctx, want, who.event(sekisho.EventRevoked))
	if err != nil {
		return nil, err
	}
	// Once more where it was revoked before: what a process that died has left undone is done now.
	signIns, sessions, err := d.Enforce(ctx, made)
	if err != nil {
		return nil, fmt.Errorf("enforce revocation %s: %w", made.ID, err)
	}
	res := &apiv1.RevokeResponse{Revocation: revocationMessage(made), SignIns: int32(signIns), Sessions: sessions}
	err = d.Revoked.Valid(ctx, made, func(*sekisho.Event) { res.Certificates++ })
	if err != nil {
		return nil, fmt.Errorf("count certificates: %w", err)
	}
	return connect.NewResponse(res), nil
}

// readRevocation checks the form of what was sent. Of a key line its fingerprint is taken.
func (d *door) readRevocation(m *apiv1.RevokeRequest) (*sekisho.Revocation, error) {
	r := &sekisho.Revocation{Kind: sekisho.RevocationKind(m.Kind), Value: m.Value, Reason: m.Reason}
	if strings.TrimSpace(m.Reason) == "" {
		return nil, malformed(errors.New("a revocation needs a reason"))
	}
	if err := checkReason(m.Reason); err != nil {
		return nil, err
	}
	if m.Until != nil {
		r.Until = m.Until.AsTime()
		if now := d.Now(); !r.Until.After(now) || r.Until.After(now.Add(maxRevokedFor)) {
			return nil, malformed(errors.New("the end of the revocation is past, or more than ten years off"))
		}
	}
	var err error
	if r.Value, err = revokedValue(r.Kind, m.Value); err != nil {
		return nil, malformed(err)
	}
	return r, nil
}

// revokedValue gives a value in the one form in which it is compared.
func revokedValue(kind sekisho.RevocationKind, v string) (string, error) {
	if kind == sekisho.RevokedKey || kind == sekisho.RevokedCA {
		return fingerprint(v)
	}
	if v == "" || len(v) > maxRevoked || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", fmt.Errorf("what is to be revoked is empty, longer than %d bytes, or not ASCII", maxRevoked)
	}
	switch kind {
	case sekisho.RevokedPerson:
		if !strings.Contains(v, "@") || strings.Contains(v, " ") {
			return "", fmt.Errorf("%q is no e-mail address", v)
		}
		return strings.ToLower(v), nil
	case sekisho.RevokedSignIn:
		if !sekisho.CheckID("sin", v) {
			return "", fmt.Errorf("%q is no sign-in's ID", v)
		}
	case sekisho.RevokedCertificate:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n <= 0 || strconv.FormatInt(n, 10) != v {
			return "", fmt.Errorf("%q is no serial", v)
		}
	case sekisho.RevokedKeyID:
	default:
		return "", fmt.Errorf("kind %.40q: want person, sign-in, certificate, key-id, key or ca", kind)
	}
	return v, nil
}

// fingerprint takes "SHA256:…" or a public key line.
func fingerprint(v string) (string, error) {
	if sum, ok := strings.CutPrefix(v, "SHA256:"); ok {
		if b, err := base64.RawStdEncoding.Strict().DecodeString(sum); err != nil || len(b) != 32 || len(v) != 50 {
			return "", fmt.Errorf("%.60q is no SHA256 fingerprint", v)
		}
		return v, nil
	}
	key, err := readKey(v)
	if err != nil {
		return "", fmt.Errorf("want a SHA256 fingerprint or a public key line: %w", err)
	}
	if _, is := key.(*ssh.Certificate); is {
		return "", errors.New("that is a certificate: revoke it by its serial or Key ID, or give its key")
	}
	return ssh.FingerprintSHA256(key), nil
}

// mayRevoke lets people revoke what is their own, and asks the policies for the rest.
func (d *door) mayRevoke(ctx context.Context, who *actor, r *sekisho.Revocation) error {
	if who.person == nil {
		return nil // by the scope that let it in
	}
	subject := who.person.Identity.Subject
	own, err := d.owns(ctx, subject, r)
	switch {
	case err != nil:
		return err
	case !own || d.mayQuietly(who, policy.RevokeCertificates):
		return d.may(ctx, who.person, policy.RevokeCertificates, true)
	case d.Revoked.MadeBy(subject) >= maxRevokedOwn:
		return as(connect.CodeResourceExhausted, &sekisho.Refusal{
			Sentence: fmt.Sprintf("You have revoked %d of your own things, and no more can be.", maxRevokedOwn),
			Next:     "Ask an administrator to revoke this, too, and to lift what is not needed any more.",
		})
	}
	return nil
}

// owns reports whether what is to be revoked is one person's and nobody else's.
func (d *door) owns(ctx context.Context, subject string, r *sekisho.Revocation) (bool, error) {
	switch r.Kind {
	case sekisho.RevokedSignIn:
		s, err := d.Store.SignIn(ctx, r.Value)
		if errors.Is(err, sekisho.ErrNotFound) {
			return false, nil
		}
		return err == nil && s.Identity.Subject == subject, err
	case sekisho.RevokedCertificate, sekisho.RevokedKey:
		n, others := 0, false
		err := d.Revoked.Valid(ctx, r, func(ev *sekisho.Event) {
			n++
			id, err := sekisho.ParseKeyID(ev.Certificate.KeyID + "/0")
			others = others || err != nil || ev.Certificate.Type != ca.TypeUser || id.Issuer == ca.IssuerGateways || id.Subject != subject
		})
		return n > 0 && !others, err
	}
	return false, nil
}

// checkRevoked refuses what there is not, and what would do more than its name says.
func (d *door) checkRevoked(ctx context.Context, r *sekisho.Revocation, confirm bool) error {
	switch r.Kind {
	case sekisho.RevokedSignIn:
		s, err := d.Store.SignIn(ctx, r.Value)
		if errors.Is(err, sekisho.ErrNotFound) {
			return nothing("There is no sign-in "+r.Value+".", "Revoke its person, if it is not known any more.", err)
		}
		if err != nil {
			return fmt.Errorf("read sign-in: %w", err)
		}
		endWith(r, s.Expires, d.Now())
	case sekisho.RevokedCertificate:
		serial, err := strconv.ParseInt(r.Value, 10, 64)
		if err != nil {
			return malformed(err)
		}
		ev, err := d.Revoked.Issued(ctx, serial)
		switch {
		case err != nil:
			return fmt.Errorf("find certificate: %w", err)
		case ev == nil:
			return nothing("No certificate with serial "+r.Value+" was issued here.", "A certificate that says so is forged: revoke its key, and the CA key that signed it.", sekisho.ErrNotFound)
		case !d.Now().Before(ev.Certificate.ValidBefore):
			return nothing("Certificate "+r.Value+" has expired: nobody takes it any more.", "There is nothing to do.", sekisho.ErrNotFound)
		}
		endWith(r, ev.Certificate.ValidBefore, d.Now())
	case sekisho.RevokedKey, sekisho.RevokedCA:
		return d.checkCAKey(ctx, r, confirm)
	}
	return nil
}

// clockLag is how far the clocks of hosts may be behind.
const clockLag = 5 * time.Minute

// endWith has a revocation end when what it names is of no use to anybody any more, so that their number stays small.
func endWith(r *sekisho.Revocation, end, now time.Time) {
	if end = end.Add(clockLag); end.Before(now.Add(clockLag)) {
		end = now.Add(clockLag)
	}
	if r.Until.IsZero() || r.Until.After(end) {
		r.Until = end
	}
}

// checkCAKey keeps CA keys from being revoked by mistake.
func (d *door) checkCAKey(ctx context.Context, r *sekisho.Revocation, confirm bool) error {
	c, key, err := d.Revoked.CAKey(ctx, r.Value)
	switch {
	case err != nil:
		return err
	case r.Kind == sekisho.RevokedKey && c != nil:
		return as(connect.CodeFailedPrecondition, &sekisho.Refusal{
			Sentence: "That is a key of the " + c.Name + " CA, and all that it signed would be revoked.", Next: "If that is meant: sekisho ca revoke --ca " + r.Value + ".",
		})
	case r.Kind == sekisho.RevokedCA && c == nil:
		return nothing("No CA has a key "+r.Value+".", "sekisho ca list shows their keys.", sekisho.ErrNotFound)
	case c != nil && key.State == sekisho.CAKeyIssuing && !confirm:
		return as(connect.CodeFailedPrecondition, &sekisho.Refusal{
			Sentence: issuingSentence(c), Next: "If that is meant, say so: --yes. To go on with another key: sekisho ca rotate " + c.Name + ", twice, with --force.",
		})
	}
	return nil
}

// issuingSentence says what comes of revoking the key by which a CA issues.
func issuingSentence(c *sekisho.CA) string {
	then := "nobody gets certificates of it"
	switch c.Name {
	case ca.UserCA:
		then = "all sessions by certificates of it end, and nobody gets in"
	case ca.GatewayCA:
		then = "gateways get in nowhere, so there are no audited sessions"
	case ca.HostCA:
		then = "gateways and clients refuse every host and gateway"
	}
	return "That key is the one by which the " + c.Name + " CA issues: until another one does, " + then + "."
}

func nothing(sentence, next string, cause error) error {
	return as(connect.CodeNotFound, &sekisho.Refusal{Sentence: sentence, Next: next, Cause: cause})
}

// Lift ends a revocation.
func (d certificates) Lift(ctx context.Context, req *connect.Request[apiv1.LiftRequest]) (*connect.Response[apiv1.LiftResponse], error) {
	who, err := d.admit(ctx, req, policy.RevokeCertificates, scopeRevoke)
	if err != nil {
		return nil, err
	}
	if !sekisho.CheckID("rev", req.Msg.Id) {
		return nil, malformed(errors.New("that is no revocation's ID"))
	}
	if err := checkReason(req.Msg.Reason); err != nil {
		return nil, err
	}
	r, err := d.Revoked.Lift(ctx, req.Msg.Id, req.Msg.Reason, who.event(sekisho.EventRevocationLifted))
	if errors.Is(err, sekisho.ErrNotFound) {
		return nil, nothing("There is no revocation "+req.Msg.Id+".", "sekisho ca revocations lists them.", err)
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.LiftResponse{Revocation: revocationMessage(r)}), nil
}

// Revocations lists what is revoked, for who may read the audit log or may revoke.
func (d certificates) Revocations(ctx context.Context, req *connect.Request[apiv1.RevocationsRequest]) (*connect.Response[apiv1.RevocationsResponse], error) {
	who, err := d.known(ctx, req, scopeRead)
	if err != nil {
		return nil, err
	}
	if who.person != nil && !d.mayQuietly(who, policy.RevokeCertificates) {
		if err := d.may(ctx, who.person, policy.ReadAudit, false); err != nil {
			return nil, err
		}
	}
	n, err := limit(req.Msg.Limit)
	if err == nil && req.Msg.Before != "" && !sekisho.CheckID("rev", req.Msg.Before) {
		err = malformed(errors.New("that is no revocation's ID"))
	}
	if err != nil {
		return nil, err
	}
	q := sekisho.RevocationQuery{Limit: n, Before: req.Msg.Before}
	if !req.Msg.All {
		q.InForce = d.Now()
	}
	all, err := d.Store.Revocations(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list revocations: %w", err)
	}
	res := &apiv1.RevocationsResponse{More: len(all) == n}
	for _, r := range all {
		res.Revocations = append(res.Revocations, revocationMessage(r))
	}
	return connect.NewResponse(res), nil
}

func revocationMessage(r *sekisho.Revocation) *apiv1.Revocation {
	return &apiv1.Revocation{
		Id: r.ID, Kind: string(r.Kind), Value: r.Value, By: r.By, Reason: r.Reason, At: stamp(r.At), Until: stamp(r.Until),
		Lifted: stamp(r.Lifted), LiftedBy: r.LiftedBy, Number: uint64(r.Seq),
	}
}
