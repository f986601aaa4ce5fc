package gateway

import (
	"testing"
	"time"

	"github.com/sekisho/sekisho"
)

func TestClock(t *testing.T) {
	c := &clock{limits: sekisho.Limits{Longest: time.Hour, Idle: 10 * time.Minute}}
	for _, step := range []struct {
		at    time.Duration
		bytes int64
		warn  string
		over  error
	}{
		{0, 0, "", nil},
		{7 * time.Minute, 0, "", nil},
		{8 * time.Minute, 0, "idle", nil},
		{9 * time.Minute, 0, "", nil}, // once
		{9*time.Minute + 30*time.Second, 1, "", nil},
		{19 * time.Minute, 1, "idle", nil}, // again, since it was active
		{19*time.Minute + 10*time.Second, 2, "", nil},
		{28 * time.Minute, 3, "", nil},
		{37 * time.Minute, 4, "", nil},
		{46 * time.Minute, 5, "", nil},
		{54 * time.Minute, 6, "", nil},
		{55 * time.Minute, 7, "longest", nil},
		{56 * time.Minute, 8, "", nil},
		{time.Hour, 9, "", errLongest},
	} {
		wait, warn, over := c.look(step.at, step.bytes)
		said := ""
		if warn != nil {
			said = warn.limit
		}
		if said != step.warn || over != step.over || over == nil && (wait <= 0 || wait > maxLook) {
			t.Errorf("at %s: wait %s, warn %q, over %v", step.at, wait, said, over)
		}
	}
	idle := &clock{limits: sekisho.Limits{Idle: time.Second}}
	if _, _, over := idle.look(time.Second, 0); over != errIdle {
		t.Errorf("idle for its second: %v", over)
	}
}

// Whoever sets the machine's clock, forward or back, changes nothing about how long a session has lasted.
func TestElapsedByNoClockThatIsSet(t *testing.T) {
	g := &Gateway{cfg: Config{Now: time.Now}}
	s := g.newSession(&sekisho.Pass{}, arrival{}, nil, func() {})
	for _, set := range []time.Duration{-time.Hour, time.Hour} {
		s.Started = time.Now().UTC().Add(set)
		if got := s.elapsed(); got < 0 || got > time.Minute {
			t.Errorf("the clock was set by %s: the session has lasted %s", set, got)
		}
	}
	if a, b := s.begun, s.begun.Round(0); a == b {
		t.Error("a session's start is known only by the clock that is set")
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{8 * time.Hour: "8h", 90 * time.Minute: "1h30m", 45 * time.Second: "45s",
		time.Minute: "1m", time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m"} {
		if got := short(d); got != want {
			t.Errorf("%v is written %s", d, got)
		}
	}
}
