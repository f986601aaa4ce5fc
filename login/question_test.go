package login_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/login"
)

// stale is what is asked where mei's sign-in is not fresh enough.
func stale(signIn string) login.Question {
	return login.Question{
		Subject: "mei@example.com", SignIn: signIn, Why: "stale", Login: "root", Target: "db1", ClientAddress: "192.0.2.7",
	}
}

func (f *front) ask(t *testing.T, q login.Question) (*login.Challenge, string) {
	t.Helper()
	c, err := f.Ask(t.Context(), q)
	if err != nil {
		t.Fatalf("Ask: %v", err)
	}
	question, ok := strings.CutPrefix(c.Link, controlURL+"/prove/")
	if !ok || !sekisho.CheckID("prf", question) {
		t.Fatalf("link %q", c.Link)
	}
	return c, question
}

// prove takes a browser from the button through the IdP and back.
func (f *front) prove(t *testing.T, question string) (login.Outcome, error) {
	t.Helper()
	to, cookie, err := f.Confirm(t.Context(), question)
	if err != nil {
		t.Fatalf("Confirm: %v", err)
	}
	if !strings.Contains(to, "prompt=login") || !strings.Contains(to, "max_age=0") {
		t.Errorf("the IdP is not asked to have it proved again: %s", to)
	}
	code, state := authorize(t, to)
	return f.Callback(t.Context(), state, code, cookie, "")
}

// lastEvent gives the last event of a kind.
func (f *front) lastEvent(t *testing.T, kind string) sekisho.Event {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.events) - 1; i >= 0; i-- {
		if f.events[i].Kind == kind {
			return f.events[i]
		}
	}
	t.Fatalf("no event %s", kind)
	return sekisho.Event{}
}

func TestAnswerRenewsSignIn(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	token, s := f.signIn(t, mei)
	f.clock.pass(time.Hour)
	f.op.set(false, f.op.but(map[string]any{"groups": []string{"sre"}}))
	c, question := f.ask(t, stale(s.ID))
	if got, err := f.Asked(t.Context(), question); err != nil || got.Code != c.Code || got.Connection() != "root@db1" || !got.Begun.Equal(f.clock.now()) {
		t.Errorf("the page shows %+v, %v", got, err)
	}
	type result struct {
		s   *sekisho.SignIn
		err error
	}
	waited := make(chan result, 1)
	go func() {
		s, err := c.Wait(context.Background())
		waited <- result{s, err}
	}()
	out, err := f.prove(t, question)
	if err != nil || out.Connection != "root@db1" || out.Identity.Subject != "mei@example.com" || out.RedirectTo != "" {
		t.Fatalf("outcome %+v, %v", out, err)
	}
	got := <-waited
	if got.err != nil {
		t.Fatal(got.err)
	}
	want := *s
	want.Identity.Groups, want.Identity.AuthTime = []string{"sre"}, f.clock.now()
	if diff := cmp.Diff(&want, got.s); diff != "" {
		t.Errorf("sign-in (-want +got):\n%s", diff)
	}
	if _, err := f.Authenticate(t.Context(), token, mei.proof(t, "POST", callURL, token, f.clock.now()), "POST", callURL, ""); err != nil {
		t.Errorf("the sign-in lost its token: %v", err)
	}
	given := f.lastEvent(t, sekisho.EventProofGiven)
	if given.SignIn != s.ID || given.Actor != "mei@example.com" || given.Target != "db1" || given.Login != "root" || given.Detail["how"] != "renewed" {
		t.Errorf("noted %+v", given)
	}
	if ev := f.lastEvent(t, sekisho.EventProofAsked); ev.Detail["why"] != "stale" || ev.ClientAddress != "192.0.2.7" {
		t.Errorf("noted %+v", ev)
	}
}

// A sign-in that has ended stays so: the answer begins one that nothing can be called with.
func TestAnswerBeginsSignIn(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	token, s := f.signIn(t, mei)
	if _, err := f.End(t.Context(), s, "", false); err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]login.Question{
		"ended":          {Subject: "mei@example.com", SignIn: s.ID, Why: "ended", Login: "root", Target: "db1", ClientAddress: "192.0.2.7"},
		"forgotten":      {Subject: "mei@example.com", SignIn: sekisho.NewID("sin"), Why: "ended", Login: "root", Target: "db1", ClientAddress: "192.0.2.7"},
		"no certificate": {Why: "no certificate", Login: "root", Target: "db1", ClientAddress: "192.0.2.7"},
	} {
		t.Run(name, func(t *testing.T) {
			c, question := f.ask(t, q)
			if _, err := f.prove(t, question); err != nil {
				t.Fatal(err)
			}
			got, err := c.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			now := f.clock.now()
			if got.ID == s.ID || got.Identity.Subject != "mei@example.com" || got.Device != "ssh to root@db1" || got.ClientAddress != "192.0.2.7" ||
				!got.Live(now) || !got.Expires.Equal(now.Add(login.DefaultLifetime)) || !got.Identity.AuthTime.Equal(now) {
				t.Errorf("sign-in %+v", got)
			}
			if got.Thumbprint != "" || len(got.TokenHash) != 0 {
				t.Error("something could be called with it")
			}
			stolen := got.ID + token[strings.Index(token, "."):]
			_, err = f.Authenticate(t.Context(), stolen, mei.proof(t, "POST", callURL, stolen, now), "POST", callURL, "")
			wantRefusal(t, err, "not signed in")
			if given := f.lastEvent(t, sekisho.EventProofGiven); given.Detail["how"] != "began" || given.SignIn != got.ID {
				t.Errorf("noted %+v", given)
			}
			if ev := f.lastEvent(t, sekisho.EventSignIn); ev.SignIn != got.ID || ev.Detail["device"] != "ssh to root@db1" {
				t.Errorf("noted %+v", ev)
			}
		})
	}
}

// Mallory opens mei's link, or sends her own to mei, who has another account.
func TestSomebodyElseAnswers(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	_, s := f.signIn(t, mei)
	c, question := f.ask(t, stale(s.ID))
	f.op.set(false, f.op.but(map[string]any{"email": "mallory@example.com", "groups": []string{"admins"}}))
	_, err := f.prove(t, question)
	wantRefusal(t, err, "belongs to somebody else")
	_, err = c.Wait(t.Context())
	wantRefusal(t, err, "belongs to somebody else")
	if ev := f.lastEvent(t, sekisho.EventProofRefused); ev.Actor != "mallory@example.com" || ev.SignIn != s.ID || !strings.Contains(ev.Error, "mallory@example.com answered for mei@example.com") {
		t.Errorf("noted %+v", ev)
	}
	if now, _ := f.store.SignIn(t.Context(), s.ID); !cmp.Equal(now, s) {
		t.Error("mei's sign-in was changed")
	}
	f.op.set(false, nil)
	_, _, err = f.Confirm(t.Context(), question)
	wantRefusal(t, err, "used already")
}

// The answer to a question of mei's that names a sign-in of somebody else does not change that one.
func TestAnswerLeavesOthersSignIns(t *testing.T) {
	f := newFront(t)
	f.op.set(false, f.op.but(map[string]any{"email": "ken@example.com"}))
	_, kens := f.signIn(t, newPerson(t))
	f.op.set(false, nil)
	c, question := f.ask(t, stale(kens.ID))
	if _, err := f.prove(t, question); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Wait(t.Context()); err != nil || got.ID == kens.ID || got.Identity.Subject != "mei@example.com" {
		t.Errorf("%+v, %v", got, err)
	}
	if now, _ := f.store.SignIn(t.Context(), kens.ID); !cmp.Equal(now, kens) {
		t.Error("ken's sign-in was changed")
	}
}

func TestQuestionOnce(t *testing.T) {
	f := newFront(t)
	c, question := f.ask(t, stale(""))
	// Two browsers went to the IdP before one came back.
	to, cookie, err := f.Confirm(t.Context(), question)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.prove(t, question); err != nil {
		t.Fatal(err)
	}
	code, state := authorize(t, to)
	_, err = f.Callback(t.Context(), state, code, cookie, "")
	wantRefusal(t, err, "used already")
	_, err = f.Asked(t.Context(), question)
	wantRefusal(t, err, "used already")
	_, _, err = f.Confirm(t.Context(), question)
	wantRefusal(t, err, "used already")
	if _, err := c.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(f.store.signIns); n != 1 {
		t.Errorf("%d sign-ins for one answer", n)
	}
}

func TestQuestionBelongsToItsBrowser(t *testing.T) {
	f := newFront(t)
	_, question := f.ask(t, stale(""))
	to, _, err := f.Confirm(t.Context(), question)
	if err != nil {
		t.Fatal(err)
	}
	code, state := authorize(t, to)
	_, err = f.Callback(t.Context(), state, code, "", "")
	wantRefusal(t, err, "did not begin")
	// A question is no request of a sign-in, nor the other way round.
	_, _, err = f.Visit(t.Context(), question)
	wantRefusal(t, err, "expired or was used")
	b, err := f.Begin(t.Context(), newPerson(t).begin(loopbackURI))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{b.Request, "", "prf_", "../x", sekisho.NewID("prf"), question[:len(question)-1] + "\n"} {
		_, err := f.Asked(t.Context(), id)
		wantRefusal(t, err, "expired or was used")
		_, _, err = f.Confirm(t.Context(), id)
		wantRefusal(t, err, "expired or was used")
	}
}

func TestQuestionExpires(t *testing.T) {
	f := newFront(t)
	c, question := f.ask(t, stale(""))
	to, cookie, err := f.Confirm(t.Context(), question)
	if err != nil {
		t.Fatal(err)
	}
	code, state := authorize(t, to)
	f.clock.pass(login.QuestionLifetime)
	_, err = f.Asked(t.Context(), question)
	wantRefusal(t, err, "expired")
	_, _, err = f.Confirm(t.Context(), question)
	wantRefusal(t, err, "expired")
	_, err = f.Callback(t.Context(), state, code, cookie, "")
	wantRefusal(t, err, "expired")
	_, err = c.Wait(t.Context())
	wantRefusal(t, err, "in time")
	if n := len(f.store.signIns); n != 0 {
		t.Errorf("%d sign-ins", n)
	}
}

// Whoever gives up closes the question: the link does nothing any more.
func TestQuestionEndsWithItsConnection(t *testing.T) {
	f := newFront(t)
	c, question := f.ask(t, stale(""))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	_, _, err := f.Confirm(t.Context(), question)
	wantRefusal(t, err, "given up")
}

// Another process took the browser back: the waiting one finds the answer in the store.
func TestAnswerThroughTheStore(t *testing.T) {
	f := newFront(t)
	other, err := login.New(login.Config{
		Provider: f.op.provider(t, nil), Store: f.store, URL: controlURL, Note: f.note, Now: f.clock.now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	c, question := f.ask(t, stale(""))
	waited := make(chan error, 1)
	go func() {
		_, err := c.Wait(context.Background())
		waited <- err
	}()
	there := &front{Desk: other, op: f.op, clock: f.clock, store: f.store}
	if _, err := there.prove(t, question); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

// Who fails at the IdP can try again; the log is not filled with it.
func TestQuestionAfterFailureAtIdP(t *testing.T) {
	f := newFront(t)
	c, question := f.ask(t, stale(""))
	for range 3 {
		to, cookie, err := f.Confirm(t.Context(), question)
		if err != nil {
			t.Fatal(err)
		}
		_, state := authorize(t, to)
		_, err = f.Callback(t.Context(), state, "", cookie, "access_denied")
		wantRefusal(t, err, "did not sign you in")
		if !strings.Contains(sekisho.Say(err), "Open the link") {
			t.Errorf("says %q", sekisho.Say(err))
		}
	}
	if _, err := f.prove(t, question); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// An IdP that lets the person in without asking them again has proved nothing.
func TestAnswerMustBeFresh(t *testing.T) {
	f := newFront(t)
	c, question := f.ask(t, stale(""))
	f.op.set(false, f.op.but(map[string]any{"auth_time": f.clock.now().Add(-10 * time.Minute).Unix()}))
	_, err := f.prove(t, question)
	wantRefusal(t, err, "did not ask you to prove yourself again")
	f.op.set(false, nil)
	if _, err := f.prove(t, question); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Wait(t.Context()); err != nil || !s.Identity.AuthTime.Equal(f.clock.now()) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestNoAnswerWithoutEvent(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	_, s := f.signIn(t, mei)
	c, question := f.ask(t, stale(s.ID))
	f.clock.pass(time.Minute)
	f.deaf.Store(true)
	if _, err := f.prove(t, question); err == nil {
		t.Error("answered without a line in the audit log")
	}
	if _, err := c.Wait(t.Context()); err == nil {
		t.Error("the connection goes on without a line in the audit log")
	}
	if now, _ := f.store.SignIn(t.Context(), s.ID); !cmp.Equal(now, s) {
		t.Error("the sign-in was renewed")
	}
	if _, err := f.Ask(t.Context(), stale(s.ID)); err == nil {
		t.Error("asked without a line in the audit log")
	}
}

func TestQuestionsAreBounded(t *testing.T) {
	f := newFront(t)
	count := func(q login.Question) (asked int) {
		for range 200 {
			if _, err := f.Ask(t.Context(), q); err == nil {
				asked++
			} else if !errors.Is(err, login.ErrSlowDown) {
				t.Fatal(err)
			}
		}
		return asked
	}
	if n := count(stale("")); n != 30 {
		t.Errorf("%d questions for one person, want 30", n)
	}
	stranger := login.Question{Why: "no certificate", Login: "root", Target: "db1", ClientAddress: "203.0.113.66"}
	if n := count(stranger); n != 100 {
		t.Errorf("%d questions for strangers from one address, want 100", n)
	}
	stranger.ClientAddress = "203.0.113.67"
	if n := count(stranger); n != 100 {
		t.Errorf("%d questions for strangers from another address, want 100", n)
	}
	ken := stale("")
	ken.Subject = "ken@example.com"
	if n := count(ken); n != 30 {
		t.Errorf("%d questions for another person, want 30", n)
	}
	f.clock.pass(time.Hour)
	_, question := f.ask(t, stale(""))
	slow := 0
	for range 30 {
		if _, _, err := f.Confirm(t.Context(), question); errors.Is(err, login.ErrSlowDown) {
			slow++
		}
	}
	if slow != 10 {
		t.Errorf("%d of 30 visits were slowed down, want 10", slow)
	}
}

func TestAskRefuses(t *testing.T) {
	f := newFront(t)
	if _, err := f.Ask(t.Context(), login.Question{Why: "no certificate", ClientAddress: "192.0.2.7"}); err != nil {
		t.Errorf("for the gateway itself: %v", err)
	}
	for name, change := range map[string]func(*login.Question){
		"login":                func(q *login.Question) { q.Login = "root@evil" },
		"target":               func(q *login.Question) { q.Target = "<b>" },
		"address":              func(q *login.Question) { q.ClientAddress = strings.Repeat("1", 65) },
		"login without target": func(q *login.Question) { q.Target = "" },
		"nobody's sign-in":     func(q *login.Question) { q.Subject, q.SignIn = "", "sin_x" },
	} {
		q := stale("")
		change(&q)
		if _, err := f.Ask(t.Context(), q); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
