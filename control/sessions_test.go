package control_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/control"
	"github.com/sekisho/sekisho/policy"
)

// liveSessions is a gateway with sessions that a test puts there.
type liveSessions struct {
	mu       sync.Mutex
	all      []sekisho.Live
	tapes    map[string]*growing
	watching map[string]int
	stopped  []string // session, by, reason
	changed  control.Bell
}

func newLiveSessions() *liveSessions {
	return &liveSessions{tapes: map[string]*growing{}, watching: map[string]int{}}
}

// run puts a session there.
func (l *liveSessions) run(person, login, target string, change ...func(*sekisho.Live)) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := sekisho.Live{Session: sekisho.Session{
		ID: sekisho.NewID("ses"), SignIn: sekisho.NewID("sin"), Identity: sekisho.Identity{Subject: person}, Login: login, Target: target,
		Audit: sekisho.AuditStrict, Started: time.Unix(1_700_000_000+int64(len(l.all)), 0),
	}}
	for _, f := range change {
		f(&s)
	}
	l.all = append(l.all, s)
	l.tapes[s.ID] = &growing{}
	return s.ID
}

func (l *liveSessions) Sessions(context.Context) ([]sekisho.Live, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all), nil
}

func (l *liveSessions) Watch(_ context.Context, session, who string) (int, func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.all, func(s sekisho.Live) bool { return s.ID == session })
	if i < 0 {
		return 0, nil, sekisho.ErrNotFound
	}
	if !l.all[i].Recorded() {
		return 0, nil, &sekisho.Refusal{Sentence: "It is not recorded."}
	}
	l.watching[session]++
	return 3, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.watching[session]--
	}, nil
}

func (l *liveSessions) watchers(session string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.watching[session]
}

func (l *liveSessions) Stop(_ context.Context, session, by, reason string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.all)
	l.all = slices.DeleteFunc(l.all, func(s sekisho.Live) bool { return s.ID == session })
	l.stopped = append(l.stopped, session+" "+by+" "+reason)
	return len(l.all) < before, nil
}

func (l *liveSessions) follow(ctx context.Context, session string, offset int64) (io.ReadCloser, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.tapes[session]
	if g == nil {
		return nil, 0, sekisho.ErrNotFound
	}
	data, _, _ := g.state()
	return &grower{ctx: ctx, from: g, at: int(offset)}, int64(len(data)), nil
}

// growing is a recording that a test writes.
type growing struct {
	mu   sync.Mutex
	data []byte
	over error // io.EOF, or why it cannot go on
	more control.Bell
}

func (g *growing) state() (data []byte, more <-chan struct{}, over error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.data, g.more.Wait(), g.over
}

func (g *growing) write(text string) {
	g.mu.Lock()
	g.data = append(g.data, text...)
	g.mu.Unlock()
	g.more.Ring()
}

func (g *growing) end(why error) {
	g.mu.Lock()
	g.over = why
	g.mu.Unlock()
	g.more.Ring()
}

type grower struct {
	ctx  context.Context
	from *growing
	at   int
}

func (g *grower) Read(p []byte) (int, error) {
	for {
		data, more, over := g.from.state()
		switch {
		case g.at < len(data):
			n := copy(p, data[g.at:])
			g.at += n
			return n, nil
		case over != nil:
			return 0, over
		}
		select {
		case <-more:
		case <-g.ctx.Done():
			return 0, g.ctx.Err()
		}
	}
}

func (g *grower) Close() error { return nil }

func (d *device) sessions(req *apiv1.ListSessionsRequest) (ids []string, res *apiv1.ListSessionsResponse) {
	d.house.t.Helper()
	answer, err := d.Session.List(d.house.t.Context(), connect.NewRequest(req))
	if err != nil {
		d.house.t.Fatal(err)
	}
	for _, s := range answer.Msg.Sessions {
		ids = append(ids, s.Id)
	}
	return ids, answer.Msg
}

// Everybody sees their own sessions, and of others' those that a policy says something about, and no more.
func TestListSessions(t *testing.T) {
	h := newHouse(t)
	mei := h.signIn("mei@example.com", "ops")
	own := h.live.run("mei@example.com", "deploy", "web1", func(s *sekisho.Live) {
		s.Audit, s.Way, s.Idle, s.BytesIn, s.BytesOut = sekisho.AuditNone, sekisho.WayPort, 90*time.Second, 5, 7
		s.SignIn, _, _ = strings.Cut(mei.token, ".")
	})
	db := h.live.run("ken@example.com", "postgres", "db1", func(s *sekisho.Live) {
		s.Relayed, s.Watchers = true, 2
		s.Channels = []sekisho.LiveChannel{{Number: 1, Kind: "exec", Command: "psql"}}
	})
	chief := h.live.run("chief@example.com", "postgres", "db1")
	plain := h.live.run("ken@example.com", "postgres", "db1", func(s *sekisho.Live) { s.Audit = sekisho.AuditNone })
	gone := h.live.run("ken@example.com", "root", "removed")

	for who, want := range map[*device][]string{
		mei:                                         {own},
		h.signIn("stranger@example.com"):            nil,
		h.signIn("wen@example.com", "watchers"):     {chief, db},
		h.signIn("eve@example.com", "enders"):       {plain, db},
		h.signIn("aud@example.com", "auditors"):     {gone, chief, db},
		h.signIn("ken@example.com", "ops", "other"): {gone, plain, db},
	} {
		if got, _ := who.sessions(&apiv1.ListSessionsRequest{}); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", who.token, got, want)
		}
	}
	_, res := mei.sessions(&apiv1.ListSessionsRequest{})
	if s := res.Sessions[0]; s.IdleSeconds != 90 || s.BytesIn != 5 || s.BytesOut != 7 || s.Door != "pass" || s.Audit != "" || s.Way != "port" ||
		!s.MayEnd || s.MayWatch || s.Device != "mei@example.com's laptop" {
		t.Errorf("got %v", s)
	}
	wen := h.signIn("wen@example.com", "watchers")
	got, res := wen.sessions(&apiv1.ListSessionsRequest{Person: "ken@example.com", Target: "db1"})
	if s := res.Sessions[0]; !slices.Equal(got, []string{db}) || s.Watchers != 2 || s.Channels[0].Command != "psql" || s.Door != "audit" || s.MayEnd || !s.MayWatch {
		t.Errorf("got %v", res)
	}
	if got, res := wen.sessions(&apiv1.ListSessionsRequest{Limit: 1}); len(got) != 1 || !res.More {
		t.Errorf("got %v", res)
	}
	if got, res := wen.sessions(&apiv1.ListSessionsRequest{Session: db}); len(got) != 1 || res.More {
		t.Errorf("got %v", res)
	}
	_, err := wen.Session.List(t.Context(), connect.NewRequest(&apiv1.ListSessionsRequest{Limit: 1001}))
	wantCode(t, "limit", err, connect.CodeInvalidArgument)
	_, err = h.device().Session.List(t.Context(), connect.NewRequest(&apiv1.ListSessionsRequest{}))
	wantCode(t, "nobody", err, connect.CodeUnauthenticated)
}

// watch is an open watch.
type watched struct {
	t      testing.TB
	stream *connect.ServerStreamForClient[apiv1.WatchSessionResponse]
	leave  context.CancelFunc
	now    int64
}

func (d *device) watch(session string, offset int64) (*watched, error) {
	t := d.house.t
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	t.Cleanup(leave)
	stream, err := d.Session.Watch(ctx, connect.NewRequest(&apiv1.WatchSessionRequest{Session: session, Offset: offset}))
	if err != nil {
		return nil, err
	}
	w := &watched{t: t, stream: stream, leave: leave}
	t.Cleanup(func() { leave(); stream.Close() })
	if !stream.Receive() {
		return nil, stream.Err()
	}
	w.now = stream.Msg().Now
	return w, nil
}

// see waits for so many bytes.
func (w *watched) see(n int) string {
	w.t.Helper()
	var got bytes.Buffer
	for got.Len() < n {
		if !w.stream.Receive() {
			w.t.Fatalf("saw %q, then %v", got.String(), w.stream.Err())
		}
		got.Write(w.stream.Msg().Data)
	}
	return got.String()
}

func (h *house) eventually(what string, ok func() bool) {
	h.t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			h.t.Fatal("never: " + what)
		}
	}
}

// unwatched waits for the end of a watch to be noted and says why it ended.
func (h *house) unwatched(session string) string {
	h.t.Helper()
	why := ""
	h.eventually("unwatched", func() bool {
		for _, ev := range h.events(sekisho.EventSessionUnwatched) {
			if ev.Session == session {
				why = ev.Detail["why"]
			}
		}
		return why != ""
	})
	return why
}

// A watcher gets what there is and what comes, until the session ends; the log had it first.
func TestWatch(t *testing.T) {
	h := newHouse(t)
	wen := h.signIn("wen@example.com", "watchers")
	session := h.live.run("ken@example.com", "postgres", "db1")
	tape := h.live.tapes[session]
	tape.write("begun")
	w, err := wen.watch(session, 0)
	if err != nil {
		t.Fatal(err)
	}
	ev := h.events(sekisho.EventSessionWatched)
	if len(ev) != 1 || ev[0].Actor != "wen@example.com" || ev[0].Session != session || ev[0].Target != "db1" || ev[0].Login != "postgres" ||
		ev[0].Detail["person"] != "ken@example.com" || ev[0].Detail["told"] != "3" || ev[0].Decision.Policies[0] != "watchers" {
		t.Fatalf("noted %+v", ev)
	}
	if got := w.see(5); got != "begun" || w.now != 5 {
		t.Errorf("saw %q of %d", got, w.now)
	}
	tape.write(" and goes on")
	if got := w.see(12); got != " and goes on" {
		t.Errorf("saw %q", got)
	}
	later, err := wen.watch(session, 6)
	if err != nil {
		t.Fatal(err)
	}
	if got := later.see(11); got != "and goes on" {
		t.Errorf("saw %q", got)
	}
	later.leave()
	if why := h.unwatched(session); why != "left" && why != "connection lost" {
		t.Errorf("left: %q", why)
	}
	tape.write(strings.Repeat("x", 300_000))
	w.see(300_000)
	tape.end(io.EOF)
	if !w.stream.Receive() || !w.stream.Msg().Ended || w.stream.Receive() || w.stream.Err() != nil {
		t.Errorf("end: %v, %v", w.stream.Msg(), w.stream.Err())
	}
	h.eventually("both noted", func() bool { return len(h.events(sekisho.EventSessionUnwatched)) == 2 })
	last := h.events(sekisho.EventSessionUnwatched)[0]
	if last.Detail["why"] != "session ended" || last.Detail["bytes"] != "300017" {
		t.Errorf("noted %v", last.Detail)
	}
}

// Where a recording cannot go on, who watches is not told that the session has ended.
func TestWatchFails(t *testing.T) {
	h := newHouse(t)
	wen := h.signIn("wen@example.com", "watchers")
	session := h.live.run("ken@example.com", "postgres", "db1")
	w, err := wen.watch(session, 0)
	if err != nil {
		t.Fatal(err)
	}
	tape := h.live.tapes[session]
	tape.write("what there is")
	w.see(13)
	tape.end(syscall.ENOSPC)
	for w.stream.Receive() {
		if w.stream.Msg().Ended {
			t.Error("told that the session has ended")
		}
	}
	if err := w.stream.Err(); connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "cannot go on") {
		t.Errorf("error %v", err)
	}
	h.eventually("noted", func() bool { return len(h.events(sekisho.EventSessionUnwatched)) == 1 })
	if why := h.unwatched(session); !strings.Contains(why, "cannot go on") {
		t.Errorf("noted %q", why)
	}
}

// Who may not watch hears why, and the log knows it; no byte and no count of them is had.
func TestWatchRefused(t *testing.T) {
	h := newHouse(t)
	wen, eve := h.signIn("wen@example.com", "watchers"), h.signIn("eve@example.com", "enders", "auditors")
	session := h.live.run("ken@example.com", "postgres", "db1")
	plain := h.live.run("ken@example.com", "postgres", "db1", func(s *sekisho.Live) { s.Audit = sekisho.AuditNone })
	h.live.tapes[session].write("secret")
	for _, c := range []struct {
		what, session string
		who           *device
		offset        int64
		code          connect.Code
		says          string
	}{
		{"no right", session, eve, 0, connect.CodePermissionDenied, "watch a session of ken@example.com on db1 as postgres"},
		{"not recorded", plain, wen, 0, connect.CodeFailedPrecondition, "not recorded"},
		{"not there", sekisho.NewID("ses"), wen, 0, connect.CodeNotFound, "does not run"},
		{"no session", "../db", wen, 0, connect.CodeInvalidArgument, "that is no session"},
		{"offset", session, wen, -1, connect.CodeInvalidArgument, "offset"},
		{"nobody", session, h.device(), 0, connect.CodeUnauthenticated, ""},
	} {
		_, err := c.who.watch(c.session, c.offset)
		if said := wantCode(t, c.what, err, c.code); !strings.Contains(said, c.says) {
			t.Errorf("%s: it says %q", c.what, said)
		}
	}
	denied := h.events(sekisho.EventDecision)
	if len(denied) != 1 || denied[0].Actor != "eve@example.com" || denied[0].Detail["action"] != "watchSessions" || denied[0].Session != session ||
		denied[0].Decision.Effect != sekisho.Deny {
		t.Errorf("noted %+v", denied)
	}
	if len(h.events(sekisho.EventSessionWatched)) != 0 || h.live.watchers(session)+h.live.watchers(plain) != 0 {
		t.Error("somebody watched")
	}
}

// What may not be noted is not seen.
func TestWatchThatCannotBeNoted(t *testing.T) {
	h := newHouse(t)
	wen := h.signIn("wen@example.com", "watchers")
	session := h.live.run("ken@example.com", "postgres", "db1")
	h.live.tapes[session].write("secret")
	h.log.Close()
	_, err := wen.watch(session, 0)
	wantCode(t, "log gone", err, connect.CodeInternal)
	if h.live.watchers(session) != 0 {
		t.Error("the watcher still counts")
	}
}

// A watch ends as open sessions do: with the sign-in, with the policy, with the house.
func TestWatchEnds(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*house, *device)
		code   connect.Code
		why    string
	}{
		"sign-in ended": {func(h *house, d *device) {
			if _, err := d.SignIn.End(t.Context(), connect.NewRequest(&apiv1.EndRequest{})); err != nil {
				t.Fatal(err)
			}
			h.live.changed.Ring()
		}, connect.CodeUnauthenticated, "not allowed any more"},
		"sign-in expired": {func(h *house, d *device) { h.pass(24 * time.Hour); h.live.changed.Ring() }, connect.CodeUnauthenticated, "not allowed any more"},
		"policy": {func(h *house, d *device) {
			h.set.Store(must(policy.Load(nil))(t))
			h.live.changed.Ring()
		}, connect.CodePermissionDenied, "not allowed any more"},
		"house": {func(h *house, d *device) { close(h.closing) }, connect.CodeUnavailable, "This house is going down."},
	} {
		t.Run(what, func(t *testing.T) {
			h := newHouse(t)
			wen := h.signIn("wen@example.com", "watchers")
			session := h.live.run("ken@example.com", "postgres", "db1")
			w, err := wen.watch(session, 0)
			if err != nil {
				t.Fatal(err)
			}
			h.live.changed.Ring() // nothing has changed for them
			h.live.tapes[session].write("still")
			w.see(5)
			c.change(h, wen)
			for w.stream.Receive() {
			}
			wantCode(t, what, w.stream.Err(), c.code)
			if why := h.unwatched(session); why != c.why {
				t.Errorf("why: %q", why)
			}
			h.eventually("nobody counts", func() bool { return h.live.watchers(session) == 0 })
		})
	}
}

// Who takes nothing and may not watch any more is cut off.
func TestWatcherThatTakesNothing(t *testing.T) {
	h := newHouse(t)
	wen := h.signIn("wen@example.com", "watchers")
	session := h.live.run("ken@example.com", "postgres", "db1")
	tape := h.live.tapes[session]
	tape.write(strings.Repeat("x", 64<<20)) // more than the network holds
	if _, err := wen.watch(session, 0); err != nil {
		t.Fatal(err)
	}
	h.set.Store(must(policy.Load(nil))(t))
	h.live.changed.Ring()
	if why := h.unwatched(session); why != "not allowed any more" {
		t.Errorf("why: %q", why)
	}
}

func TestWatchesAreBounded(t *testing.T) {
	h := newHouse(t)
	wen := h.signIn("wen@example.com", "watchers")
	session := h.live.run("ken@example.com", "postgres", "db1")
	var first *watched
	for i := range 64 {
		w, err := wen.watch(session, 0)
		if err != nil {
			t.Fatalf("watch %d: %v", i, err)
		}
		if i == 0 {
			first = w
		}
	}
	_, err := wen.watch(session, 0)
	wantCode(t, "one more", err, connect.CodeResourceExhausted)
	if w, err := h.signIn("other@example.com", "watchers").watch(session, 0); err != nil {
		t.Error(err)
	} else {
		w.leave()
	}
	first.leave()
	h.eventually("a place is free", func() bool {
		_, err := wen.watch(session, 0)
		return err == nil
	})
}

func (d *device) end(session, person, reason string) (*apiv1.EndSessionsResponse, error) {
	res, err := d.Session.End(d.house.t.Context(), connect.NewRequest(&apiv1.EndSessionsRequest{Session: session, Person: person, Reason: reason}))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// Everybody ends their own sessions, others' by a policy; the log knows who did, and why.
func TestEndSessions(t *testing.T) {
	h := newHouse(t)
	ken, eve := h.signIn("ken@example.com"), h.signIn("eve@example.com", "enders")
	first, second := h.live.run("ken@example.com", "postgres", "db1"), h.live.run("ken@example.com", "postgres", "db1")
	web := h.live.run("ken@example.com", "deploy", "web1")
	chief := h.live.run("chief@example.com", "postgres", "db1")

	if res, err := ken.end(first, "", ""); err != nil || !slices.Equal(res.Sessions, []string{first}) {
		t.Fatalf("own: %v, %v", res, err)
	}
	if ev := h.events(sekisho.EventSessionStopped); len(ev) != 1 || ev[0].Actor != "ken@example.com" || ev[0].Session != first || ev[0].Decision != nil {
		t.Errorf("noted %+v", ev)
	}
	if res, err := eve.end(second, "", "db1 goes down"); err != nil || !slices.Equal(res.Sessions, []string{second}) {
		t.Fatalf("another's: %v, %v", res, err)
	}
	ev := h.events(sekisho.EventSessionStopped)[0]
	if ev.Actor != "eve@example.com" || ev.Detail["reason"] != "db1 goes down" || ev.Detail["person"] != "ken@example.com" || ev.Decision.Policies[0] != "enders" {
		t.Errorf("noted %+v", ev)
	}
	for _, c := range []struct {
		what, session, person, reason string
		who                           *device
		code                          connect.Code
	}{
		{"forbidden", chief, "", "", eve, connect.CodeNotFound},
		{"another target", web, "", "", eve, connect.CodeNotFound},
		{"over", first, "", "", ken, connect.CodeNotFound},
		{"no session", "vis_1", "", "", ken, connect.CodeInvalidArgument},
		{"nothing named", "", "", "", ken, connect.CodeInvalidArgument},
		{"both named", web, "ken@example.com", "", ken, connect.CodeInvalidArgument},
		{"long", web, "", strings.Repeat("é", 201), ken, connect.CodeInvalidArgument},
		{"escape", web, "", "\x1b]0;title\a", ken, connect.CodeInvalidArgument},
		{"turned", web, "", "a\u202eb", ken, connect.CodeInvalidArgument},
	} {
		_, err := c.who.end(c.session, c.person, c.reason)
		wantCode(t, c.what, err, c.code)
	}
	if len(h.events(sekisho.EventDecision)) != 2 {
		t.Error("denials were not noted")
	}
	if want := []string{first + " ken@example.com ", second + " eve@example.com db1 goes down"}; !slices.Equal(h.live.stopped, want) {
		t.Errorf("stopped %q", h.live.stopped)
	}
}

// Who may not know of a session cannot tell whether it runs, has ended or never was. Who may know hears that it is over, or
// why not.
func TestUnseenSessionsAreAllTheSame(t *testing.T) {
	h := newHouse(t)
	running := h.live.run("ken@example.com", "postgres", "db1")
	over, _ := h.recording(1) // of dora@example.com
	never := sekisho.NewID("ses")
	both := func(who *device, session string, code connect.Code) string {
		t.Helper()
		_, err := who.watch(session, 0)
		watching := strings.ReplaceAll(wantCode(t, "watch", err, code), session, "ses_X")
		_, err = who.end(session, "", "")
		if ending := strings.ReplaceAll(wantCode(t, "end", err, code), session, "ses_X"); code == connect.CodeNotFound && ending != watching {
			t.Errorf("to watch: %q, to end: %q", watching, ending)
		}
		return watching
	}
	const unseen = "Session ses_X does not run, or it is not for you to see. sekisho sessions list shows those that do."
	stranger := h.signIn("stranger@example.com", "ops")
	for what, session := range map[string]string{"running": running, "over": over, "never": never} {
		if says := both(stranger, session, connect.CodeNotFound); says != unseen {
			t.Errorf("%s: %q", what, says)
		}
	}
	if noted := h.events(sekisho.EventDecision); len(noted) != 2 || noted[0].Session != running || noted[1].Actor != "stranger@example.com" {
		t.Errorf("noted %+v", noted)
	}
	const ended = "Session ses_X does not run any more. sekisho sessions list shows those that do."
	for _, who := range []*device{h.signIn("dora@example.com"), h.signIn("wen@example.com", "watchers"), h.signIn("eve@example.com", "enders"), h.signIn("aud@example.com", "auditors")} {
		if says := both(who, over, connect.CodeNotFound); says != ended {
			t.Errorf("of a session that is over: %q", says)
		}
		if says := both(who, never, connect.CodeNotFound); says != unseen {
			t.Errorf("of one that never was: %q", says)
		}
	}
	if says := both(h.signIn("aud@example.com", "auditors"), running, connect.CodePermissionDenied); !strings.Contains(says, "ken@example.com on db1") {
		t.Errorf("who may read its recording: %q", says)
	}
}

// All sessions of a person end that the caller may end; of what they may not know of, not even the number is told.
func TestEndAllOfAPerson(t *testing.T) {
	h := newHouse(t)
	var ours []string
	for range 3 {
		ours = append(ours, h.live.run("ken@example.com", "postgres", "db1"))
	}
	h.live.run("ken@example.com", "deploy", "web1")
	slices.Reverse(ours)
	res, err := h.signIn("both@example.com", "enders", "auditors").end("", "ken@example.com", "")
	if err != nil || !slices.Equal(res.Sessions, ours) || res.Others != 1 {
		t.Fatalf("got %v, %v", res, err)
	}
	for _, who := range []*device{h.signIn("eve@example.com", "enders"), h.signIn("stranger@example.com")} {
		if res, err := who.end("", "ken@example.com", ""); err != nil || len(res.Sessions) != 0 || res.Others != 0 {
			t.Errorf("got %v, %v", res, err)
		}
	}
	if n := len(h.events(sekisho.EventSessionStopped)); n != 3 {
		t.Error(fmt.Sprint(n, " were noted"))
	}
}

// Downloads say whether the session still runs.
func TestDownloadOfALiveSession(t *testing.T) {
	h := newHouse(t)
	session, _ := h.recording(10)
	aud := h.signIn("aud@example.com", "auditors")
	open := func() bool {
		s, err := aud.Recording.Download(t.Context(), connect.NewRequest(&apiv1.DownloadRequest{Session: session}))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if !s.Receive() {
			t.Fatal(s.Err())
		}
		return s.Msg().Open
	}
	if open() {
		t.Error("a closed recording is said to be open")
	}
	r, err := h.db.Recording(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	r.State = sekisho.RecordingOpen
	if err := h.db.SaveRecording(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if !open() {
		t.Error("an open recording is said to be closed")
	}
}
