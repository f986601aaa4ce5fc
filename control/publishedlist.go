package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/policy"
)

// maxPublishedRead is how many publications are looked through for one list.
const maxPublishedRead = 10_000

// maxPublicationsTold is how many publications of a key Explain tells of, the newest.
const maxPublicationsTold = 20

func (d published) Withdraw(ctx context.Context, req *connect.Request[apiv1.WithdrawKeyRequest]) (*connect.Response[apiv1.WithdrawKeyResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	id := req.Msg.Id
	if !sekisho.CheckID("pub", id) {
		return nil, malformed(errors.New("that is no published key: they are called pub_ and 26 letters and digits"))
	}
	k, err := d.Store.PublishedKey(ctx, id)
	if errors.Is(err, sekisho.ErrNotFound) {
		return nil, notTheirs(id, err)
	}
	if err != nil {
		return nil, err
	}
	shelf, err := d.openShelf(ctx, who)
	if err != nil {
		return nil, err
	}
	if !shelf.mayWithdraw(k) {
		return nil, d.withdrawalDenied(ctx, who, k)
	}
	if !k.InForce(d.Now()) {
		return nil, as(connect.CodeFailedPrecondition, &sekisho.Refusal{
			Sentence: "This key is not published any more: it " + publicationEnded(k) + ".", Next: "Nothing is left to be done.",
		})
	}
	if err := d.Note(ctx, withdrawalEvent(who, k)); err != nil {
		return nil, fmt.Errorf("note withdrawal: %w", err)
	}
	if _, err := d.Store.WithdrawPublishedKey(ctx, id, who.Identity.Subject, d.Now()); err != nil {
		return nil, err
	}
	if k, err = d.Store.PublishedKey(ctx, id); err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.WithdrawKeyResponse{Key: shelf.message(ctx, k)}), nil
}

func publicationEnded(k *sekisho.PublishedKey) string {
	if k.Withdrawn.IsZero() {
		return "expired at " + k.Expires.UTC().Format(time.RFC3339)
	}
	return "was withdrawn by " + k.WithdrawnBy + " at " + k.Withdrawn.UTC().Format(time.RFC3339)
}

// notTheirs says the same of a key that is not there and of one that they may not withdraw.
func notTheirs(id string, cause error) error {
	return as(connect.CodeNotFound, &sekisho.Refusal{
		Sentence: "There is no published key " + id + " that you may withdraw.", Next: "sekisho keys published lists those that you know of.", Cause: cause,
	})
}

func (d published) withdrawalDenied(ctx context.Context, who *caller, k *sekisho.PublishedKey) error {
	refused := notTheirs(k.ID, nil)
	ev := withdrawalEvent(who, k)
	ev.Kind, ev.Detail["action"] = sekisho.EventDecision, "withdraw"
	ev.Decision = &sekisho.Decision{Effect: sekisho.Deny, Reason: "No policy lets " + who.Identity.Subject + " withdraw this key."}
	if err := d.Note(ctx, ev); err != nil {
		return fmt.Errorf("note decision: %w", err)
	}
	return refused
}

func withdrawalEvent(who *caller, k *sekisho.PublishedKey) *sekisho.Event {
	ev := &sekisho.Event{
		Kind: sekisho.EventKeyWithdrawn, Actor: who.Identity.Subject, SignIn: who.ID, Login: k.Login, ClientAddress: text(who.address),
		Detail: map[string]string{"published": k.ID, "key": k.Fingerprint, "targets": strings.Join(k.Targets, " ")},
	}
	if len(k.Targets) == 1 {
		ev.Target = k.Targets[0]
	}
	return ev
}

func (d published) List(ctx context.Context, req *connect.Request[apiv1.ListPublishedKeysRequest]) (*connect.Response[apiv1.ListPublishedKeysResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	n, err := limit(req.Msg.Limit)
	if err != nil {
		return nil, err
	}
	if req.Msg.Before != "" && !sekisho.CheckID("pub", req.Msg.Before) {
		return nil, malformed(errors.New("before is no published key"))
	}
	shelf, err := d.openShelf(ctx, who)
	if err != nil {
		return nil, err
	}
	found, more, err := shelf.read(ctx, req.Msg, n)
	if err != nil {
		return nil, err
	}
	res := &apiv1.ListPublishedKeysResponse{More: more}
	for _, k := range found {
		res.Keys = append(res.Keys, shelf.message(ctx, k))
	}
	return connect.NewResponse(res), nil
}

// shelf is the published keys as one caller sees them. What it finds out of policies it keeps for as long as the call lasts.
type shelf struct {
	*door
	who     *caller
	targets map[string]*sekisho.Target
	// reads says that they may know of all, manages that they may withdraw all, publishes whether they may publish as a
	// login ("login:target").
	reads, manages bool
	publishes      map[string]bool
}

func (d *door) openShelf(ctx context.Context, who *caller) (*shelf, error) {
	all, err := d.Store.Targets(ctx)
	if err != nil {
		return nil, fmt.Errorf("list targets: %w", err)
	}
	return d.newShelf(who, all), nil
}

func (d *door) newShelf(who *caller, targets []*sekisho.Target) *shelf {
	s := &shelf{door: d, who: who, targets: make(map[string]*sekisho.Target, len(targets)), publishes: map[string]bool{}}
	for _, t := range targets {
		s.targets[t.Name] = t
	}
	s.reads, s.manages = s.allows(policy.Request{Action: policy.ReadAudit}), s.allows(policy.Request{Action: policy.ManageCA})
	return s
}

// allows asks the policies, and notes nothing: nobody is denied anything.
func (s *shelf) allows(r policy.Request) bool {
	r.Identity, r.ClientAddress = s.who.Identity, s.who.address
	return s.Policies().Evaluate(r, s.Now()).Effect == sekisho.Allow
}

// mayWithdraw is for who published the key, who may manage CAs, and who may publish keys as that login wherever it is.
func (s *shelf) mayWithdraw(k *sekisho.PublishedKey) bool {
	if s.manages || k.By.Subject == s.who.Identity.Subject {
		return true
	}
	return !slices.ContainsFunc(k.Targets, func(target string) bool { return !s.mayPublish(target, k.Login) })
}

func (s *shelf) mayPublish(target, login string) bool {
	name := sekisho.Principal(login, target)
	may, known := s.publishes[name]
	if !known {
		t := s.targets[target]
		may = t != nil && s.allows(policy.Request{Action: policy.PublishKeys, Target: t, Login: login})
		s.publishes[name] = may
	}
	return may
}

// read finds the newest n that the caller may know of, and whether there are more.
func (s *shelf) read(ctx context.Context, m *apiv1.ListPublishedKeysRequest, n int) (found []*sekisho.PublishedKey, more bool, err error) {
	q := sekisho.PublishedKeyQuery{Before: m.Before, Limit: maxList}
	if !m.All {
		q.InForceAt = s.Now()
	}
	for seen := 0; seen < maxPublishedRead; seen += maxList {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		page, err := s.Store.FindPublishedKeys(ctx, q)
		if err != nil {
			return nil, false, err
		}
		for _, k := range page {
			if !s.reads && !s.mayWithdraw(k) {
				continue
			}
			if len(found) == n {
				return found, true, nil
			}
			found = append(found, k)
		}
		if len(page) < maxList {
			return found, false, nil
		}
		q.Before = page[len(page)-1].ID
	}
	return found, true, nil
}

// publicationsOf gives the newest publications of a key that somebody may know of, as a line of sshd's log names it by its
// fingerprint.
func (d *door) publicationsOf(ctx context.Context, who *actor, fingerprint string) ([]*apiv1.PublishedKey, error) {
	all, err := d.Store.PublishedKeys(ctx, fingerprint)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	person := who.person
	if person == nil { // a program, by the scope that let it in
		person = &caller{SignIn: &sekisho.SignIn{}, address: who.address}
	}
	s, err := d.openShelf(ctx, person)
	if err != nil {
		return nil, err
	}
	var out []*apiv1.PublishedKey
	for _, k := range all[:min(len(all), maxPublicationsTold)] {
		if who.person == nil || s.reads || s.mayWithdraw(k) {
			out = append(out, s.message(ctx, k))
		}
	}
	return out, nil
}

func (s *shelf) message(ctx context.Context, k *sekisho.PublishedKey) *apiv1.PublishedKey {
	m := &apiv1.PublishedKey{
		Id: k.ID, PublicKey: k.Line, Fingerprint: k.Fingerprint, Targets: k.Targets, Login: k.Login, By: k.By.Subject, Reason: k.Reason,
		Published: stamp(k.Published), Expires: stamp(k.Expires), Withdrawn: stamp(k.Withdrawn), WithdrawnBy: k.WithdrawnBy,
		Allow: k.Allow, From: k.From,
	}
	if !k.InForce(s.Now()) {
		return m
	}
	m.MayWithdraw = s.mayWithdraw(k)
	for _, name := range k.Targets {
		t := s.targets[name]
		if t != nil && t.Connector != "" && s.stillServed(ctx, k, t).Effect == sekisho.Allow {
			m.Served = append(m.Served, name)
		}
	}
	return m
}

// stamp is a time as the contract has it: unset for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
