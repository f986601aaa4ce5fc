package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/policy"
)

// Inventory is every certificate that was ever issued.
type Inventory interface {
	// CertificateLines gives the matching ones' lines of the audit log, newest first, complete up to the moment of the call.
	CertificateLines(context.Context, sekisho.CertificateQuery) ([][]byte, error)
}

// List gives certificates: all to who may read the audit log, else the caller's own.
func (d certificates) List(ctx context.Context, req *connect.Request[apiv1.ListCertificatesRequest]) (*connect.Response[apiv1.ListCertificatesResponse], error) {
	who, err := d.known(ctx, req, scopeRead)
	if err != nil {
		return nil, err
	}
	q, err := d.readQuery(req.Msg)
	if err != nil {
		return nil, err
	}
	if !d.mayQuietly(who, policy.ReadAudit) {
		own := who.person.Identity.Subject
		if q.Subject != "" && q.Subject != own {
			return nil, d.may(ctx, who.person, policy.ReadAudit, false)
		}
		q.Subject, q.Type = own, "user"
	}
	want := q.Limit
	res, size := &apiv1.ListCertificatesResponse{}, 0
	for q.Limit = min(want+1, maxList); ; {
		lines, err := d.Store.CertificateLines(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("read certificates: %w", err)
		}
		for _, line := range lines {
			one, ev, err := d.issued(line)
			if err != nil {
				return nil, err
			}
			q.Before = ev.Seq
			if req.Msg.Valid && one.Revoked != "" {
				continue
			}
			if len(res.Certificates) == want || size+len(line) > maxAnswer && size > 0 {
				res.More = true
				return connect.NewResponse(res), nil
			}
			size += len(line)
			res.Certificates = append(res.Certificates, one)
		}
		if len(lines) < q.Limit {
			return connect.NewResponse(res), nil
		}
	}
}

// readQuery checks the form of what was sent.
func (d certificates) readQuery(m *apiv1.ListCertificatesRequest) (q sekisho.CertificateQuery, err error) {
	n, err := limit(m.Limit)
	err = errors.Join(err, filters(m.Subject, m.Issuer, m.Principal, m.Key, m.SignIn, m.Request, m.Target, m.Ca, m.Type))
	if err != nil {
		return q, err
	}
	if m.Type != "" && m.Type != "user" && m.Type != "host" {
		return q, malformed(errors.New("type is neither user nor host"))
	}
	q = sekisho.CertificateQuery{
		Subject: m.Subject, Issuer: m.Issuer, Principal: m.Principal, Key: m.Key, SignIn: m.SignIn, Request: m.Request, Target: m.Target,
		CA: m.Ca, Type: m.Type, Limit: n, Before: int64(min(m.Before, math.MaxInt64)),
	}
	if m.Valid {
		q.ValidAt = d.Now()
	}
	for from, to := range map[*timestamppb.Timestamp]*time.Time{m.Since: &q.Since, m.Until: &q.Until} {
		if from == nil {
			continue
		}
		*to = from.AsTime()
		if year := to.Year(); year < 1970 || year > 2200 {
			return q, malformed(errors.New("that is no time to look for"))
		}
	}
	return q, nil
}

// issued is a certificate as the contract has it: its line, and by what it is revoked.
func (d *door) issued(line []byte) (*apiv1.IssuedCertificate, *sekisho.Event, error) {
	var ev sekisho.Event
	if err := json.Unmarshal(line, &ev); err != nil {
		return nil, nil, fmt.Errorf("read line of a certificate: %w", err)
	}
	if ev.Certificate == nil {
		return nil, nil, fmt.Errorf("line %d is no certificate's", ev.Seq)
	}
	one := &apiv1.IssuedCertificate{Serial: uint64(ev.Seq), Event: line}
	if r := d.Revoked.Of(&ev); r != nil {
		one.Revoked = r.ID
	}
	return one, &ev, nil
}

// certificate finds the line of the certificate with that serial; nil: none was issued.
func (d *door) certificate(ctx context.Context, serial uint64) ([]byte, error) {
	if serial == 0 || serial >= math.MaxInt64 {
		return nil, nil
	}
	lines, err := d.Events.Query(ctx, sekisho.EventQuery{Kind: sekisho.EventCertificate, Before: int64(serial) + 1, Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	if len(lines) == 1 {
		_, ev, err := d.issued(lines[0])
		if err == nil && uint64(ev.Seq) == serial {
			return lines[0], nil
		}
	}
	return nil, nil
}

// maySee lets in whose certificate it is, and who may read the audit log.
func (d *door) maySee(ctx context.Context, who *actor, ev *sekisho.Event) error {
	if who.person == nil || subjectOf(ev) == who.person.Identity.Subject && ev.Certificate.Type == "user" {
		return nil
	}
	return d.may(ctx, who.person, policy.ReadAudit, false)
}

// subjectOf is whose certificate a line tells of.
func subjectOf(ev *sekisho.Event) string { return keyIDOf(ev).Subject }

// keyIDOf is the Key ID of the certificate that a line tells of.
func keyIDOf(ev *sekisho.Event) sekisho.KeyID {
	id, err := sekisho.ParseKeyID(fmt.Sprintf("%s/%d", ev.Certificate.KeyID, ev.Seq))
	if err != nil {
		return sekisho.KeyID{}
	}
	return id
}

// Prove gives the line of a certificate with its proof of inclusion.
func (d certificates) Prove(ctx context.Context, req *connect.Request[apiv1.ProveRequest]) (*connect.Response[apiv1.ProveResponse], error) {
	who, err := d.known(ctx, req, scopeRead)
	if err != nil {
		return nil, err
	}
	line, err := d.certificate(ctx, req.Msg.Serial)
	if err != nil {
		return nil, err
	}
	if line == nil {
		return nil, as(connect.CodeNotFound, &sekisho.Refusal{
			Sentence: fmt.Sprintf("No certificate with the serial %d was issued here.", req.Msg.Serial),
			Next:     "If you have one that says so, it is forged: tell those who look after security.",
		})
	}
	_, ev, err := d.issued(line)
	if err != nil {
		return nil, err
	}
	if err := d.maySee(ctx, who, ev); err != nil {
		return nil, err
	}
	in, err := d.Events.Prove(ctx, ev.Seq)
	if err != nil {
		return nil, fmt.Errorf("prove certificate %d: %w", ev.Seq, err)
	}
	return proved(in)
}

func proved(in *audit.Inclusion) (*connect.Response[apiv1.ProveResponse], error) {
	size, err := audit.CheckpointSize(in.Checkpoint)
	if err != nil {
		return nil, err
	}
	res := &apiv1.ProveResponse{Event: []byte(in.Line), Size: size, Checkpoint: in.Checkpoint}
	for i := range in.Proof {
		res.Proof = append(res.Proof, in.Proof[i][:])
	}
	return connect.NewResponse(res), nil
}
