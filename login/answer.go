package login

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sekisho/sekisho"
)

// answer is what is kept under "answer/QUESTION" for whoever waits: a sign-in, or a refusal.
type answer struct {
	SignIn   string `json:"sign_in,omitempty"`
	Sentence string `json:"sentence,omitempty"`
	Next     string `json:"next,omitempty"`
}

// answer takes the browser back from the IdP with the answer to a question. Who fails at the IdP may try again; once
// somebody has proved who they are, the question is over, whatever comes of it.
func (d *Desk) answer(ctx context.Context, v *visit, code, idpError string) (Outcome, error) {
	q, err := d.Asked(ctx, v.Question)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Connection: q.Connection()}
	id, err := d.identify(ctx, v, code, idpError)
	if err != nil {
		d.noteUnproved(ctx, q, err)
		var r *sekisho.Refusal
		if errors.As(err, &r) && r.Next == again {
			err = refuse(r.Sentence, "Open the link in your terminal again.", r.Cause)
		}
		return out, err
	}
	var free bool
	if err := d.take(ctx, keyUnanswered(v.Question), &free); err != nil {
		return out, gone(err, goneQuestion, askAgain)
	}
	s, err := d.settle(ctx, &q.Question, id)
	if err != nil {
		var r *sekisho.Refusal
		said := answer{Sentence: sekisho.Say(err)}
		if errors.As(err, &r) {
			said = answer{Sentence: r.Sentence, Next: r.Next}
		}
		return out, errors.Join(err, d.tell(ctx, v.Question, q.Expires, said))
	}
	if err := d.tell(ctx, v.Question, q.Expires, answer{SignIn: s.ID}); err != nil {
		return out, err
	}
	out.Identity = id
	return out, nil
}

// settle gives the sign-in that the connection goes on with: the one behind it if it lives, else one that is made for
// it. It is noted before anything rests on it.
func (d *Desk) settle(ctx context.Context, q *Question, id sekisho.Identity) (*sekisho.SignIn, error) {
	if q.Subject != "" && q.Subject != id.Subject {
		err := refuse("The connection belongs to somebody else than the one who answered.", askAgain, fmt.Errorf("%s answered for %s", id.Subject, q.Subject))
		ev := q.event(sekisho.EventProofRefused)
		ev.Actor, ev.Error = id.Subject, err.Error()
		if note := d.cfg.Note(ctx, ev); note != nil {
			err = errors.Join(err, fmt.Errorf("note refused answer: %w", note))
		}
		return nil, err
	}
	s, err := d.behind(ctx, q)
	if err != nil {
		return nil, err
	}
	given := q.event(sekisho.EventProofGiven)
	if s != nil {
		s.Identity = id
		given.Detail = map[string]string{"how": "renewed"}
	} else {
		if s, err = d.beginFor(ctx, q, id); err != nil {
			return nil, err
		}
		given.Detail = map[string]string{"how": "began"}
	}
	given.Actor, given.SignIn = id.Subject, s.ID
	if err := d.cfg.Note(ctx, given); err != nil {
		return nil, fmt.Errorf("note answer: %w", err)
	}
	if err := d.cfg.Store.SaveSignIn(ctx, s); err != nil {
		return nil, fmt.Errorf("save sign-in: %w", err)
	}
	if err := d.cfg.Revoked(id.Subject, s.ID); err != nil {
		_, end := d.end(ctx, s, d.cfg.Now(), "revoked")
		return nil, errors.Join(err, end)
	}
	return s, nil
}

// behind gives the sign-in behind the connection, nil if there is none that lives.
func (d *Desk) behind(ctx context.Context, q *Question) (*sekisho.SignIn, error) {
	if q.SignIn == "" {
		return nil, nil
	}
	s, err := d.cfg.Store.SignIn(ctx, q.SignIn)
	switch {
	case errors.Is(err, sekisho.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read sign-in: %w", err)
	case !s.Live(d.cfg.Now()) || s.Identity.Subject != q.Subject:
		return nil, nil
	}
	return s, nil
}

// beginFor makes a sign-in that has neither token nor key: nothing can be called with it.
func (d *Desk) beginFor(ctx context.Context, q *Question, id sekisho.Identity) (*sekisho.SignIn, error) {
	now := d.cfg.Now().UTC()
	s := &sekisho.SignIn{
		ID: sekisho.NewID("sin"), Identity: id, Device: "ssh to " + q.Connection(), ClientAddress: q.ClientAddress,
		Created: now, Expires: now.Add(d.cfg.Lifetime),
	}
	if err := d.noteSignIn(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
}

// noteUnproved notes that the IdP did not say who it was; bounded as all that strangers can cause.
func (d *Desk) noteUnproved(ctx context.Context, q *OpenQuestion, cause error) {
	now := d.cfg.Now()
	if !d.refusals.allow(network(q.ClientAddress), now) || !d.refusalsAll.allow("", now) {
		return
	}
	ev := q.event(sekisho.EventProofRefused)
	ev.Actor, ev.Error = "", cause.Error()
	if err := d.cfg.Note(ctx, ev); err != nil {
		d.cfg.Log.Error("note refused answer", "error", err)
	}
}

// tell lets whoever waits know, in whichever process they are.
func (d *Desk) tell(ctx context.Context, question string, expires time.Time, said answer) error {
	// A little longer than the question, for an answer in the last moment.
	if err := d.put(ctx, keyAnswer(question), expires.Add(time.Minute), said); err != nil {
		return err
	}
	d.waiting.wake(question)
	return nil
}

// Wait returns once the person has proved themselves, with the sign-in that the connection now rests on, or with a
// refusal. It lasts until Expires at the most. When ctx ends first, the question is closed: nobody can answer for a
// connection that is gone. Call it once.
func (c *Challenge) Wait(ctx context.Context) (*sekisho.SignIn, error) {
	heard, forget := c.desk.waiting.add(c.question)
	defer forget()
	tick := time.NewTicker(answerPoll)
	defer tick.Stop()
	for {
		said := new(answer)
		err := c.desk.get(ctx, keyAnswer(c.question), said)
		switch {
		case err == nil:
			return c.heard(ctx, said)
		case ctx.Err() != nil:
			return nil, c.close(ctx)
		case !errors.Is(err, sekisho.ErrNotFound):
			return nil, err
		case !c.desk.cfg.Now().Before(c.Expires):
			return nil, refuse("Nobody proved themselves in time.", askAgain, errors.New("wait for answer: expired"))
		}
		select {
		case <-ctx.Done():
		case <-heard:
		case <-tick.C:
		}
	}
}

func (c *Challenge) heard(ctx context.Context, said *answer) (*sekisho.SignIn, error) {
	if said.SignIn == "" {
		return nil, refuse(said.Sentence, said.Next, errors.New("wait for answer: refused"))
	}
	s, err := c.desk.cfg.Store.SignIn(ctx, said.SignIn)
	if err != nil {
		return nil, fmt.Errorf("read sign-in: %w", err)
	}
	return s, nil
}

// close takes the right to answer away.
func (c *Challenge) close(ctx context.Context) error {
	cause := ctx.Err()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	if err := c.desk.take(ctx, keyUnanswered(c.question), new(bool)); err != nil && !errors.Is(err, sekisho.ErrNotFound) {
		return errors.Join(cause, err)
	}
	return cause
}

// waiting wakes those who wait in this process, by question.
type waiting struct {
	mu   sync.Mutex
	wait map[string]chan struct{}
}

func (w *waiting) add(question string) (heard <-chan struct{}, forget func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wait == nil {
		w.wait = make(map[string]chan struct{})
	}
	w.wait[question] = c
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.wait, question)
	}
}

func (w *waiting) wake(question string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case w.wait[question] <- struct{}{}:
	default:
	}
}
