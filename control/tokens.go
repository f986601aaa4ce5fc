package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/policy"
)

const (
	// maxTokenTTL is how long an API token may live.
	maxTokenTTL = 366 * 24 * time.Hour
	// maxTokens is how many live ones there are, maxScopes and maxNetworks how many scopes and networks one has.
	maxTokens   = 1000
	maxScopes   = 32
	maxNetworks = 32
)

// Tokens keeps API tokens by ID.
type Tokens interface {
	// SaveToken writes a new one.
	SaveToken(ctx context.Context, t *sekisho.Token) error
	Token(ctx context.Context, id string) (*sekisho.Token, error)
	// Tokens lists the live ones, newest first.
	Tokens(ctx context.Context, now time.Time) ([]*sekisho.Token, error)
	// EndToken says whether this call is the one that ended it.
	EndToken(ctx context.Context, id string, at time.Time) (bool, error)
	// UseToken keeps when it was used last.
	UseToken(ctx context.Context, id string, at time.Time) error
}

// Create makes an API token. Only people do, who may manage CAs, and none that may do what its maker may not do at that
// time. From then on it stands on its own: it ends when it expires, is ended, or its maker is revoked, and not when the
// policies give its maker less. Who takes somebody's rights away looks at the list.
func (d tokens) Create(ctx context.Context, req *connect.Request[apiv1.CreateTokenRequest]) (*connect.Response[apiv1.CreateTokenResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	t, err := readToken(req.Msg)
	if err != nil {
		return nil, err
	}
	for _, action := range behind(t.Scopes) {
		if err := d.may(ctx, who, action, true); err != nil {
			return nil, err
		}
	}
	if err := d.Barred(ctx, who.Identity.Subject); err != nil {
		return nil, err
	}
	t.ID, t.By, t.Created = sekisho.NewID("api"), who.Identity.Subject, d.Now()
	t.Expires = t.Created.Add(time.Duration(req.Msg.TtlSeconds) * time.Second)
	token := t.ID + "." + secret()
	hash := sha256.Sum256([]byte(token))
	t.Hash = hash[:]
	if err := d.keep(ctx, who, t); err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.CreateTokenResponse{Token: token, Info: tokenInfo(t)}), nil
}

// secret gives 256 random bits in base64url.
func secret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails (Go 1.24)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// behind are the actions that the scopes stand for: managing CAs, and what else each needs.
func behind(scopes []string) []policy.Action {
	actions := []policy.Action{policy.ManageCA}
	for scope, action := range map[string]policy.Action{scopeRead: policy.ReadAudit, scopeRevoke: policy.RevokeCertificates} {
		if slices.Contains(scopes, scope) {
			actions = append(actions, action)
		}
	}
	slices.Sort(actions)
	return actions
}

// readToken checks the form of what was sent.
func readToken(m *apiv1.CreateTokenRequest) (*sekisho.Token, error) {
	if sekisho.CheckTargetName(m.Name) != nil {
		return nil, malformed(fmt.Errorf("token name %.140q: want the form of a lower-case host name", m.Name))
	}
	if m.TtlSeconds <= 0 || m.TtlSeconds > int64(maxTokenTTL/time.Second) {
		return nil, malformed(errors.New("want a lifetime of at least a second and at most 366 days"))
	}
	if len(m.Scopes) == 0 || len(m.Scopes) > maxScopes || len(m.From) > maxNetworks {
		return nil, malformed(fmt.Errorf("want 1 to %d scopes and at most %d networks", maxScopes, maxNetworks))
	}
	for _, s := range m.Scopes {
		if !isScope(s) {
			return nil, malformed(fmt.Errorf("scope %.100q: want ca.read, ca.manage, certificates.read, certificates.revoke or certificates.sign/ISSUER", s))
		}
	}
	t := &sekisho.Token{Name: m.Name, Scopes: slices.Compact(slices.Sorted(slices.Values(m.Scopes)))}
	for _, n := range m.From {
		p, err := netip.ParsePrefix(n)
		if err != nil || p.Masked() != p || p.Addr().Is4In6() {
			return nil, malformed(fmt.Errorf("network %.60q: want the form 10.0.0.0/8, with nothing set after the prefix", n))
		}
		t.From = append(t.From, p.String())
	}
	return t, nil
}

func isScope(s string) bool {
	switch s {
	case scopeReadCAs, scopeManageCAs, scopeRead, scopeRevoke:
		return true
	}
	issuer, ok := strings.CutPrefix(s, scopeSignPrefix)
	return ok && len(issuer) <= 64 && sekisho.CheckTargetName(issuer) == nil
}

// keep notes a token, then saves it: one that nobody knows of is never good.
func (d tokens) keep(ctx context.Context, who *caller, t *sekisho.Token) error {
	d.programs.making.Lock()
	defer d.programs.making.Unlock()
	all, err := d.Store.Tokens(ctx, t.Created)
	if err != nil {
		return fmt.Errorf("list API tokens: %w", err)
	}
	if len(all) >= maxTokens {
		return as(connect.CodeResourceExhausted, &sekisho.Refusal{
			Sentence: fmt.Sprintf("There are %d API tokens, and no more are kept.", maxTokens), Next: "End those that nobody needs: sekisho ca token end ID.",
		})
	}
	if slices.ContainsFunc(all, func(o *sekisho.Token) bool { return o.Name == t.Name }) {
		return as(connect.CodeAlreadyExists, &sekisho.Refusal{
			Sentence: fmt.Sprintf("There is an API token with the name %s.", t.Name), Next: "Choose another name, or end that one: sekisho ca token list.",
		})
	}
	ev := tokenEvent(sekisho.EventTokenMade, who, t)
	ev.Detail["scopes"], ev.Detail["expires"] = strings.Join(t.Scopes, " "), t.Expires.UTC().Format(time.RFC3339)
	if len(t.From) > 0 {
		ev.Detail["from"] = strings.Join(t.From, " ")
	}
	if err := d.Note(ctx, ev); err != nil {
		return fmt.Errorf("note API token: %w", err)
	}
	if err := d.Store.SaveToken(ctx, t); err != nil {
		return fmt.Errorf("save API token: %w", err)
	}
	return nil
}

func tokenEvent(kind string, who *caller, t *sekisho.Token) *sekisho.Event {
	return &sekisho.Event{
		Kind: kind, Actor: who.Identity.Subject, SignIn: who.ID, ClientAddress: text(who.address),
		Detail: map[string]string{"token": t.ID, "name": t.Name},
	}
}

// List gives the live tokens: all to who may manage CAs, else the caller's own.
func (d tokens) List(ctx context.Context, req *connect.Request[apiv1.ListTokensRequest]) (*connect.Response[apiv1.ListTokensResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	all, err := d.Store.Tokens(ctx, d.Now())
	if err != nil {
		return nil, fmt.Errorf("list API tokens: %w", err)
	}
	every := d.mayQuietly(&actor{person: who, address: who.address}, policy.ManageCA)
	res := &apiv1.ListTokensResponse{}
	for _, t := range all {
		if every || t.By == who.Identity.Subject {
			res.Tokens = append(res.Tokens, tokenInfo(t))
		}
	}
	return connect.NewResponse(res), nil
}

// End ends a token: one's own, or any of them for who may manage CAs. It is ended before that is noted: better one too few.
func (d tokens) End(ctx context.Context, req *connect.Request[apiv1.EndTokenRequest]) (*connect.Response[apiv1.EndTokenResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	if !sekisho.CheckID("api", req.Msg.Id) {
		return nil, malformed(errors.New("that is no API token's ID, such as api_ and 26 characters"))
	}
	t, err := d.Store.Token(ctx, req.Msg.Id)
	if err != nil && !errors.Is(err, sekisho.ErrNotFound) {
		return nil, fmt.Errorf("read API token: %w", err)
	}
	if t == nil || t.By != who.Identity.Subject {
		if err := d.may(ctx, who, policy.ManageCA, true); err != nil {
			return nil, err
		}
	}
	ended := false
	if t != nil {
		if ended, err = d.Store.EndToken(ctx, t.ID, d.Now()); err != nil {
			return nil, fmt.Errorf("end API token: %w", err)
		}
	}
	if !ended {
		return nil, as(connect.CodeNotFound, &sekisho.Refusal{
			Sentence: "There is no such API token any more.", Next: "See which there are: sekisho ca token list.",
		})
	}
	if err := d.Note(ctx, tokenEvent(sekisho.EventTokenEnded, who, t)); err != nil {
		return nil, fmt.Errorf("note end of API token: %w", err)
	}
	return connect.NewResponse(&apiv1.EndTokenResponse{}), nil
}

func tokenInfo(t *sekisho.Token) *apiv1.Token {
	info := &apiv1.Token{
		Id: t.ID, Name: t.Name, Scopes: t.Scopes, From: t.From, By: t.By,
		Created: timestamppb.New(t.Created), Expires: timestamppb.New(t.Expires),
	}
	if !t.Used.IsZero() {
		info.Used = timestamppb.New(t.Used)
	}
	return info
}
