package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
)

// JoinTokenTTL is how long a join token waits to be used.
const JoinTokenTTL = time.Hour

// maxBound is how many targets one token may name.
const maxBound = 256

// invitation is what is kept under a join token's digest until a connector redeems it.
type invitation struct {
	// Name is the connector's name; empty lets the connector say it.
	Name    string    `json:"name,omitempty"`
	Targets []string  `json:"targets"`
	Replace bool      `json:"replace,omitempty"`
	Expires time.Time `json:"expires"`
}

// JoinParams is what an administrator wants a new connector to serve.
type JoinParams struct {
	// Name is the connector's name; empty lets the connector say it.
	Name string
	// Targets are added, or changed where there is one with that name; binding and host key of those stay.
	Targets []sekisho.Target
	// Replace allows the connector to take over targets that another live connector serves.
	Replace bool
	// Actor is who asks, as the audit log names them.
	Actor string
	Now   time.Time
}

// TokenStore is what NewJoinToken needs kept.
type TokenStore interface {
	Targets
	PutPending(ctx context.Context, key string, expires time.Time, body []byte) error
}

// NewJoinToken saves the targets and makes the token with which one connector can join for them within an hour, once.
// The store keeps the token's digest only.
func NewJoinToken(ctx context.Context, store TokenStore, note func(context.Context, ...*sekisho.Event) error, p JoinParams) (string, error) {
	if len(p.Targets) == 0 || len(p.Targets) > maxBound {
		return "", fmt.Errorf("join token: %d targets: want 1 to %d", len(p.Targets), maxBound)
	}
	if p.Name != "" {
		if err := checkConnectorName(p.Name); err != nil {
			return "", err
		}
	}
	inv := invitation{Name: p.Name, Replace: p.Replace, Expires: p.Now.Add(JoinTokenTTL)}
	events := make([]*sekisho.Event, len(p.Targets))
	for i := range p.Targets {
		t := &p.Targets[i]
		if err := checkTarget(t); err != nil {
			return "", err
		}
		if slices.Contains(inv.Targets, t.Name) {
			return "", fmt.Errorf("join token: target %s is named twice", t.Name)
		}
		inv.Targets = append(inv.Targets, t.Name)
		events[i] = targetEvent(t, p.Actor)
	}
	if err := checkFree(ctx, store, p.Targets); err != nil {
		return "", err
	}
	if err := checkPrincipals(ctx, store, p.Targets); err != nil {
		return "", err
	}
	if err := note(ctx, events...); err != nil {
		return "", fmt.Errorf("note targets: %w", err)
	}
	for _, t := range p.Targets {
		if err := saveTarget(ctx, store, t); err != nil {
			return "", err
		}
	}
	body, err := json.Marshal(inv)
	if err != nil {
		return "", fmt.Errorf("join token: %w", err)
	}
	token := sekisho.NewID("join")
	if err := store.PutPending(ctx, joinKey(token), inv.Expires, body); err != nil {
		return "", fmt.Errorf("keep join token: %w", err)
	}
	return token, nil
}

// saveTarget writes a target as an administrator describes it; what its connector has brought stays.
func saveTarget(ctx context.Context, store Targets, t sekisho.Target) error {
	old, err := store.Target(ctx, t.Name)
	if err != nil && !errors.Is(err, sekisho.ErrNotFound) {
		return fmt.Errorf("read target %s: %w", t.Name, err)
	}
	t.Connector, t.HostKey = "", ""
	if err == nil {
		t.Connector, t.HostKey = old.Connector, old.HostKey
	}
	if err := store.SaveTarget(ctx, &t); err != nil {
		return fmt.Errorf("save target %s: %w", t.Name, err)
	}
	return nil
}

// checkFree reports addresses that are another target's, before anything is noted. The store has the last word.
func checkFree(ctx context.Context, store Targets, wanted []sekisho.Target) error {
	all, err := store.Targets(ctx)
	if err != nil {
		return fmt.Errorf("list targets: %w", err)
	}
	owner := make(map[string]string)
	for _, t := range all {
		for _, a := range t.Addresses {
			owner[a] = t.Name
		}
	}
	for _, t := range wanted {
		for _, a := range t.Addresses {
			if other := owner[a]; other != "" && other != t.Name {
				return fmt.Errorf("target %s: address %s is target %s's: %w", t.Name, a, other, sekisho.ErrTaken)
			}
			owner[a] = t.Name
		}
	}
	return nil
}

// checkPrincipals keeps a class from being another target's name, where principals are made of classes: login:NAME would
// open both.
func checkPrincipals(ctx context.Context, store Targets, wanted []sekisho.Target) error {
	all, err := store.Targets(ctx)
	if err != nil {
		return fmt.Errorf("list targets: %w", err)
	}
	names, classes := map[string]bool{}, map[string]string{}
	take := func(t *sekisho.Target) {
		switch t.Mapping {
		case "", sekisho.MapTarget:
			names[t.Name] = true
		case sekisho.MapClass:
			classes[t.Class] = t.Name
		}
	}
	for _, t := range all {
		if !slices.ContainsFunc(wanted, func(w sekisho.Target) bool { return w.Name == t.Name }) {
			take(t)
		}
	}
	for i := range wanted {
		take(&wanted[i])
	}
	for class, target := range classes {
		if names[class] {
			return fmt.Errorf("target %s: its class %s is the name of a target, and the principals of the two would be the same: choose another class", target, class)
		}
	}
	return nil
}

func targetEvent(t *sekisho.Target, actor string) *sekisho.Event {
	ev := &sekisho.Event{
		Kind: sekisho.EventTargetAdded, Actor: actor, Target: t.Name,
		Detail: map[string]string{
			"labels": strings.Join(t.Labels, " "), "logins": strings.Join(t.Logins, " "), "audited": strconv.FormatBool(t.Audited),
		},
	}
	if t.Mapping != "" {
		ev.Detail["mapping"] = string(t.Mapping)
	}
	if len(t.Addresses) > 0 {
		ev.Detail["addresses"] = strings.Join(t.Addresses, " ")
	}
	return ev
}

func checkTarget(t *sekisho.Target) error {
	if err := sekisho.CheckTargetName(t.Name); err != nil {
		return err
	}
	if len(t.Logins) == 0 || len(t.Logins) > 64 || len(t.Labels) > 64 {
		return fmt.Errorf("target %s: want 1 to 64 logins and at most 64 labels", t.Name)
	}
	for _, l := range t.Logins {
		if err := sekisho.CheckLogin(l); err != nil {
			return fmt.Errorf("target %s: %w", t.Name, err)
		}
	}
	for _, l := range t.Labels {
		if err := sekisho.CheckLabel(l); err != nil {
			return fmt.Errorf("target %s: %w", t.Name, err)
		}
	}
	if t.Class != "" && sekisho.CheckLabel("class:"+t.Class) != nil { // it has the form of a label's value
		return fmt.Errorf("target %s: class %.60q: want letters, digits and _ . / -", t.Name, t.Class)
	}
	for _, l := range t.Logins {
		if err := sekisho.CheckMapping(t, l); err != nil {
			return fmt.Errorf("target %s: %w", t.Name, err)
		}
	}
	return checkAddresses(t)
}

// checkAddresses brings the target's addresses into their one form.
func checkAddresses(t *sekisho.Target) error {
	if len(t.Addresses) > sekisho.MaxAddresses {
		return fmt.Errorf("target %s: want at most %d addresses", t.Name, sekisho.MaxAddresses)
	}
	var all []string
	for _, a := range t.Addresses {
		prefix, err := sekisho.ParseAddress(a)
		if err != nil {
			return fmt.Errorf("target %s: %w", t.Name, err)
		}
		all = append(all, sekisho.FormatAddress(prefix))
	}
	slices.Sort(all)
	t.Addresses = slices.Compact(all)
	return nil
}

// checkConnectorName keeps names apart from anything else in the log: they have the form of host names.
func checkConnectorName(name string) error {
	if sekisho.CheckTargetName(name) != nil {
		return fmt.Errorf("connector name %.140q: want the form of a lower-case host name", name)
	}
	return nil
}

// joinKey is under what a join token is kept.
func joinKey(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "join/" + hex.EncodeToString(sum[:])
}
