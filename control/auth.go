package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
)

// caller is a person whose sign-in and key were proven in this call.
type caller struct {
	*sekisho.SignIn
	token   string
	address netip.Addr
}

// signedIn says which person calls.
func (d *door) signedIn(ctx context.Context, req connect.AnyRequest) (*caller, error) {
	token, proof := credentials(req.Header())
	address := addressOf(req.Peer().Addr)
	s, err := d.Desk.Authenticate(ctx, token, proof, http.MethodPost, d.URL+req.Spec().Procedure, text(address))
	if err != nil {
		return nil, as(connect.CodeUnauthenticated, err)
	}
	return &caller{SignIn: s, token: token, address: address}, nil
}

// proven gives the thumbprint of the key behind a call that carries a proof and no token.
func (d *door) proven(req connect.AnyRequest) (string, error) {
	_, proof := credentials(req.Header())
	thumbprint, err := d.Desk.Proofs().Check(proof, http.MethodPost, d.URL+req.Spec().Procedure, "")
	return thumbprint, as(connect.CodeUnauthenticated, err)
}

// connector says which connector calls.
func (d *door) connector(ctx context.Context, req connect.AnyRequest) (*sekisho.Connector, error) {
	token, proof := credentials(req.Header())
	unknown := func(cause error) error {
		return as(connect.CodeUnauthenticated, &sekisho.Refusal{
			Sentence: "This connector is not known here.", Next: "Join it again with a new token.", Cause: cause,
		})
	}
	id, secret, ok := strings.Cut(token, ".")
	if !ok || !sekisho.CheckID("con", id) || len(secret) == 0 || len(secret) > 128 {
		return nil, unknown(errors.New("no or malformed connector token"))
	}
	c, err := d.Store.Connector(ctx, id)
	if errors.Is(err, sekisho.ErrNotFound) {
		return nil, unknown(err)
	}
	if err != nil {
		return nil, fmt.Errorf("read connector: %w", err)
	}
	hash := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(hash[:], c.TokenHash) != 1 {
		return nil, unknown(fmt.Errorf("wrong secret for %s", id))
	}
	if !c.Ended.IsZero() {
		return nil, unknown(fmt.Errorf("connector %s has ended", id))
	}
	if err := d.Desk.Proofs().CheckBy(c.Thumbprint, proof, http.MethodPost, d.URL+req.Spec().Procedure, token); err != nil {
		d.alarm(ctx, c, addressOf(req.Peer().Addr), err) // a token without its key is stolen
		return nil, as(connect.CodeUnauthenticated, err)
	}
	return c, nil
}

// credentials reads the token and the proof; a header that is there twice counts as absent (RFC 9449 §4.3).
func credentials(h http.Header) (token, proof string) {
	if v := h.Values("Authorization"); len(v) == 1 {
		scheme, rest, _ := strings.Cut(v[0], " ")
		if strings.EqualFold(scheme, "DPoP") {
			token = strings.TrimSpace(rest)
		}
	}
	if v := h.Values("DPoP"); len(v) == 1 {
		proof = v[0]
	}
	return token, proof
}

// addressOf is where the connection comes from. Whatever a header says about it can be made up.
func addressOf(peer string) netip.Addr {
	at, err := netip.ParseAddrPort(peer)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// alarms remembers of which connectors something odd was noted lately, so that one cannot fill the audit log. It
// grows with the connectors there are, for only they can set one off.
type alarms struct {
	mu   sync.Mutex
	last map[string]time.Time
}

const alarmPause = time.Minute

func (a *alarms) due(id string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = make(map[string]time.Time)
	}
	if last, ok := a.last[id]; ok && now.Sub(last) < alarmPause && !now.Before(last) {
		return false
	}
	a.last[id] = now
	return true
}

// alarm notes that a connector, or somebody with its token, tried what it must not.
func (d *door) alarm(ctx context.Context, c *sekisho.Connector, from netip.Addr, cause error) {
	d.Log.Warn("connector refused", "connector", c.ID, "name", c.Name, "error", cause)
	if !d.alarms.due(c.ID, d.Now()) {
		return
	}
	ev := &sekisho.Event{
		Kind: sekisho.EventConnectorRefused, Actor: "connector:" + c.Name, ClientAddress: text(from), Error: cause.Error(),
		Detail: map[string]string{"connector": c.ID},
	}
	if err := d.Note(ctx, ev); err != nil {
		d.Log.Error("note refused connector", "connector", c.ID, "error", err)
	}
}
