package gateway

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// session is one SSH connection on its way through the house. Each step fills in what the next one needs.
type session struct {
	sekisho.Session
	gateway *Gateway
	pass    *sekisho.Pass
	way     way
	cancel  context.CancelFunc
	begun   time.Time // Started by the clock that nobody sets, which time.Time.UTC takes away

	target   *sekisho.Target  // decide
	decision sekisho.Decision // decide
	judged   bool             // decide, under the gateway's lock
	tape     *tape            // record; nil when nothing is recorded
	// unrecorded is why a best-effort session is not.
	unrecorded error
	signer     ssh.Signer // certify
	far        net.Conn   // reach

	depth int    // how many SSH connections it and those around it are
	proof *proof // given by the person around or in front of it, for connections inside it

	journal           *journal
	bytesIn, bytesOut meter                 // from the user, from the target
	middle            atomic.Pointer[relay] // once there is one
	order             atomic.Pointer[Order] // to end it; the first one given
	watchers          atomic.Int32          // who see it live
	refusals          atomic.Int64          // of channels and requests
	requests          atomic.Int64          // of channels, besides programs and window changes
}

// way is how the traveller came in.
type way interface {
	// ends reports whether the gateway ends the SSH of this traveller.
	ends(sekisho.Limits) bool
	// open lets the traveller in, who has waited until everything was ready.
	open() (net.Conn, error)
	// secure makes SSH of it. Only where ends was true.
	secure(context.Context, *session, net.Conn) (*sshEnd, error)
}

// walk takes a session from the door to its end: decide, note, record, certify, reach, splice.
// Nothing reaches the target before it was decided and noted; nothing reaches the user before it was recorded, unless the decision lets them be ahead.
func (s *session) walk(ctx context.Context) (err error) {
	if err := s.decide(ctx); err != nil {
		return s.refuse(ctx, err)
	}
	if err := s.note(ctx); err != nil {
		return err
	}
	defer func() { s.noteEnd(errors.Join(err, s.journal.close())) }()
	if err := s.record(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.endRecord(err)) }()
	if err := s.certify(ctx); err != nil {
		return err
	}
	if err := s.reach(ctx); err != nil {
		return err
	}
	defer s.far.Close()
	return s.splice(ctx)
}

func (g *Gateway) newSession(pass *sekisho.Pass, a arrival, w way, cancel context.CancelFunc) *session {
	now := g.cfg.Now()
	return &session{
		gateway: g, pass: pass, way: w, cancel: cancel, begun: now, journal: newJournal(g.cfg.Note, func(error) { cancel() }), depth: 1,
		Session: sekisho.Session{
			ID: sekisho.NewID("ses"), SignIn: pass.SignIn, Identity: pass.Identity, Target: pass.Target, Login: pass.Login,
			ClientAddress: a.client.String(), Gateway: g.cfg.Name, Started: now.UTC(), Way: a.way, Parent: a.parent,
			Key: pass.Key, Request: pass.ID,
		},
	}
}

// decide asks whether the person may go there, and whether they have proved themselves lately enough for it.
func (s *session) decide(ctx context.Context) (err error) {
	client, _ := netip.ParseAddr(s.ClientAddress)
	s.target, s.decision, err = s.gateway.cfg.Decide(ctx, s.pass, client)
	if err != nil {
		return err
	}
	if s.decision.Effect != sekisho.Allow {
		return &sekisho.Refusal{Sentence: s.decision.Reason, Next: s.decision.Next}
	}
	if err := s.checkFresh(); err != nil {
		return err
	}
	s.gateway.decided(s)
	return nil
}

func (s *session) note(ctx context.Context) error {
	door := "pass"
	if s.ends() {
		door = "audit"
	}
	ev := s.event(sekisho.EventSessionStarted)
	ev.Decision = &s.decision
	ev.Detail = s.cameBy()
	ev.Detail["door"], ev.Detail["recording"] = door, "none"
	if s.Request != "" {
		ev.Detail["request"] = s.Request
	}
	if s.Serial != 0 {
		ev.Detail["certificate"] = strconv.FormatUint(s.Serial, 10)
	}
	if s.Audit != sekisho.AuditNone {
		ev.Detail["recording"] = string(s.Audit)
	}
	return s.gateway.cfg.Note(ctx, ev)
}

func (s *session) record(ctx context.Context) error {
	if s.Audit == sekisho.AuditNone {
		return nil
	}
	limits := s.decision.Limits
	limits.Audit = s.Audit // SSH inside a forward is recorded, whatever its own decision says
	t, err := s.openTape(ctx, limits)
	switch {
	case err == nil:
		s.tape = newTape(t, s.elapsed, limits, &s.gateway.meter)
		return nil
	case ctx.Err() != nil:
		return err
	}
	s.gateway.meter.failures.Add(1)
	var refused *sekisho.Refusal
	switch {
	case errors.As(err, &refused):
		return err
	case s.Audit == sekisho.AuditBestEffort:
		s.gateway.cfg.Log.Error("open recording; the session goes on without it", "session", s.ID, "error", err)
		s.unrecorded = err
		return s.noteLost(0, err)
	}
	return &sekisho.Refusal{Sentence: "This session must be recorded, and " + trouble(err) + ".", Next: "Tell an administrator.", Cause: err}
}

// openTape opens the recording. A disk that does not answer holds up the session for no longer than a sync may take, and
// one that may go without its recording for no longer than a person would wait.
func (s *session) openTape(ctx context.Context, limits sekisho.Limits) (Tape, error) {
	type opened struct {
		tape Tape
		err  error
	}
	patience := s.gateway.openPatience
	if limits.Audit == sekisho.AuditBestEffort {
		patience /= 10
	}
	done := make(chan opened, 1)
	go func() {
		t, err := s.gateway.cfg.Record(ctx, s.Session, limits)
		done <- opened{t, err}
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.tape, o.err
	case <-timer.C:
	}
	go func() {
		if o := <-done; o.err == nil {
			o.tape.Close(recording.EndFailed, max(s.elapsed(), 0))
		}
	}()
	return nil, fmt.Errorf("open recording: %w", errSlow)
}

// noteLost notes that the recording has lost so many bytes until now, or that there is none.
func (s *session) noteLost(bytes int64, why error) error {
	ev := s.event(sekisho.EventRecordingLost)
	ev.Detail = map[string]string{"bytes": strconv.FormatInt(bytes, 10), "why": trouble(why)}
	ev.Error = why.Error()
	return s.journal.soon(ev)
}

// certify makes a key for this session alone and has it signed for this login on this target.
func (s *session) certify(ctx context.Context) error {
	if !s.ends() {
		return nil
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	key, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return err
	}
	certificate, err := s.gateway.cfg.Certify(ctx, s.Session, s.decision.Limits, key.PublicKey())
	if err != nil {
		return err
	}
	s.signer, err = ssh.NewCertSigner(certificate, key)
	return err
}

func (s *session) reach(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	s.far, err = s.gateway.cfg.Reach(ctx, s.Target)
	return err
}

// splice opens the door and carries bytes until one side has ended.
func (s *session) splice(ctx context.Context) error {
	if s.ends() {
		return s.relay(ctx)
	}
	near, err := s.way.open()
	if err != nil {
		return err
	}
	return s.pipe(ctx, near)
}

func (s *session) ends() bool { return s.way.ends(s.decision.Limits) }

// refuse notes a refusal that a door made; the decision that was made for the token has its own event.
func (s *session) refuse(ctx context.Context, cause error) error {
	ev := s.event(sekisho.EventSessionRefused)
	ev.Detail = s.cameBy()
	ev.Error = cause.Error()
	if s.decision.Effect != "" {
		ev.Decision = &s.decision
	}
	return errors.Join(cause, s.gateway.cfg.Note(ctx, ev))
}

// cameBy says for events how the session came in.
func (s *session) cameBy() map[string]string {
	detail := map[string]string{"way": string(s.Way)}
	if s.Parent != "" {
		detail["parent"] = s.Parent
	}
	return detail
}

// noteRefused notes a refused channel or request, the first maxRefusals of a session: neither user nor target can fill
// the log with what they are not given. The session's end has the number of all.
func (s *session) noteRefused(ctx context.Context, detail map[string]string) error {
	if s.refusals.Add(1) > maxRefusals {
		return nil
	}
	ev := s.event(sekisho.EventChannelRefused)
	ev.Detail = detail
	return s.journal.now(ev)
}

func (s *session) noteEnd(cause error) {
	ev := s.event(sekisho.EventSessionEnded)
	ev.Detail = map[string]string{
		"seconds":   strconv.FormatFloat(s.elapsed().Seconds(), 'f', 3, 64),
		"bytes_in":  strconv.FormatInt(s.bytesIn.Load(), 10),
		"bytes_out": strconv.FormatInt(s.bytesOut.Load(), 10),
	}
	if n := s.refusals.Load(); n > 0 {
		ev.Detail["refused"] = strconv.FormatInt(n, 10)
	}
	if cause != nil {
		ev.Error = cause.Error()
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := s.gateway.cfg.Note(ctx, ev); err != nil {
		s.gateway.cfg.Log.Error("note end of session", "session", s.ID, "error", err)
	}
}

func (s *session) endRecord(cause error) error {
	if s.tape == nil {
		return nil
	}
	end := recording.EndDone
	switch {
	case errors.Is(cause, errStopped):
		end = recording.EndStopped
	case cause != nil:
		end = recording.EndFailed
	}
	err := s.tape.close(end)
	if lost, why := s.tape.losses(); why != nil {
		err = errors.Join(err, s.noteLost(lost, why))
	}
	return err
}

// elapsed is the time since the session started, however the machine's clock was set meanwhile.
func (s *session) elapsed() time.Duration { return s.gateway.cfg.Now().Sub(s.begun) }

func (s *session) event(kind string) *sekisho.Event {
	return &sekisho.Event{Kind: kind, Actor: s.Identity.Subject, SignIn: s.SignIn, Session: s.ID, Target: s.Target,
		Login: s.Login, ClientAddress: s.ClientAddress}
}

// address is the IP address of a connection's far end, the zero address where it has none.
func address(a net.Addr) netip.Addr {
	if ap, err := netip.ParseAddrPort(a.String()); err == nil {
		return ap.Addr().Unmap()
	}
	return netip.Addr{}
}
