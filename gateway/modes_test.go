package gateway_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// hang keeps the disk from taking anything until it is called again.
func (m *memoryTape) hang() (release func()) {
	hold := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hold = hold
	return func() { close(hold) }
}

// A bounded session goes on while the disk works, and waits for it at its bound.
func TestBoundedSession(t *testing.T) {
	h := newHouse(t)
	h.decision.Limits.Audit, h.decision.Limits.Ahead = sekisho.AuditBounded, sekisho.Ahead{Bytes: 100, Time: time.Minute}
	s, err := h.mustClient().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out := &growing{}
	s.Stdout = out
	in, err := s.StdinPipe()
	if err == nil {
		err = s.Start("cat")
	}
	if err != nil {
		t.Fatal(err)
	}
	release := h.tape.hang()
	io.WriteString(in, "hello")
	waitFor(t, func() bool { return out.String() == "hello" })
	if ahead := h.gateway.Meter().Ahead(); ahead != 5 {
		t.Errorf("%d bytes are ahead", ahead)
	}
	io.WriteString(in, strings.Repeat("x", 200))
	time.Sleep(200 * time.Millisecond)
	if got := out.String(); got != "hello" {
		t.Errorf("beyond the bound the user saw %q", got)
	}
	release()
	waitFor(t, func() bool { return len(out.String()) == 205 })
	in.Close()
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	if h.gateway.Meter().Ahead() != 0 || h.gateway.Meter().AheadMax() > 100 {
		t.Errorf("%d bytes ahead, %d at the most", h.gateway.Meter().Ahead(), h.gateway.Meter().AheadMax())
	}
}

// growing is what was written to it until now.
type growing struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (g *growing) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all.Write(p)
}

func (g *growing) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all.String()
}

// A best-effort session never waits; its user is told once that the recording has gaps, and the log knows how large they
// are.
func TestBestEffortSession(t *testing.T) {
	h := newHouse(t)
	h.decision.Limits.Audit = sekisho.AuditBestEffort
	release := h.tape.hang()
	const size = 20 << 20
	s, err := h.mustClient().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	told, count := &growing{}, &counting{}
	s.Stdout, s.Stderr = count, told
	if err := s.Run("fill 20971520"); err != nil {
		t.Fatal(err)
	}
	if count.n != size {
		t.Errorf("the user saw %d bytes", count.n)
	}
	if n := strings.Count(told.String(), "this recording has gaps: the disk for recordings is too slow. The session goes on."); n != 1 {
		t.Errorf("told %d times: %q", n, told)
	}
	release()
	h.gateway.End(func(sekisho.Session) bool { return true })
	waitFor(t, func() bool { return slices.Contains(h.kinds(), sekisho.EventSessionEnded) })
	output, missing := int64(len(h.tape.said(recording.Output))), h.gateway.Meter().Lost()
	if output+missing != size || missing == 0 {
		t.Errorf("%d bytes recorded, %d missing, of %d", output, missing, size)
	}
	if h.tape.said(recording.Lost) == "" {
		t.Error("the recording does not say that something is missing")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ev := range h.events {
		if ev.Kind == sekisho.EventSessionStarted && ev.Detail["recording"] != "best-effort" {
			t.Errorf("noted as %v", ev.Detail)
		}
	}
}

type counting struct{ n int64 }

func (c *counting) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
