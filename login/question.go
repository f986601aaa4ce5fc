package login

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sekisho/sekisho"
)

const (
	// PathProve is the page on which somebody proves themselves for one connection: PathProve/QUESTION (Desk.Asked,
	// Desk.Confirm).
	PathProve = "/prove"
	// QuestionLifetime is how long a question can be answered.
	QuestionLifetime = 3 * time.Minute

	// answerPoll is how often a waiting process looks whether another one got the answer.
	answerPoll = 500 * time.Millisecond
	// closeTime bounds what is still to be kept when the caller has gone.
	closeTime = 5 * time.Second

	// Questions per limitWindow.
	maxQuestions       = 30   // for one person who is known by a certificate
	maxStrangerAsks    = 100  // for people who are not known, by one network(address)
	maxStrangerAsksAll = 1000 // the same, by all
)

// What pages and terminals say.
const (
	goneQuestion = "This link has expired or was used already, or the connection was given up."
	askAgain     = "Connect again."
)

// Question asks a person to prove themselves, for one connection that is waiting. Nothing in it is believed because
// somebody typed it: Subject and SignIn are those of a certificate that was shown and proved.
type Question struct {
	// Subject is who must answer; empty: nobody is known yet, and whoever answers is who connects.
	Subject string
	// SignIn is the sign-in behind the connection. If it lives, the answer renews it.
	SignIn string
	// Why is "ended", "stale" or "no certificate".
	Why string
	// Login and Target are where the connection leads; both are empty where it leads to the gateway itself. ClientAddress
	// is where it comes from.
	Login, Target, ClientAddress string
}

// Challenge is a question that was asked.
type Challenge struct {
	// Link is the page; Code stands on it as well, to be compared with the terminal.
	Link, Code string
	Expires    time.Time

	desk     *Desk
	question string
}

// OpenQuestion is a question that can still be answered, as its page shows it. Ask keeps it under "asked/QUESTION", and
// it never changes.
type OpenQuestion struct {
	Question
	Code    string
	Begun   time.Time
	Expires time.Time
}

// Connection is the question's connection as ssh names it, LOGIN@TARGET.
func (q *Question) Connection() string {
	if q.Target == "" {
		return "the gateway"
	}
	return q.Login + "@" + q.Target
}

// Ask puts a question. The link is for the person who connects and for nobody else.
func (d *Desk) Ask(ctx context.Context, q Question) (*Challenge, error) {
	now := d.cfg.Now().UTC()
	if err := q.check(); err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	if !d.mayAsk(&q, now) {
		return nil, refuse("Too many connections wait for a proof, or have lately.", "Try again in ten minutes.", fmt.Errorf("ask: %w", ErrSlowDown))
	}
	a := OpenQuestion{Question: q, Code: userCode(), Begun: now, Expires: now.Add(QuestionLifetime)}
	id := sekisho.NewID("prf")
	if err := d.put(ctx, keyAsked(id), a.Expires, a); err != nil {
		return nil, err
	}
	if err := d.put(ctx, keyUnanswered(id), a.Expires, true); err != nil {
		return nil, err
	}
	ev := q.event(sekisho.EventProofAsked)
	ev.Detail = map[string]string{"why": q.Why}
	if err := d.cfg.Note(ctx, ev); err != nil {
		return nil, fmt.Errorf("note question: %w", err)
	}
	return &Challenge{Link: d.cfg.URL + PathProve + "/" + id, Code: a.Code, Expires: a.Expires, desk: d, question: id}, nil
}

func (q *Question) check() error {
	switch {
	case len(q.ClientAddress) > maxAddress:
		return errors.New("client address is too long")
	case q.SignIn != "" && q.Subject == "":
		return errors.New("a sign-in of nobody")
	case q.Login == "" && q.Target == "":
		return nil
	}
	return errors.Join(sekisho.CheckLogin(q.Login), sekisho.CheckTargetName(q.Target))
}

func (d *Desk) mayAsk(q *Question, now time.Time) bool {
	if q.Subject != "" {
		return d.questions.allow(q.Subject, now)
	}
	return d.strangers.allow(network(q.ClientAddress), now) && d.strangersAll.allow("", now)
}

func (q *Question) event(kind string) *sekisho.Event {
	return &sekisho.Event{
		Kind: kind, Actor: q.Subject, SignIn: q.SignIn, Target: q.Target, Login: q.Login, ClientAddress: q.ClientAddress,
	}
}

// Asked gives a question that can still be answered. It changes nothing: whatever looks at links before people do may.
func (d *Desk) Asked(ctx context.Context, question string) (*OpenQuestion, error) {
	a := new(OpenQuestion)
	if !sekisho.CheckID("prf", question) {
		return nil, refuse(goneQuestion, askAgain, errors.New("question: malformed"))
	}
	var free bool
	if err := d.get(ctx, keyUnanswered(question), &free); err != nil {
		return nil, gone(err, goneQuestion, askAgain)
	}
	if err := d.get(ctx, keyAsked(question), a); err != nil {
		return nil, gone(err, goneQuestion, askAgain)
	}
	return a, nil
}

// Confirm sends the browser of a person who said "this is my connection" to the IdP, to prove themselves anew. Call it
// only for a form that other sites cannot submit. The cookie is as with Visit.
func (d *Desk) Confirm(ctx context.Context, question string) (authorizeURL, cookie string, err error) {
	a, err := d.Asked(ctx, question)
	if err != nil {
		return "", "", err
	}
	if !d.visits.allow(question, d.cfg.Now()) {
		return "", "", refuse("This link was opened too often.", askAgain, fmt.Errorf("confirm: %w", ErrSlowDown))
	}
	return d.leave(ctx, visit{Question: question}, a.Expires, true)
}
