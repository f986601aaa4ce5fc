package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/policy"
)

// maxReason is how many characters somebody may say of why they end a session.
const maxReason = 200

// sessions serves SessionService.
type sessions struct{ *door }

// right is one person's rights over live sessions at one moment. What was decided once is remembered: there may be many
// sessions of few people on few targets.
type right struct {
	d       *door
	who     *caller
	targets map[string]*sekisho.Target
	decided map[rightKey]sekisho.Decision
}

type rightKey struct {
	action                policy.Action
	person, target, login string
}

func (d *door) rightsOf(who *caller) *right {
	return &right{d: d, who: who, targets: map[string]*sekisho.Target{}, decided: map[rightKey]sekisho.Decision{}}
}

// to decides an action on a session by the policies in force.
func (r *right) to(ctx context.Context, action policy.Action, s *sekisho.Live) (sekisho.Decision, error) {
	key := rightKey{action, s.Identity.Subject, s.Target, s.Login}
	if action == policy.ReadRecordings {
		key = rightKey{action: action}
	}
	if decision, ok := r.decided[key]; ok {
		return decision, nil
	}
	request := policy.Request{Action: action, Identity: r.who.Identity, ClientAddress: r.who.address}
	if action != policy.ReadRecordings {
		target, err := r.target(ctx, s.Target)
		if err != nil {
			return sekisho.Decision{}, err
		}
		request.Target, request.Login, request.Person = target, s.Login, s.Identity.Subject
	}
	decision := r.d.Policies().Evaluate(request, r.d.Now())
	r.decided[key] = decision
	return decision, nil
}

// target gives a target of a session; one that is there no more has no labels.
func (r *right) target(ctx context.Context, name string) (*sekisho.Target, error) {
	if t, ok := r.targets[name]; ok {
		return t, nil
	}
	t, err := r.d.Store.Target(ctx, name)
	if errors.Is(err, sekisho.ErrNotFound) {
		t, err = &sekisho.Target{Name: name}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read target: %w", err)
	}
	r.targets[name] = t
	return t, nil
}

// own reports whether it is the caller's session.
func (r *right) own(s *sekisho.Live) bool { return s.Identity.Subject == r.who.Identity.Subject }

// over says what the caller may do with a session: know of it, watch it, end it.
func (r *right) over(ctx context.Context, s *sekisho.Live) (know, watch, end bool, err error) {
	allowed := func(action policy.Action) bool {
		decision, e := r.to(ctx, action, s)
		err = errors.Join(err, e)
		return e == nil && decision.Effect == sekisho.Allow
	}
	watch = s.Recorded() && allowed(policy.WatchSessions)
	end = r.own(s) || allowed(policy.EndSessions)
	know = watch || end || s.Recorded() && allowed(policy.ReadRecordings)
	return know, watch, end, err
}

func (d sessions) List(ctx context.Context, req *connect.Request[apiv1.ListSessionsRequest]) (*connect.Response[apiv1.ListSessionsResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	m := req.Msg
	n, err := limit(m.Limit)
	if err = errors.Join(err, filters(m.Person, m.Target, m.Session)); err != nil {
		return nil, err
	}
	live, err := d.matching(ctx, m.Person, m.Target, m.Session)
	if err != nil {
		return nil, err
	}
	rights, devices := d.rightsOf(who), map[string]string{}
	res := &apiv1.ListSessionsResponse{}
	for i := range live {
		s := &live[i]
		know, watch, end, err := rights.over(ctx, s)
		if err != nil {
			return nil, err
		}
		if !know {
			continue
		}
		if len(res.Sessions) == n {
			res.More = true
			break
		}
		message := liveMessage(s)
		message.MayWatch, message.MayEnd = watch, end
		if message.Device, err = d.device(ctx, s.SignIn, devices); err != nil {
			return nil, err
		}
		res.Sessions = append(res.Sessions, message)
	}
	return connect.NewResponse(res), nil
}

// matching lists the live sessions that fit the filters, newest first.
func (d *door) matching(ctx context.Context, person, target, session string) ([]sekisho.Live, error) {
	live, err := d.Live.Sessions(ctx)
	if err != nil {
		return nil, fmt.Errorf("list live sessions: %w", err)
	}
	live = slices.DeleteFunc(live, func(s sekisho.Live) bool {
		return person != "" && s.Identity.Subject != person || target != "" && s.Target != target || session != "" && s.ID != session
	})
	slices.SortFunc(live, func(a, b sekisho.Live) int {
		return cmp.Or(b.Started.Compare(a.Started), strings.Compare(a.ID, b.ID))
	})
	return live, nil
}

// device is what the person called the machine of a sign-in.
func (d *door) device(ctx context.Context, signIn string, known map[string]string) (string, error) {
	if device, ok := known[signIn]; ok {
		return device, nil
	}
	s, err := d.Store.SignIn(ctx, signIn)
	switch {
	case errors.Is(err, sekisho.ErrNotFound):
		known[signIn] = ""
	case err != nil:
		return "", fmt.Errorf("read sign-in: %w", err)
	default:
		known[signIn] = s.Device
	}
	return known[signIn], nil
}

func liveMessage(s *sekisho.Live) *apiv1.LiveSession {
	m := &apiv1.LiveSession{
		Id: s.ID, Person: s.Identity.Subject, Login: s.Login, Target: s.Target, Started: timestamppb.New(s.Started),
		IdleSeconds: int64(s.Idle.Seconds()), BytesIn: s.BytesIn, BytesOut: s.BytesOut, Way: string(s.Way), Parent: s.Parent,
		ClientAddress: s.ClientAddress, Door: doorPass, Audit: string(s.Audit), Watchers: int32(s.Watchers), Forwards: int32(s.Forwards),
		SignIn: s.SignIn, Gateway: s.Gateway,
	}
	if s.Relayed {
		m.Door = doorAudit
	}
	for _, c := range s.Channels {
		m.Channels = append(m.Channels, &apiv1.LiveChannel{Number: c.Number, Kind: c.Kind, Command: c.Command})
	}
	return m
}

// live gives a session that runs; whether the caller may know of it is for whoever asks.
func (d *door) live(ctx context.Context, rights *right, id string) (*sekisho.Live, error) {
	if !sekisho.CheckID("ses", id) {
		return nil, malformed(errors.New("that is no session"))
	}
	found, err := d.matching(ctx, "", "", id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, d.gone(ctx, rights, id)
	}
	return &found[0], nil
}

// gone refuses a session that does not run. Whoever may know that it ran, by its recording, hears that it is over.
func (d *door) gone(ctx context.Context, rights *right, id string) error {
	past, err := d.Store.Recordings(ctx, sekisho.RecordingQuery{Session: id, Limit: 1})
	if err != nil {
		return fmt.Errorf("read recording: %w", err)
	}
	if len(past) == 0 {
		return unseen(id, sekisho.ErrNotFound)
	}
	s := &sekisho.Live{Session: past[0].Session}
	s.Audit = cmp.Or(s.Audit, sekisho.AuditStrict) // there is a recording, however it was made
	know, _, _, err := rights.over(ctx, s)
	switch {
	case err != nil:
		return err
	case !know:
		return unseen(id, sekisho.ErrNotFound)
	}
	return ended(id, sekisho.ErrNotFound)
}

const listThem = "sekisho sessions list shows those that do."

func ended(id string, cause error) error {
	return as(connect.CodeNotFound, &sekisho.Refusal{Sentence: fmt.Sprintf("Session %s does not run any more.", id), Next: listThem, Cause: cause})
}

// unseen is the one answer to whoever may not know of a session: whether it runs, has ended or never was.
func unseen(id string, cause error) error {
	return as(connect.CodeNotFound, &sekisho.Refusal{
		Sentence: fmt.Sprintf("Session %s does not run, or it is not for you to see.", id), Next: listThem, Cause: cause,
	})
}

func (d sessions) End(ctx context.Context, req *connect.Request[apiv1.EndSessionsRequest]) (*connect.Response[apiv1.EndSessionsResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	m := req.Msg
	if err := errors.Join(checkReason(m.Reason), filters(m.Person)); err != nil {
		return nil, err
	}
	rights := d.rightsOf(who)
	switch {
	case (m.Session == "") == (m.Person == ""):
		return nil, malformed(errors.New("it names neither a session nor a person, or both"))
	case m.Person != "":
		return d.endAll(ctx, rights, m)
	}
	s, err := d.live(ctx, rights, m.Session)
	if err != nil {
		return nil, err
	}
	ran, err := d.end(ctx, rights, s, m.Reason)
	if err == nil && !ran {
		err = ended(m.Session, sekisho.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.EndSessionsResponse{Sessions: []string{s.ID}}), nil
}

// endAll ends all live sessions of a person that the caller may end.
func (d sessions) endAll(ctx context.Context, rights *right, m *apiv1.EndSessionsRequest) (*connect.Response[apiv1.EndSessionsResponse], error) {
	live, err := d.matching(ctx, m.Person, "", "")
	if err != nil {
		return nil, err
	}
	res := &apiv1.EndSessionsResponse{}
	for i := range live {
		know, _, may, err := rights.over(ctx, &live[i])
		switch {
		case err != nil:
			return nil, err
		case know && !may:
			res.Others++
		}
		if !may {
			continue
		}
		ended, err := d.end(ctx, rights, &live[i], m.Reason)
		if err != nil {
			return nil, err
		}
		if ended {
			res.Sessions = append(res.Sessions, live[i].ID)
		}
	}
	return connect.NewResponse(res), nil
}

// end decides, notes and orders the end of one session, and reports whether it still ran. Everybody may end their own.
func (d *door) end(ctx context.Context, rights *right, s *sekisho.Live, reason string) (bool, error) {
	ev := rights.event(sekisho.EventSessionStopped, s)
	if reason != "" {
		ev.Detail["reason"] = reason
	}
	if !rights.own(s) {
		decision, err := rights.to(ctx, policy.EndSessions, s)
		if err != nil {
			return false, err
		}
		if decision.Effect != sekisho.Allow {
			return false, d.noteDenied(ctx, rights, policy.EndSessions, s, decision)
		}
		ev.Decision = &decision
	}
	if err := d.Note(ctx, ev); err != nil {
		return false, fmt.Errorf("note end: %w", err)
	}
	ended, err := d.Live.Stop(ctx, s.ID, rights.who.Identity.Subject, reason)
	if err != nil {
		return false, fmt.Errorf("end session: %w", err)
	}
	return ended, nil
}

// event is about what the caller does with a session.
func (r *right) event(kind string, s *sekisho.Live) *sekisho.Event {
	return &sekisho.Event{
		Kind: kind, Actor: r.who.Identity.Subject, SignIn: r.who.ID, Session: s.ID, Target: s.Target, Login: s.Login,
		ClientAddress: text(r.who.address), Detail: map[string]string{"person": s.Identity.Subject},
	}
}

// noteDenied notes that an action on a session was denied, and gives the refusal. What was decided tells whose session it is
// and where, and is only for those who may know.
func (d *door) noteDenied(ctx context.Context, rights *right, action policy.Action, s *sekisho.Live, decision sekisho.Decision) error {
	ev := rights.event(sekisho.EventDecision, s)
	ev.Decision, ev.Detail["action"] = &decision, string(action)
	if err := d.Note(ctx, ev); err != nil {
		return fmt.Errorf("note decision: %w", err)
	}
	know, _, _, err := rights.over(ctx, s)
	switch {
	case err != nil:
		return err
	case !know:
		return unseen(s.ID, denied(decision))
	}
	return denied(decision)
}

// checkReason lets only what can be shown on somebody else's terminal be told there.
func checkReason(reason string) error {
	switch {
	case utf8.RuneCountInString(reason) > maxReason:
		return malformed(fmt.Errorf("the reason is longer than %d characters", maxReason))
	case strings.ContainsFunc(reason, func(r rune) bool { return !unicode.IsPrint(r) }):
		return malformed(errors.New("the reason has characters that do not print"))
	}
	return nil
}
