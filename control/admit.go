package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/policy"
)

// Scopes of API tokens: what one is for. The calls of the contract say which of them they take.
const (
	scopeReadCAs    = "ca.read"
	scopeManageCAs  = "ca.manage"
	scopeRead       = "certificates.read"
	scopeRevoke     = "certificates.revoke"
	scopeSignPrefix = "certificates.sign/" // and the issuer's name
)

// actor is who makes a call that people and programs may make.
type actor struct {
	// person is set where a sign-in and its key were proven in this call, token where an API token was.
	person  *caller
	token   *sekisho.Token
	address netip.Addr
	// proves is the SHA-256 of the token that the call was made with, in hexadecimal: what proofs of keys name.
	proves string
}

// name is who that is in events: a person's subject, or "token:NAME".
func (a *actor) name() string {
	if a.person != nil {
		return a.person.Identity.Subject
	}
	return "token:" + a.token.Name
}

// event begins an event of what they do.
func (a *actor) event(kind string) *sekisho.Event {
	ev := &sekisho.Event{Kind: kind, Actor: a.name(), ClientAddress: text(a.address)}
	if a.person != nil {
		ev.SignIn = a.person.ID
	}
	return ev
}

// programs is what the door remembers of API tokens while it is open.
type programs struct {
	making        sync.Mutex // held while a name is looked for and taken
	used, refused alarms
}

// admit lets in a person whose policies allow an action on the house, or an API token that has the scope. A person's
// permission is noted before what follows it, unless they only read; a denial always is.
func (d *door) admit(ctx context.Context, req connect.AnyRequest, action policy.Action, scope string) (*actor, error) {
	who, err := d.known(ctx, req, scope)
	if err != nil || who.person == nil {
		return who, err
	}
	if err := d.may(ctx, who.person, action, action != policy.ReadAudit); err != nil {
		return nil, err
	}
	return who, nil
}

// known lets in whoever is signed in, for what everybody may do with what is theirs, or an API token that has the scope.
// What a person may do beyond that, the call asks of mayQuietly or may.
func (d *door) known(ctx context.Context, req connect.AnyRequest, scope string) (*actor, error) {
	token, ok := bearer(req.Header())
	if !ok {
		who, err := d.signedIn(ctx, req)
		if err != nil {
			return nil, err
		}
		return &actor{person: who, address: who.address, proves: hashed(who.token)}, nil
	}
	address := addressOf(req.Peer().Addr)
	t, err := d.program(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := d.checkUse(ctx, t, address, scope); err != nil {
		return nil, err
	}
	if now := d.Now(); now.Sub(t.Used) >= alarmPause && d.programs.used.due(t.ID, now) {
		if err := d.Store.UseToken(ctx, t.ID, now); err != nil {
			d.Log.Error("note use of API token", "token", t.ID, "error", err)
		}
	}
	return &actor{token: t, address: address, proves: hashed(token)}, nil
}

// mayQuietly reports whether they may do all of a kind and not only what is theirs. Nothing is noted: they are not denied
// anything.
func (d *door) mayQuietly(who *actor, action policy.Action) bool {
	if who.person == nil {
		return true // by the scope that let them in
	}
	r := policy.Request{Action: action, Identity: who.person.Identity, ClientAddress: who.address}
	return d.Policies().Evaluate(r, d.Now()).Effect == sekisho.Allow
}

// program finds the API token that was sent.
func (d *door) program(ctx context.Context, token string) (*sekisho.Token, error) {
	id, secret, _ := strings.Cut(token, ".")
	if !sekisho.CheckID("api", id) || secret == "" || len(secret) > 128 {
		return nil, unknownToken(errors.New("malformed API token"))
	}
	t, err := d.Store.Token(ctx, id)
	if errors.Is(err, sekisho.ErrNotFound) {
		return nil, unknownToken(fmt.Errorf("no API token %s", id))
	}
	if err != nil {
		return nil, fmt.Errorf("read API token: %w", err)
	}
	hash := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(hash[:], t.Hash) != 1 {
		return nil, unknownToken(fmt.Errorf("wrong secret for %s", id))
	}
	if !t.Ended.IsZero() || !d.Now().Before(t.Expires) {
		return nil, as(connect.CodeUnauthenticated, &sekisho.Refusal{
			Sentence: "This API token has ended.", Next: "Ask for a new one: sekisho ca token create.", Cause: fmt.Errorf("API token %s (%s) has ended", id, t.Name),
		})
	}
	return t, nil
}

func unknownToken(cause error) error {
	return as(connect.CodeUnauthenticated, &sekisho.Refusal{
		Sentence: "This API token is not known here.", Next: "Check that all of it is sent, or make a new one: sekisho ca token create.", Cause: cause,
	})
}

// checkUse refuses an API token where, or for what, it may not be used. Each refusal tells that somebody has the whole
// token, so it is noted, at most once in alarmPause for each.
func (d *door) checkUse(ctx context.Context, t *sekisho.Token, from netip.Addr, scope string) error {
	var refused *sekisho.Refusal
	switch barred := d.Barred(ctx, t.By); {
	case !within(from, t.From):
		refused = &sekisho.Refusal{
			Sentence: "This API token may not be used from here.", Next: "Use it from the networks that it was made for, or make another one.",
			Cause: fmt.Errorf("API token used from %s, which is in none of %s", from, strings.Join(t.From, ", ")),
		}
	case barred != nil && !refusal(barred):
		return fmt.Errorf("ask whether the maker of an API token is revoked: %w", barred)
	case barred != nil:
		refused = &sekisho.Refusal{
			Sentence: "The person who made this API token is revoked.", Next: "Ask somebody else for a new one.", Cause: barred,
		}
	case !hasScope(t, scope):
		refused = &sekisho.Refusal{
			Sentence: fmt.Sprintf("This API token is not for that: the call wants the scope %s.", scope),
			Next:     "Make one that has it: sekisho ca token create --scope " + scope + ".",
			Cause:    fmt.Errorf("API token has the scopes %s", strings.Join(t.Scopes, ", ")),
		}
	default:
		return nil
	}
	d.Log.Warn("API token refused", "token", t.ID, "name", t.Name, "error", refused)
	if d.programs.refused.due(t.ID, d.Now()) {
		ev := &sekisho.Event{
			Kind: sekisho.EventTokenRefused, Actor: "token:" + t.Name, ClientAddress: text(from), Error: refused.Cause.Error(),
			Detail: map[string]string{"token": t.ID, "scope": scope},
		}
		if err := d.Note(ctx, ev); err != nil {
			return fmt.Errorf("note refused API token: %w", err)
		}
	}
	return as(connect.CodePermissionDenied, refused)
}

// hasScope: who may manage CAs may read them, and nothing else follows from another.
func hasScope(t *sekisho.Token, scope string) bool {
	for _, s := range t.Scopes {
		if s == scope || s == scopeManageCAs && scope == scopeReadCAs {
			return true
		}
	}
	return false
}

// within reports whether the address is in one of the networks; none given means anywhere.
func within(a netip.Addr, networks []string) bool {
	for _, n := range networks {
		if p, err := netip.ParsePrefix(n); err == nil && p.Contains(a) {
			return true
		}
	}
	return len(networks) == 0
}

// bearer reads an API token; ok is false where the call carries none.
func bearer(h http.Header) (token string, ok bool) {
	v := h.Values("Authorization")
	if len(v) != 1 {
		return "", false
	}
	scheme, rest, _ := strings.Cut(v[0], " ")
	return strings.TrimSpace(rest), strings.EqualFold(scheme, "Bearer")
}

func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
