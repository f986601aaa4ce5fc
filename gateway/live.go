package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/sekisho/sekisho"
)

// meter counts bytes and knows when the last of them moved.
type meter struct{ bytes, moved atomic.Int64 }

// epoch is where meters' times begin, on the clock that nobody sets.
var epoch = time.Now()

// Add counts n bytes more.
func (m *meter) Add(n int64) int64 {
	m.moved.Store(int64(time.Since(epoch)))
	return m.bytes.Add(n)
}

// Load is how many there were.
func (m *meter) Load() int64 { return m.bytes.Load() }

// silent is how long ago the last of them moved; ok is false where none has.
func (m *meter) silent() (d time.Duration, ok bool) {
	at := m.moved.Load()
	return time.Since(epoch) - time.Duration(at), at != 0
}

// Sessions lists the live sessions that were decided, in no order, and says how many are still being decided.
func (g *Gateway) Sessions() (live []sekisho.Live, deciding int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.sessions {
		if s.judged {
			live = append(live, s.live())
		} else {
			deciding++
		}
	}
	return live, deciding
}

// live is the session as it is at this moment. It is called under the gateway's lock.
func (s *session) live() sekisho.Live {
	l := sekisho.Live{
		Session: s.Session, Limits: s.decision.Limits, Relayed: s.ends(), Idle: s.idle(),
		BytesIn: s.bytesIn.Load(), BytesOut: s.bytesOut.Load(), Watchers: int(s.watchers.Load()),
	}
	if r := s.middle.Load(); r != nil {
		l.Channels, l.Forwards = r.voices.programs(), int(r.forwards.Load())
	}
	if !s.recorded() {
		l.Audit = sekisho.AuditNone
	}
	return l
}

// recorded reports whether there is a recording, or will be before a byte flows.
func (s *session) recorded() bool {
	if s.middle.Load() != nil && s.tape == nil { // it could not be opened, and the policy lets it do without
		return false
	}
	return s.Audit != sekisho.AuditNone
}

func (s *session) idle() time.Duration {
	idle := s.elapsed()
	for _, m := range []*meter{&s.bytesIn, &s.bytesOut} {
		if d, moved := m.silent(); moved {
			idle = min(idle, d)
		}
	}
	return max(idle, 0)
}

// programs are what the channels run.
func (v *voices) programs() (all []sekisho.LiveChannel) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for c := range v.channels {
		if p := c.program.Load(); p != nil {
			all = append(all, *p)
		}
	}
	slices.SortFunc(all, func(a, b sekisho.LiveChannel) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

// maxBrief is how many bytes of a command are told to those who look.
const maxBrief = 256

func brief(command string) string {
	return strings.ToValidUTF8(command[:min(len(command), maxBrief)], "?")
}

// find gives a live session that was decided.
func (g *Gateway) find(id string) *session {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.sessions[id]; s != nil && s.judged {
		return s
	}
	return nil
}

// errGone wraps sekisho.ErrNotFound for a session that does not run here.
var errGone = fmt.Errorf("session does not run here: %w", sekisho.ErrNotFound)

// Watch counts somebody who is about to see a session live, and tells its user so where the limits say that: over told
// channels now, and over those that start a program as long as somebody watches. It returns within about a second, whatever
// the user's client does. The watcher stops by leave. The error wraps sekisho.ErrNotFound where the session does not run;
// it is a Refusal where nobody can watch it.
func (g *Gateway) Watch(session, who string) (told int, leave func(), err error) {
	s := g.find(session)
	switch {
	case s == nil:
		return 0, nil, errGone
	case !s.recorded():
		return 0, nil, &sekisho.Refusal{Sentence: "This session is not recorded, so there is nothing to watch.",
			Next: "What is watched is the recording: the policies say which sessions have one."}
	case s.watchers.Add(1) > maxWatchers:
		s.watchers.Add(-1)
		return 0, nil, &sekisho.Refusal{Sentence: fmt.Sprintf("%d people watch this session already, and no more can.", maxWatchers), Next: "Try again later."}
	}
	told = s.tellOf(fmt.Sprintf("%s watches this session.", words(who)))
	return told, func() {
		s.watchers.Add(-1)
		s.tellOf(fmt.Sprintf("%s does not watch this session any more.", words(who)))
	}, nil
}

// tellOf tells the user of somebody who watches, where the limits say so.
func (s *session) tellOf(sentence string) (told int) {
	r := s.middle.Load()
	if r == nil || !s.decision.Limits.Watched {
		return 0
	}
	if err := r.keepNote(sentence); err != nil && !errors.Is(err, errTapeClosed) {
		return 0 // the session ends, for its recording cannot go on
	}
	return r.voices.say(sentence)
}

// tellWatched tells the user at the start of a program that somebody watches.
func (c *channel) tellWatched() {
	if c.decision.Limits.Watched && c.watchers.Load() > 0 {
		go c.say("this session is being watched.")
	}
}

// Order is somebody's wish that a session ends.
type Order struct {
	By, Reason string // who, and why if they say so: both are told the user
}

func (o *Order) sentence() string {
	text := "this session is ended by " + words(o.By)
	if o.Reason != "" {
		text += ": " + words(o.Reason)
	}
	return strings.TrimSuffix(text, ".") + "."
}

// words replaces what a terminal would obey.
func words(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Stop ends a session on somebody's order, and reports whether it runs here. The user is told who ended it and why if they
// take that within stopTime; then both connections are closed. Stop does not wait for that.
func (g *Gateway) Stop(session string, o Order) bool {
	s := g.find(session)
	if s == nil {
		return false
	}
	s.order.CompareAndSwap(nil, &o)
	s.cancel()
	return true
}

// stopTime is how long the user of a session that somebody ends has to take the last word.
const stopTime = 700 * time.Millisecond

// lastWord tells the user why the session ends and puts it on the tape. Neither the user nor the disk holds up the end.
func (r *relay) lastWord(sentence string) {
	var both sync.WaitGroup
	both.Go(func() { r.voices.last(sentence) })
	both.Go(func() { r.keepNote(sentence) }) // an error ends the session, which is under way
	told := make(chan struct{})
	go func() {
		both.Wait()
		close(told)
	}()
	select {
	case <-told:
	case <-time.After(stopTime):
	}
}

// stopped is why a session ended that was not to go on.
func (s *session) stopped() error {
	if o := s.order.Load(); o != nil {
		return fmt.Errorf("%w: %s", errStopped, o.sentence())
	}
	return errStopped
}
