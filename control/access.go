package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/login"
)

// Doors, as the contract names them.
const (
	doorPass  = "pass"
	doorAudit = "audit"
)

const maxKeyLine = 16 << 10 // bytes

// access serves AccessService.
type access struct{ *door }

func (d access) Describe(context.Context, *connect.Request[apiv1.DescribeRequest]) (*connect.Response[apiv1.DescribeResponse], error) {
	return connect.NewResponse(&apiv1.DescribeResponse{
		Name:          d.Name,
		SshHosts:      d.SSHHosts,
		HostCa:        d.hostCA(),
		AuditKey:      d.AuditKey,
		RecordingKeys: d.RecordingKeys,
		Version:       sekisho.Version,
		SshGateway:    d.SSHGateway,
		Recipients:    d.Recipients(),
	}), nil
}

// question is a checked wish for one connection.
type question struct {
	who         *caller
	host, login string
	key         ssh.PublicKey
}

func (d access) Connect(ctx context.Context, req *connect.Request[apiv1.ConnectRequest]) (*connect.Response[apiv1.ConnectResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	q, err := readQuestion(who, req.Msg)
	if err != nil {
		return nil, err
	}
	target, decision, err := d.judge(ctx, q)
	if err != nil {
		return nil, err
	}
	ev := q.event(target.Name, decision)
	if decision.Effect != sekisho.Allow {
		if err := d.Note(ctx, ev); err != nil {
			return nil, fmt.Errorf("note decision: %w", err)
		}
		return nil, denied(decision)
	}
	if !who.Identity.Fresh(decision.Limits.Fresh, d.Now()) {
		return nil, d.stale(ctx, q, target.Name, decision.Limits, ev)
	}
	return d.let(ctx, q, target, decision.Limits, ev)
}

// readQuestion checks the form of what was sent, and that the caller holds the SSH key.
func readQuestion(who *caller, m *apiv1.ConnectRequest) (*question, error) {
	q := &question{who: who, host: strings.ToLower(m.Host), login: m.Login}
	if err := sekisho.CheckTargetName(q.host); err != nil {
		return nil, malformed(err)
	}
	if err := sekisho.CheckLogin(q.login); err != nil {
		return nil, malformed(err)
	}
	key, err := readKey(m.PublicKey)
	if err != nil {
		return nil, malformed(err)
	}
	q.key = key
	// Signed is the host as it was sent, before any change of ours.
	if err := checkKeyProof(key, m.KeyProof, ProofText(who.token, m.Host, m.Login)); err != nil {
		return nil, notProved(err)
	}
	return q, nil
}

func notProved(cause error) error {
	return as(connect.CodeUnauthenticated, &sekisho.Refusal{
		Sentence: "The proof of your SSH key was not accepted.", Next: "Update sekisho, then try again.", Cause: cause,
	})
}

// readKey reads an authorized_keys line that is a key and nothing more.
func readKey(line string) (ssh.PublicKey, error) {
	if len(line) > maxKeyLine {
		return nil, errors.New("the public key is too long")
	}
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil || len(options) > 0 || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("the public key is not one authorized_keys line without options")
	}
	return key, nil
}

// checkKeyProof verifies the SSH signature (RFC 4253 §6.6) over a text that names this sign-in and what it is for, so
// that nobody gets a certificate for a key that is not theirs.
func checkKeyProof(key ssh.PublicKey, proof, text []byte) error {
	var sig ssh.Signature
	if err := ssh.Unmarshal(proof, &sig); err != nil {
		return fmt.Errorf("read key proof: %w", err)
	}
	if sig.Format == ssh.KeyAlgoRSA {
		return errors.New("key proof: SHA-1")
	}
	if err := key.Verify(text, &sig); err != nil {
		return fmt.Errorf("verify key proof: %w", err)
	}
	return nil
}

// ProofText is what a client signs with the SSH key of one connection.
func ProofText(token, host, login string) []byte {
	sum := sha256.Sum256([]byte(token))
	return []byte("sekisho-connect-v1\n" + hex.EncodeToString(sum[:]) + "\n" + host + "\n" + login + "\n")
}

// judge finds the target and decides.
func (d access) judge(ctx context.Context, q *question) (*sekisho.Target, sekisho.Decision, error) {
	target, err := Find(ctx, d.Store, d.Domain, q.host)
	exists := err == nil
	if err != nil && !errors.Is(err, sekisho.ErrNotFound) {
		return nil, sekisho.Decision{}, fmt.Errorf("read target: %w", err)
	}
	if !exists {
		target = &sekisho.Target{Name: q.host}
	}
	return target, Judge(d.Policies(), Traveller{q.who.Identity, q.who.address}, target, exists, q.login, d.Now()), nil
}

// let makes certificate and token. The decision and the certificate's line become durable together, before either is
// handed out.
func (d access) let(ctx context.Context, q *question, t *sekisho.Target, limits sekisho.Limits, ev *sekisho.Event) (*connect.Response[apiv1.ConnectResponse], error) {
	door := doorOf(limits)
	issued := d.Now().Truncate(time.Second)
	pass := sekisho.Pass{
		ID: sekisho.NewID("tok"), SignIn: q.who.ID, Identity: q.who.Identity, Target: t.Name, Login: q.login, Host: q.host,
		Thumbprint: q.who.Thumbprint, Key: ssh.FingerprintSHA256(q.key),
		Issued: issued, Expires: earlier(issued.Add(login.PassLifetime), q.who.Expires),
	}
	token, err := d.Passes.Sign(pass)
	if err != nil {
		return nil, err
	}
	cert, err := d.CA.People(ctx, ca.PeopleRequest{
		SignIn: q.who.SignIn, Target: t, Login: q.login, Key: q.key, Limits: limits, Gateway: door == doorAudit,
		Request: pass.ID, ClientAddress: text(q.who.address), Before: []*sekisho.Event{ev},
	})
	if err != nil {
		if refusal(err) { // the CA refused before it noted anything
			ev.Error = err.Error()
			err = errors.Join(err, d.Note(ctx, ev))
		}
		return nil, as(connect.CodeInvalidArgument, err)
	}
	expires := earlier(pass.Expires, time.Unix(int64(cert.ValidBefore), 0))
	return connect.NewResponse(&apiv1.ConnectResponse{
		Certificate:  ca.Line(cert),
		Token:        token,
		Gateways:     d.Gateways,
		HostCa:       d.hostCA(),
		Target:       t.Name,
		Door:         door,
		Expires:      timestamppb.New(expires),
		RevokedHosts: d.Revoked.Number(),
	}), nil
}

func (q *question) event(target string, decision sekisho.Decision) *sekisho.Event {
	return &sekisho.Event{
		Kind: sekisho.EventDecision, Actor: q.who.Identity.Subject, SignIn: q.who.ID, Target: target, Login: q.login,
		ClientAddress: text(q.who.address), Decision: &decision,
	}
}

func denied(d sekisho.Decision) error {
	return as(connect.CodePermissionDenied, &sekisho.Refusal{Sentence: d.Reason, Next: d.Next})
}

func (d access) Targets(ctx context.Context, req *connect.Request[apiv1.TargetsRequest]) (*connect.Response[apiv1.TargetsResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	places, err := Places(ctx, d.Store, d.Policies(), Traveller{who.Identity, who.address}, d.Now())
	if err != nil {
		return nil, err
	}
	res, index := &apiv1.TargetsResponse{}, map[string]uint32{}
	for _, p := range places {
		target := &apiv1.Target{
			Name: p.Name, Labels: p.Labels, Class: p.Class, Door: p.Door(), Logins: p.Logins, Linked: d.Linked(p.Name),
		}
		for i, login := range p.Logins {
			limits, err := json.Marshal(p.Limits[i])
			if err != nil {
				return nil, fmt.Errorf("encode limits: %w", err)
			}
			at, ok := index[string(limits)]
			if !ok {
				at = uint32(len(res.Limits))
				index[string(limits)], res.Limits = at, append(res.Limits, limits)
			}
			target.Access = append(target.Access, &apiv1.Access{Login: login, Door: doorOf(p.Limits[i]), Limits: at})
		}
		res.Targets = append(res.Targets, target)
	}
	return connect.NewResponse(res), nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
