package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/ca"
)

// connectors serves ConnectorService.
type connectors struct{ *door }

func (d connectors) Join(ctx context.Context, req *connect.Request[apiv1.JoinRequest]) (*connect.Response[apiv1.JoinResponse], error) {
	thumbprint, err := d.proven(req)
	if err != nil {
		return nil, err
	}
	d.binding.Lock()
	defer d.binding.Unlock()
	inv, err := d.invited(ctx, req.Msg.Token)
	if err != nil {
		return nil, err
	}
	c := &sekisho.Connector{ID: sekisho.NewID("con"), Name: inv.Name, Thumbprint: thumbprint, Joined: d.Now().UTC()}
	if c.Name == "" {
		c.Name = strings.ToLower(req.Msg.Name)
	}
	if err := checkConnectorName(c.Name); err != nil {
		return nil, malformed(err)
	}
	// What can be wrong with the request is found before the token is spent.
	link, err := d.Links.Sign(ca.LinkRequest{CSR: req.Msg.Csr, Thumbprint: thumbprint, Connector: c.ID, Name: c.Name})
	if err != nil {
		return nil, as(connect.CodeInvalidArgument, err)
	}
	targets, former, err := d.bindable(ctx, inv)
	if err != nil {
		d.noteJoinRefused(ctx, c, req.Peer().Addr, err)
		return nil, as(connect.CodeFailedPrecondition, err)
	}
	if _, err := d.Store.TakePending(ctx, joinKey(req.Msg.Token), d.Now()); err != nil {
		return nil, notInvited(err)
	}
	token := newSecret(c)
	if err := d.admit(ctx, c, targets, former, text(addressOf(req.Peer().Addr))); err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.JoinResponse{
		Connector: c.ID, Token: token, LinkCertificate: link, Targets: inv.Targets,
	}), nil
}

// notInvited turns absence into a refusal; other errors are ours.
func notInvited(err error) error {
	if !errors.Is(err, sekisho.ErrNotFound) {
		return fmt.Errorf("read join token: %w", err)
	}
	return as(connect.CodeUnauthenticated, &sekisho.Refusal{
		Sentence: "This join token is not known, has expired or was used already.",
		Next:     "Ask an administrator for a new one.",
		Cause:    err,
	})
}

// invited reads what a join token stands for and leaves it where it is.
func (d connectors) invited(ctx context.Context, token string) (*invitation, error) {
	if !sekisho.CheckID("join", token) {
		return nil, notInvited(fmt.Errorf("join token is malformed: %w", sekisho.ErrNotFound))
	}
	body, err := d.Store.Pending(ctx, joinKey(token), d.Now())
	if err != nil {
		return nil, notInvited(err)
	}
	inv := new(invitation)
	if err := json.Unmarshal(body, inv); err != nil {
		return nil, fmt.Errorf("read join token: %w", err)
	}
	return inv, nil
}

// bindable gives the invitation's targets and the connectors that serve them now, or refuses to take them away from
// one that lives.
func (d connectors) bindable(ctx context.Context, inv *invitation) (targets []*sekisho.Target, former map[string]bool, err error) {
	former = make(map[string]bool)
	for _, name := range inv.Targets {
		t, err := d.Store.Target(ctx, name)
		if err != nil {
			return nil, nil, fmt.Errorf("read target %s: %w", name, err)
		}
		targets = append(targets, t)
		if t.Connector == "" {
			continue
		}
		c, err := d.Store.Connector(ctx, t.Connector)
		if err != nil && !errors.Is(err, sekisho.ErrNotFound) {
			return nil, nil, fmt.Errorf("read connector: %w", err)
		}
		if err != nil || !c.Ended.IsZero() {
			continue
		}
		if !inv.Replace {
			return nil, nil, &sekisho.Refusal{
				Sentence: fmt.Sprintf("Target %s is served by connector %s already.", name, c.Name),
				Next:     "Ask an administrator for a token that replaces it.",
			}
		}
		former[c.ID] = true
	}
	return targets, former, nil
}

// newSecret gives the connector its token and keeps the token's hash in c.
func newSecret(c *sekisho.Connector) string {
	var secret [32]byte
	rand.Read(secret[:]) // never fails (Go 1.24)
	token := c.ID + "." + base64.RawURLEncoding.EncodeToString(secret[:])
	hash := sha256.Sum256([]byte(token))
	c.TokenHash = hash[:]
	return token
}

// admit notes the connector, keeps it, and binds its targets. Former connectors that are left with none have ended; the
// links of all of them are cut, for they were made when the targets were still theirs.
func (d connectors) admit(ctx context.Context, c *sekisho.Connector, targets []*sekisho.Target, former map[string]bool, from string) error {
	events := make([]*sekisho.Event, len(targets))
	for i, t := range targets {
		events[i] = &sekisho.Event{
			Kind: sekisho.EventConnectorJoined, Actor: "connector:" + c.Name, Target: t.Name, ClientAddress: from,
			Detail: map[string]string{"connector": c.ID, "key": c.Thumbprint},
		}
		if t.Connector != "" {
			events[i].Detail["before"] = t.Connector
		}
	}
	if err := d.Note(ctx, events...); err != nil {
		return fmt.Errorf("note connector: %w", err)
	}
	if err := d.Store.SaveConnector(ctx, c); err != nil {
		return fmt.Errorf("save connector: %w", err)
	}
	for _, t := range targets {
		t.Connector = c.ID
		if err := d.Store.SaveTarget(ctx, t); err != nil {
			return fmt.Errorf("bind target %s: %w", t.Name, err)
		}
	}
	lost := slices.Collect(maps.Keys(former))
	err := d.retire(ctx, former)
	for _, id := range lost {
		d.Cut(id)
	}
	return err
}

// retire ends the connectors that serve nothing any more.
func (d connectors) retire(ctx context.Context, former map[string]bool) error {
	if len(former) == 0 {
		return nil
	}
	all, err := d.Store.Targets(ctx)
	if err != nil {
		return fmt.Errorf("list targets: %w", err)
	}
	for _, t := range all {
		delete(former, t.Connector)
	}
	for id := range former {
		if _, err := d.Store.EndConnector(ctx, id, d.Now()); err != nil {
			return fmt.Errorf("end connector %s: %w", id, err)
		}
	}
	return nil
}

// noteJoinRefused notes who came with a good token and was refused. Those without one are in the log only: anybody
// could fill the audit log with them.
func (d connectors) noteJoinRefused(ctx context.Context, c *sekisho.Connector, peer string, cause error) {
	ev := &sekisho.Event{
		Kind: sekisho.EventConnectorRefused, Actor: "connector:" + c.Name, ClientAddress: text(addressOf(peer)), Error: cause.Error(),
	}
	if err := d.Note(ctx, ev); err != nil {
		d.Log.Error("note refused connector", "name", c.Name, "error", err)
	}
}
