package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
	// maxPublishTTL is how long a published key may log in, maxPublishTargets how many targets one publication is for, and
	// maxPublishNetworks how many networks it is held to.
	maxPublishTTL      = 30 * 24 * time.Hour
	maxPublishTargets  = 100
	maxPublishNetworks = 16
	// maxPublishedBy and maxPublishedAt are how many published keys are in force of one person and at one target.
	maxPublishedBy = 100
	maxPublishedAt = 100
)

// publishAllow are the words for what a published key may do beside running commands and subsystems.
var publishAllow = []string{"pty", "port-forwarding", "agent-forwarding", "x11-forwarding"}

// PublishedKeys keeps published keys by ID.
type PublishedKeys interface {
	AddPublishedKey(ctx context.Context, k *sekisho.PublishedKey) error
	PublishedKey(ctx context.Context, id string) (*sekisho.PublishedKey, error)
	// PublishedKeys gives the publications of the key with a SHA256 fingerprint, newest first.
	PublishedKeys(ctx context.Context, fingerprint string) ([]*sekisho.PublishedKey, error)
	// FindPublishedKeys gives the newest first.
	FindPublishedKeys(ctx context.Context, q sekisho.PublishedKeyQuery) ([]*sekisho.PublishedKey, error)
	// WithdrawPublishedKey says whether this call is the one that withdrew it.
	WithdrawPublishedKey(ctx context.Context, id, by string, at time.Time) (bool, error)
}

// published serves PublishedKeyService. What a published key may do is asked again for each listing and each time that a
// connector asks for its hosts' keys: of the policies, and of what is revoked.
type published struct{ *door }

func (d published) Publish(ctx context.Context, req *connect.Request[apiv1.PublishKeyRequest]) (*connect.Response[apiv1.PublishKeyResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	k, hosts, err := d.readPublication(who, req.Msg)
	if err != nil {
		return nil, err
	}
	targets, decision, err := d.judgePublication(ctx, k, hosts)
	if err != nil {
		return nil, err
	}
	for _, t := range targets {
		k.Targets = append(k.Targets, t.Name)
	}
	d.publishing.Lock()
	defer d.publishing.Unlock()
	if decision.Effect == sekisho.Allow {
		if decision, err = d.roomFor(ctx, k, decision); err != nil {
			return nil, err
		}
	}
	if err := d.Note(ctx, publicationEvent(who, k, hosts, decision)); err != nil {
		return nil, fmt.Errorf("note publication: %w", err)
	}
	if decision.Effect != sekisho.Allow {
		return nil, denied(decision)
	}
	if err := d.Store.AddPublishedKey(ctx, k); err != nil {
		return nil, err
	}
	m := d.newShelf(who, targets).message(ctx, k)
	return connect.NewResponse(&apiv1.PublishKeyResponse{Key: m, IntervalSeconds: int32(syncEvery.Seconds())}), nil
}

// readPublication checks the form of what was sent. The hosts are as typed, in lower case and each once.
func (d published) readPublication(who *caller, m *apiv1.PublishKeyRequest) (*sekisho.PublishedKey, []string, error) {
	key, err := readKey(strings.TrimSpace(m.PublicKey))
	if err == nil && strings.ContainsAny(strings.TrimSpace(m.PublicKey), "\r\n\x00") {
		err = errors.New("the public key is more than one line")
	}
	if err != nil {
		return nil, nil, malformed(err)
	}
	hosts, err := publicationHosts(m.Targets)
	if err = errors.Join(err, sekisho.CheckLogin(m.Login), checkAllow(m.Allow)); err != nil {
		return nil, nil, malformed(err)
	}
	from, err := publicationNetworks(m.From)
	if err != nil {
		return nil, nil, malformed(err)
	}
	if m.TtlSeconds < 1 || m.TtlSeconds > int64(maxPublishTTL/time.Second) {
		return nil, nil, as(connect.CodeInvalidArgument, &sekisho.Refusal{
			Sentence: "A published key lasts between a second and 30 days.", Next: "Ask for a time of that length, such as --ttl 1h.",
		})
	}
	if m.Reason == "" {
		return nil, nil, malformed(errors.New("there is no reason"))
	}
	if err := checkReason(m.Reason); err != nil {
		return nil, nil, err
	}
	now := d.Now()
	return &sekisho.PublishedKey{
		ID: sekisho.NewID("pub"), Line: ca.Line(key), Fingerprint: ssh.FingerprintSHA256(key), Login: m.Login,
		Allow: slices.Compact(slices.Sorted(slices.Values(m.Allow))), From: from, By: who.Identity, ClientAddress: text(who.address),
		Reason: m.Reason, Published: now, Expires: now.Add(time.Duration(m.TtlSeconds) * time.Second).Truncate(time.Second),
	}, hosts, nil
}

func publicationHosts(names []string) ([]string, error) {
	if len(names) < 1 || len(names) > maxPublishTargets {
		return nil, fmt.Errorf("%d targets: want 1 to %d", len(names), maxPublishTargets)
	}
	var hosts []string
	for _, name := range names {
		name = strings.ToLower(name)
		if err := sekisho.CheckTargetName(name); err != nil {
			return nil, err
		}
		if !slices.Contains(hosts, name) {
			hosts = append(hosts, name)
		}
	}
	return hosts, nil
}

func checkAllow(words []string) error {
	for _, word := range words {
		if !slices.Contains(publishAllow, word) {
			return fmt.Errorf("%.40q is nothing that can be allowed; there are %s", word, strings.Join(publishAllow, ", "))
		}
	}
	return nil
}

// publicationNetworks reads CIDR ranges, or addresses, and writes them anew.
func publicationNetworks(from []string) ([]string, error) {
	if len(from) > maxPublishNetworks {
		return nil, fmt.Errorf("%d networks: want %d at most", len(from), maxPublishNetworks)
	}
	var out []string
	for _, text := range from {
		p, err := netip.ParsePrefix(text)
		if a, err2 := netip.ParseAddr(text); err2 == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%.60q is no network, such as 192.0.2.0/24", text)
		}
		out = append(out, p.Masked().String())
	}
	return out, nil
}

// judgePublication decides for all targets together: whoever may not publish at one publishes nowhere. An allowing
// decision names the policies of all.
func (d published) judgePublication(ctx context.Context, k *sekisho.PublishedKey, hosts []string) ([]*sekisho.Target, sekisho.Decision, error) {
	all := sekisho.Decision{Effect: sekisho.Allow}
	var targets []*sekisho.Target
	for _, host := range hosts {
		t, err := Find(ctx, d.Store, d.Domain, host)
		exists := err == nil
		if err != nil && !errors.Is(err, sekisho.ErrNotFound) {
			return nil, all, fmt.Errorf("read target: %w", err)
		}
		if !exists {
			t = &sekisho.Target{Name: host}
		}
		decision := judge(d.Policies(), publishRequest(k, t), exists, d.Now())
		if decision.Effect == sekisho.Allow {
			decision = d.beside(ctx, k, t, decision)
		}
		if decision.Effect != sekisho.Allow {
			return nil, decision, nil
		}
		all.Policies = append(all.Policies, decision.Policies...)
		if !slices.ContainsFunc(targets, func(o *sekisho.Target) bool { return o.Name == t.Name }) {
			targets = append(targets, t)
		}
	}
	slices.Sort(all.Policies)
	all.Policies = slices.Compact(all.Policies)
	return targets, all, nil
}

func publishRequest(k *sekisho.PublishedKey, t *sekisho.Target) policy.Request {
	from, _ := netip.ParseAddr(k.ClientAddress) // the zero one stands for a place that is not known
	return policy.Request{Action: policy.PublishKeys, Identity: k.By, Target: t, Login: k.Login, ClientAddress: from}
}

// stillServed decides whether a published key may log in on a target now.
func (d *door) stillServed(ctx context.Context, k *sekisho.PublishedKey, t *sekisho.Target) sekisho.Decision {
	decision := d.Policies().Evaluate(publishRequest(k, t), d.Now())
	if decision.Effect == sekisho.Allow {
		decision = d.beside(ctx, k, t, decision)
	}
	return decision
}

// beside decides what is above policies: nothing goes around a recording, and what is revoked is not let in.
func (d *door) beside(ctx context.Context, k *sekisho.PublishedKey, t *sekisho.Target, decision sekisho.Decision) sekisho.Decision {
	no := func(reason, next string) sekisho.Decision {
		return sekisho.Decision{Effect: sekisho.Deny, Reason: reason, Next: next, Policies: decision.Policies}
	}
	if t.Audited {
		return no("Keys cannot be published on "+t.Name+": it is audited, and who logs in by a published key goes around the recording.",
			"Connect through Sekisho, with plain ssh.")
	}
	request := publishRequest(k, t)
	request.Action = policy.Connect
	if own := d.Policies().Evaluate(request, d.Now()); own.Effect == sekisho.Allow && own.Limits.Audit != sekisho.AuditNone {
		return no("Keys cannot be published by you for "+k.Login+" on "+t.Name+": your sessions there are recorded, and who logs in by a "+
			"published key goes around the recording.", "Connect through Sekisho, with plain ssh, or ask somebody whose sessions there are not recorded.")
	}
	err := d.Barred(ctx, k.By.Subject)
	if err == nil {
		err = d.checkPublished(k)
	}
	var refused *sekisho.Refusal
	switch {
	case errors.As(err, &refused):
		return no(refused.Sentence, refused.Next)
	case err != nil:
		d.Log.Error("ask whether a published key is revoked", "key", k.ID, "error", err)
		return no("Whether this key or who published it is revoked is not known at the moment.", "Try again in a minute.")
	}
	return decision
}

func (d *door) checkPublished(k *sekisho.PublishedKey) error {
	key, err := readKey(k.Line)
	if err != nil {
		return err
	}
	return d.CA.CheckPublished(key, sekisho.KeyID{Subject: k.By.Subject})
}

// roomFor refuses a key that is published at one of the places already, and what is too much. publishing must be held.
func (d published) roomFor(ctx context.Context, k *sekisho.PublishedKey, decision sekisho.Decision) (sekisho.Decision, error) {
	no := func(reason, next string) (sekisho.Decision, error) {
		return sekisho.Decision{Effect: sekisho.Deny, Reason: reason, Next: next, Policies: decision.Policies}, nil
	}
	query := sekisho.PublishedKeyQuery{Person: k.By.Subject, InForceAt: k.Published, Limit: maxPublishedBy}
	own, err := d.Store.FindPublishedKeys(ctx, query)
	if err != nil {
		return decision, err
	}
	if len(own) >= maxPublishedBy {
		return no(fmt.Sprintf("You have published %d keys that are still in force, which is the most there may be.", maxPublishedBy),
			"Withdraw some: sekisho keys published lists them.")
	}
	for _, target := range k.Targets {
		there, err := d.Store.FindPublishedKeys(ctx, sekisho.PublishedKeyQuery{Target: target, InForceAt: k.Published, Limit: maxPublishedAt})
		if err != nil {
			return decision, err
		}
		if len(there) >= maxPublishedAt {
			return no(fmt.Sprintf("There are %d published keys on %s, which is the most there may be.", maxPublishedAt, target),
				"Have some withdrawn, or wait until one expires.")
		}
		for _, o := range there {
			if o.Fingerprint == k.Fingerprint && o.Login == k.Login {
				return no(fmt.Sprintf("This key is published for %s on %s already, until %s, as %s.", k.Login, target, o.Expires.UTC().Format(time.RFC3339), o.ID),
					"To change that, withdraw it and publish it anew: hosts take both in one step.")
			}
		}
	}
	return decision, nil
}

func publicationEvent(who *caller, k *sekisho.PublishedKey, hosts []string, decision sekisho.Decision) *sekisho.Event {
	ev := &sekisho.Event{
		Kind: sekisho.EventKeyPublished, Actor: who.Identity.Subject, SignIn: who.ID, Login: k.Login, ClientAddress: text(who.address),
		Decision: &decision, Detail: map[string]string{"published": k.ID, "key": k.Fingerprint, "targets": strings.Join(k.Targets, " "),
			"expires": k.Expires.UTC().Format(time.RFC3339), "reason": k.Reason},
	}
	if len(k.Allow) > 0 {
		ev.Detail["allow"] = strings.Join(k.Allow, " ")
	}
	if len(k.From) > 0 {
		ev.Detail["from"] = strings.Join(k.From, " ")
	}
	if decision.Effect != sekisho.Allow {
		ev.Kind = sekisho.EventDecision
		ev.Detail = map[string]string{"action": string(policy.PublishKeys), "key": k.Fingerprint, "targets": strings.Join(hosts, " ")}
	}
	if len(hosts) == 1 {
		ev.Target = hosts[0]
		if len(k.Targets) == 1 {
			ev.Target = k.Targets[0]
		}
	}
	return ev
}

// publishedOn gives the keys that a target's host is to let in, by login.
func (d *door) publishedOn(ctx context.Context, t *sekisho.Target) (map[string]*apiv1.PublishedKeys, error) {
	all, err := d.Store.FindPublishedKeys(ctx, sekisho.PublishedKeyQuery{Target: t.Name, InForceAt: d.Now(), Limit: maxPublishedAt})
	if err != nil {
		return nil, err
	}
	out := make(map[string]*apiv1.PublishedKeys)
	for _, k := range slices.Backward(all) {
		if d.stillServed(ctx, k, t).Effect != sekisho.Allow {
			continue
		}
		if out[k.Login] == nil {
			out[k.Login] = &apiv1.PublishedKeys{}
		}
		out[k.Login].Keys = append(out[k.Login].Keys, &apiv1.PublishedKeyLine{
			Id: k.ID, Key: k.Line, Expires: stamp(k.Expires), Allow: k.Allow, From: k.From,
		})
	}
	return out, nil
}
