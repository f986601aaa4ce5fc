package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/policy"
)

// cas serves CAService.
type cas struct{ *door }

var _ apiv1connect.CAServiceHandler = cas{}

const (
	maxLagging = 1000 // hosts, told of one key
	maxStore   = 4096 // bytes of a key store's URI
)

// hostCA is the public key lines of the host CA, one under the other: all that hosts may show certificates of.
func (d *door) hostCA() string { return strings.Join(d.CA.Lines().Host, "\n") }

// List is for everybody who is signed in, for the keys are public. Who lags and what ails a key is for who may manage CAs.
func (d cas) List(ctx context.Context, req *connect.Request[apiv1.ListCAsRequest]) (*connect.Response[apiv1.ListCAsResponse], error) {
	who, err := d.known(ctx, req, scopeReadCAs)
	if err != nil {
		return nil, err
	}
	all := d.Rotation.CA.CAs()
	if name := req.Msg.Name; name != "" {
		all = slices.DeleteFunc(all, func(c *sekisho.CA) bool { return c.Name != name })
		if len(all) == 0 {
			return nil, noCA(name)
		}
	}
	at, err := d.Rotation.survey(ctx)
	if err != nil {
		return nil, err
	}
	inside := d.manages(who)
	res := &apiv1.ListCAsResponse{}
	for _, c := range all {
		res.Cas = append(res.Cas, d.tellCA(at, c, inside))
	}
	// Where a list cannot be made, the CAs can be seen nevertheless.
	if res.UserRevocations, res.HostRevocations, err = d.revocationStates(ctx, at, inside); err != nil {
		d.Log.Error("tell where the revocation lists stand", "error", err)
	}
	return connect.NewResponse(res), nil
}

func (d cas) manages(who *actor) bool {
	if who.token != nil {
		return hasScope(who.token, scopeManageCAs)
	}
	return d.mayQuietly(who, policy.ManageCA)
}

func noCA(name string) error {
	return as(connect.CodeNotFound, &sekisho.Refusal{
		Sentence: fmt.Sprintf("There is no CA called %q.", shorten(name, 40)), Next: "sekisho ca list shows those that there are.",
	})
}

// shorten shortens what somebody sent to that many bytes.
func shorten(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "?") }

// Create makes a CA.
func (d cas) Create(ctx context.Context, req *connect.Request[apiv1.CreateCARequest]) (*connect.Response[apiv1.CreateCAResponse], error) {
	who, err := d.admit(ctx, req, policy.ManageCA, scopeManageCAs)
	if err != nil {
		return nil, err
	}
	m := req.Msg
	if err := ca.CheckName(m.Name); err != nil {
		return nil, malformed(err)
	}
	if m.Type != ca.TypeUser && m.Type != ca.TypeHost {
		return nil, malformed(fmt.Errorf("type %.20q: want user or host", m.Type))
	}
	if err := checkStore(m.Store, m.Kind); err != nil {
		return nil, malformed(err)
	}
	c, err := d.Rotation.CA.Create(ctx, m.Name, m.Type, m.Store, m.Kind, order(who, false, ""))
	if errors.Is(err, sekisho.ErrTaken) {
		return nil, as(connect.CodeAlreadyExists, &sekisho.Refusal{
			Sentence: fmt.Sprintf("There is a CA called %s already, or the key store has a key where the new one was to be.", m.Name),
			Next:     "Take another name or another place; sekisho ca list shows what there is.", Cause: err,
		})
	}
	if err != nil {
		return nil, d.unmade(err)
	}
	at, err := d.Rotation.survey(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.CreateCAResponse{Ca: d.tellCA(at, c, true)}), nil
}

// unmade is what who may manage CAs hears of a key that could not be made: all, for they choose the key store.
func (d cas) unmade(cause error) error {
	if refusal(cause) {
		return cause
	}
	return as(connect.CodeFailedPrecondition, &sekisho.Refusal{
		Sentence: "The key could not be made: " + shorten(cause.Error(), 500) + ".", Next: "See docs/key-stores.md.", Cause: cause,
	})
}

func checkStore(store, kind string) error {
	if len(store) > maxStore || strings.ContainsFunc(store, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return errors.New("the key store's URI is too long or cannot be shown")
	}
	if !slices.Contains([]string{"", "ed25519", "ecdsa-p256", "ecdsa-p384"}, kind) {
		return fmt.Errorf("kind of key %.20q: want ed25519, ecdsa-p256 or ecdsa-p384", kind)
	}
	return nil
}

func order(who *actor, force bool, reason string) ca.Order {
	o := ca.Order{Actor: who.name(), ClientAddress: text(who.address), Force: force, Reason: reason}
	if who.person != nil {
		o.SignIn = who.person.ID
	}
	return o
}

// Rotate takes one step.
func (d cas) Rotate(ctx context.Context, req *connect.Request[apiv1.RotateCARequest]) (*connect.Response[apiv1.RotateCAResponse], error) {
	who, err := d.admit(ctx, req, policy.ManageCA, scopeManageCAs)
	if err != nil {
		return nil, err
	}
	m := req.Msg
	if err := checkRotate(m); err != nil {
		return nil, malformed(err)
	}
	c, err := d.Rotation.CA.CA(m.Name)
	if err != nil {
		return nil, noCA(m.Name)
	}
	if stage := string(ca.Stage(c)); m.From != "" && m.From != stage {
		return nil, overtaken(c, fmt.Errorf("caller saw %s, it is %s", m.From, stage))
	}
	at, err := d.Rotation.survey(ctx)
	if err != nil {
		return nil, err
	}
	next, key, err := d.step(ctx, at, c, m, order(who, m.Force, m.Reason))
	if errors.Is(err, sekisho.ErrTaken) {
		return nil, overtaken(c, err)
	}
	if err != nil {
		return nil, err
	}
	res := &apiv1.RotateCAResponse{Ca: d.tellCA(at, next, true), Key: key}
	for _, k := range next.Keys {
		if k.Fingerprint == key {
			res.State = string(k.State)
		}
	}
	d.Rotation.due.Store(true)
	return connect.NewResponse(res), nil
}

// overtaken refuses a step of which somebody else, or the house itself, has taken the like meanwhile.
func overtaken(c *sekisho.CA, cause error) error {
	return as(connect.CodeAborted, &sekisho.Refusal{
		Sentence: fmt.Sprintf("The CA %s has gone on meanwhile, so this step was not taken.", c.Name),
		Next:     "See where it stands: sekisho ca status " + c.Name + ".", Cause: cause,
	})
}

func checkRotate(m *apiv1.RotateCARequest) error {
	switch {
	case m.Force && strings.TrimSpace(m.Reason) == "":
		return errors.New("a step is forced for a reason only, and none was given")
	case utf8.RuneCountInString(m.Reason) > maxReason || strings.ContainsFunc(m.Reason, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("the reason is longer than %d characters, or has some that cannot be shown", maxReason)
	case !slices.Contains([]sekisho.CAKeyState{"", sekisho.CAKeyAnnounced, sekisho.CAKeyTrusted, sekisho.CAKeyIssuing, sekisho.CAKeyRetiring}, sekisho.CAKeyState(m.From)):
		return fmt.Errorf("from %.20q is no state that a rotation goes on from", m.From)
	}
	return checkStore(m.Store, m.Kind)
}

// step takes the next step of a CA's rotation, or begins one, and says which key stepped.
func (d cas) step(ctx context.Context, at *survey, c *sekisho.CA, m *apiv1.RotateCARequest, o ca.Order) (*sekisho.CA, string, error) {
	s, under := ca.Next(c)
	if !under {
		o.Force = false
		next, err := d.Rotation.CA.Announce(ctx, c, m.Store, m.Kind, o)
		if err != nil && !errors.Is(err, sekisho.ErrTaken) {
			err = d.unmade(err)
		}
		if err != nil {
			return nil, "", err
		}
		return next, next.Keys[len(next.Keys)-1].Fingerprint, nil
	}
	if m.Store != "" || m.Kind != "" {
		return nil, "", as(connect.CodeFailedPrecondition, &sekisho.Refusal{
			Sentence: fmt.Sprintf("A new key of the CA %s is on its way already, so no other is made.", c.Name),
			Next:     "Leave the key store out, or let this rotation end first: sekisho ca status " + c.Name + ".",
		})
	}
	f, err := d.Rotation.facts(ctx, at, c)
	if err != nil {
		return nil, "", err
	}
	next, err := d.Rotation.CA.Step(ctx, c, s, f, o)
	if errors.Is(err, ca.ErrNotYet) {
		return nil, "", notYet(c, s, ca.Waits(c, s, f), at.awaited(c, s), err)
	}
	return next, s.Key, err
}

// notYet says what a step waits for, and for whom.
func notYet(c *sekisho.CA, s ca.Step, waits string, lagging []lag, cause error) error {
	var names []string
	for _, l := range lagging[:min(len(lagging), 5)] {
		names = append(names, l.target.Name)
	}
	if more := len(lagging) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	if len(names) > 0 {
		waits += " (" + strings.Join(names, ", ") + ")"
	}
	return as(connect.CodeFailedPrecondition, &sekisho.Refusal{
		Sentence: fmt.Sprintf("The key of the CA %s that is %s cannot become %s yet: %s.", c.Name, s.From, s.To, waits),
		Next:     fmt.Sprintf("Wait, and see who lags: sekisho ca status %s. Or go on without them: --force --reason.", c.Name),
		Cause:    cause,
	})
}

// tellCA is a CA in the contract's words; inside: with what is for who manages it.
func (d *door) tellCA(at *survey, c *sekisho.CA, inside bool) *apiv1.CA {
	out := &apiv1.CA{Name: c.Name, Type: c.Type, Issuers: d.issuersOf(c.Name)}
	for _, retired := range []bool{false, true} {
		for _, k := range c.Keys {
			if k.State.InForce() != retired {
				out.Keys = append(out.Keys, d.tellKey(at, c, k, inside))
			}
		}
	}
	return out
}

// issuersOf names the issuers that sign by a CA.
func (d *door) issuersOf(name string) (names []string) {
	for _, i := range d.CA.Issuers() {
		if i.CA == name {
			names = append(names, i.Name)
		}
	}
	return names
}

func (d *door) tellKey(at *survey, c *sekisho.CA, k sekisho.CAKey, inside bool) *apiv1.CAKey {
	kind, _, _ := strings.Cut(k.Store, ":")
	out := &apiv1.CAKey{
		Fingerprint: k.Fingerprint, PublicKey: k.Line, State: string(k.State), Store: kind,
		Announced: stamp(k.Announced), Trusted: stamp(k.Trusted), Issuing: stamp(k.Issuing), Retiring: stamp(k.Retiring), Retired: stamp(k.Retired),
		LastExpiry: stamp(k.LastExpiry),
	}
	if inside {
		out.Place = k.Store
	}
	if !inside || !k.State.InForce() {
		return out
	}
	if err := d.Rotation.CA.Trouble(c.Name, k.Fingerprint); err != nil && k.State != sekisho.CAKeyRetiring {
		out.Trouble = shorten(err.Error(), maxTrouble)
	}
	lagging, hosts := at.distrust(c, k.Fingerprint)
	if k.State == sekisho.CAKeyRetiring {
		lagging = nil
		if c.Name == ca.HostCA {
			lagging, hosts = at.shows(k.Fingerprint)
		}
	}
	out.Hosts = int32(hosts)
	for _, l := range lagging[:min(len(lagging), maxLagging)] {
		out.Lagging = append(out.Lagging, l.tell())
	}
	return out
}

func (l *lag) tell() *apiv1.CALag {
	out := &apiv1.CALag{Target: l.target.Name, Why: l.why}
	if l.report != nil {
		out.Reported, out.Managed = stamp(l.report.At), l.report.Managed
	}
	return out
}
