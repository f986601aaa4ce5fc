package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

const (
	// proveTime is how long a connection waits for its person to prove themselves.
	proveTime = 3 * time.Minute
	// lastWords is how long a connection lives whose person did not, to hear why.
	lastWords = 5 * time.Second
)

// Why a person is asked to prove themselves (Question.Why).
const (
	whyEnded         = "ended"
	whyStale         = "stale"
	whyNoCertificate = "no certificate"
)

// errStranger is what is wrong with somebody who shows no certificate.
var errStranger = errors.New("no certificate")

// stale refuses somebody who may go there, but has proved themselves too long ago.
type stale struct {
	refusal *sekisho.Refusal
	fresh   time.Duration
}

func (s *stale) Error() string { return s.refusal.Error() }
func (s *stale) Unwrap() error { return s.refusal }

// checkFresh holds the person's last proof against the decision.
func (s *session) checkFresh() error {
	fresh, now := s.decision.Limits.Fresh, s.gateway.cfg.Now()
	if s.Identity.Fresh(fresh, now) {
		return nil
	}
	last := "at a time that the IdP did not say"
	if at := s.Identity.AuthTime; !at.IsZero() {
		last = short(now.Sub(at)) + " ago"
	}
	return &stale{fresh: fresh, refusal: &sekisho.Refusal{
		Sentence: fmt.Sprintf("%s on %s is for people who proved themselves no longer than %s ago.", s.Login, s.Target, short(fresh)),
		Next:     "Run: sekisho login --fresh",
		Cause:    errors.New("proved themselves " + last),
	}}
}

// proof says that somebody has proved themselves while their connection waited, and with which certificate they came.
type proof struct {
	certificate string // in its wire form
	pass        sekisho.Pass
}

// of reports whether the proof was given by who holds that certificate.
func (p *proof) of(certificate *ssh.Certificate) bool {
	return p != nil && certificate != nil && p.certificate == string(certificate.Marshal())
}

// proofOf is what connections inside this one need not ask for again.
func (t *traveller) proofOf(c *claim, pass *sekisho.Pass) *proof {
	if !t.proven || c.certificate == nil {
		return t.outer.proof
	}
	return &proof{string(c.certificate.Marshal()), *pass}
}

// question is what to ask somebody to mend what is wrong; nil where no proof of theirs does, or they were asked before.
func (t *traveller) question(c *claim, wrong error) *Question {
	if t.asked {
		return nil
	}
	q := &Question{Certificate: c.certificate, Login: c.login, Target: c.target, ClientAddress: t.client.String()}
	var s *stale
	switch {
	case errors.Is(wrong, sekisho.ErrEnded):
		q.Why = whyEnded
	case errors.As(wrong, &s):
		q.Why, q.Fresh = whyStale, s.fresh
	case errors.Is(wrong, errStranger):
		q.Why = whyNoCertificate
	default:
		return nil
	}
	return q
}

// mend tells what is wrong and lets the client go on by keyboard-interactive (RFC 4256), and by nothing else.
func (t *traveller) mend(ctx context.Context, c *claim, pass *sekisho.Pass, q *Question, wrong error) error {
	if pass == nil {
		return say(wrong) // whose certificate it is, is not known
	}
	if err := t.banner(bare(wrong) + "\r\n"); err != nil {
		return err
	}
	return &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{
		KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, show ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			return t.answer(ctx, c, pass.Identity.Subject, q, show)
		},
	}}
}

// bare is what is wrong without the next step: that is the link, which follows.
func bare(wrong error) string {
	if r := (*sekisho.Refusal)(nil); errors.As(wrong, &r) {
		return r.Sentence
	}
	return sekisho.Say(wrong)
}

// strange is keyboard-interactive for who shows no certificate. Clients come to it when none of their keys fits. Where the
// configuration does not let such people in, all that they get is told once what to do.
func (t *traveller) strange(ctx context.Context) func(ssh.ConnMetadata, ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	return func(meta ssh.ConnMetadata, show ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		if !t.gateway.cfg.WithoutCertificate {
			return nil, t.turnDown()
		}
		to, err := t.where(ctx, meta.User())
		if err != nil {
			return nil, say(err)
		}
		c := &claim{place: to}
		q := t.question(c, errStranger)
		if q == nil {
			return nil, errStranger
		}
		return t.answer(ctx, c, "", q, show)
	}
}

// turnDown refuses who shows no certificate, with a sentence unless they have heard one.
func (t *traveller) turnDown() error {
	if t.told {
		return errStranger
	}
	next := "Run: sekisho login --agent"
	if t.way == sekisho.WayJump { // the certificate was shown on the way, and ssh did not ask the same agent again
		next = "With ssh -J your ssh must ask your ssh-agent for the target as well: take the lines of sekisho ssh-config --agent, or leave -J away."
	}
	return t.hint(&sekisho.Refusal{Sentence: "None of your keys is a valid certificate for this gateway.", Next: next, Cause: errStranger})
}

// answer asks the question, once, and lets in who answers it. subject is who must; empty: anybody, who then it is that
// connects.
func (t *traveller) answer(ctx context.Context, c *claim, subject string, q *Question, show ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	if t.asked {
		return nil, errors.New("asked before")
	}
	t.asked = true
	pass, err := t.ask(ctx, q, show)
	if err != nil {
		return nil, say(err)
	}
	if c.certificate != nil && pass.Identity.Subject != subject {
		return nil, say(&sekisho.Refusal{Sentence: fmt.Sprintf("%s proved themselves, but this certificate is %s's.", pass.Identity.Subject, subject),
			Next: "Connect again."})
	}
	t.proven = true
	permissions, err := t.admit(ctx, c, pass)
	return permissions, say(err)
}

// ask shows the question and waits for the person: for proveTime at the most, while the client stays and the gateway is
// open. Whoever waits is counted apart from who knocks, and has little time left when the wait was for nothing.
func (t *traveller) ask(ctx context.Context, q *Question, show ssh.KeyboardInteractiveChallenge) (pass *sekisho.Pass, err error) {
	defer func() {
		if err != nil {
			t.conn.SetDeadline(time.Now().Add(lastWords))
		}
	}()
	leave, ok := t.gateway.waiting.step(t.client)
	if !ok {
		return nil, &sekisho.Refusal{Sentence: "Too many connections wait for somebody to prove themselves.", Next: "Try again in a moment."}
	}
	defer leave()
	t.known()
	ctx, cancel := context.WithTimeout(ctx, proveTime)
	defer cancel()
	defer context.AfterFunc(t.conn.over, cancel)()
	defer context.AfterFunc(t.gateway.closing, cancel)()
	if err := t.conn.SetDeadline(time.Now().Add(proveTime + handshakeTime)); err != nil {
		return nil, err
	}
	challenge, err := t.gateway.cfg.Prove(ctx, *q)
	if err != nil {
		return nil, err
	}
	if _, err := show("", instruction(challenge), nil, nil); err != nil {
		cancel()
		challenge.Wait(ctx) // a question that nobody waits for is closed
		return nil, fmt.Errorf("ask for a proof: %w", err)
	}
	pass, err = challenge.Wait(ctx)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, &sekisho.Refusal{Sentence: fmt.Sprintf("Nobody has proved themselves within %s.", short(proveTime)), Next: "Connect again.", Cause: err}
	case t.gateway.closing.Err() != nil:
		return nil, errClosing
	case err != nil:
		return nil, fmt.Errorf("wait for a proof: %w", err)
	case pass == nil:
		return nil, errors.New("wait for a proof: nobody gave it")
	}
	return pass, t.conn.SetDeadline(time.Now().Add(handshakeTime))
}

// instruction is what the client shows. There are no prompts: what the person does, they do in the browser.
func instruction(c *Challenge) string {
	text := c.Sentence + "\n\n  " + c.Link + "\n"
	if c.Code != "" {
		text += "\n  Code: " + c.Code + "\n"
	}
	return text
}

// watched is a connection that says when its other end has gone. SSH reads ahead, so that is known while something else
// is waited for.
type watched struct {
	net.Conn
	over  context.Context
	ended context.CancelFunc
}

func watch(conn net.Conn) *watched {
	w := &watched{Conn: conn}
	w.over, w.ended = context.WithCancel(context.Background())
	return w
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		w.ended()
	}
	return n, err
}

func (w *watched) Close() error {
	w.ended()
	return w.Conn.Close()
}
