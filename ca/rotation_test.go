package ca_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
)

// order says how far a state is.
var order = []sekisho.CAKeyState{
	sekisho.CAKeyAnnounced, sekisho.CAKeyTrusted, sekisho.CAKeyIssuing, sekisho.CAKeyRetiring, sekisho.CAKeyRetired,
}

func states(c *sekisho.CA) map[string]sekisho.CAKeyState {
	all := map[string]sekisho.CAKeyState{}
	for _, k := range c.Keys {
		all[k.Fingerprint] = k.State
	}
	return all
}

// Whatever is tried in whatever order: one key issues, two at the most are in force, no key goes back or leaves a state
// out, and none goes on without what it waits for unless it is forced.
func TestRotationProperties(t *testing.T) {
	spare := make([]ssh.PublicKey, 64)
	for i := range spare {
		spare[i] = newPublic(t)
	}
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 5))
		c := ca.First("user", []string{ca.TypeUser, ca.TypeHost}[r.IntN(2)], "file:a", spare[0], noon)
		now, used := noon, 1
		for range 40 {
			now = now.Add(time.Duration(r.IntN(90)) * time.Minute)
			f := ca.Facts{Now: now, Lagging: r.IntN(3), Showing: r.IntN(2), Unknown: r.IntN(4) == 0}
			if r.IntN(2) == 0 {
				f.LastExpiry = noon.Add(time.Duration(r.IntN(600)) * time.Minute)
			}
			was, first := states(c), c.Keys[0]
			next, err := tryStep(t, r, c, f, spare[used])
			if c.Keys[0] != first {
				t.Fatalf("seed %d: what was handed in was changed", seed)
			}
			if err != nil {
				continue
			}
			if len(next.Keys) > len(c.Keys) {
				used++
			}
			if next.Revision != c.Revision+1 {
				t.Fatalf("seed %d: revision %d after %d", seed, next.Revision, c.Revision)
			}
			checkStates(t, next, was)
			c = next
		}
	}
}

// tryStep announces a key, or takes a step that may be a wrong one or not be due.
func tryStep(t *testing.T, r *rand.Rand, c *sekisho.CA, f ca.Facts, key ssh.PublicKey) (*sekisho.CA, error) {
	right, under := ca.Next(c)
	if !under {
		return ca.Announce(c, "file:b", key, f.Now)
	}
	step, force := right, r.IntN(3) == 0
	if r.IntN(3) == 0 {
		step.To = order[r.IntN(len(order))]
		step.Key = c.Keys[r.IntN(len(c.Keys))].Fingerprint
	}
	next, err := ca.Take(c, step, f, force)
	waits := ca.Waits(c, right, f) != ""
	if (err == nil) != (step == right && (force || !waits)) {
		t.Fatalf("step %+v, forced %v, waits %v: %v", step, force, waits, err)
	}
	if step == right && err != nil && !errors.Is(err, ca.ErrNotYet) {
		t.Fatalf("error %v", err)
	}
	return next, err
}

func checkStates(t *testing.T, c *sekisho.CA, was map[string]sekisho.CAKeyState) {
	t.Helper()
	issuing, inForce, moved := 0, 0, 0
	for _, k := range c.Keys {
		at := slices.Index(order, k.State)
		if k.State == sekisho.CAKeyIssuing {
			issuing++
		}
		if k.State.InForce() {
			inForce++
		}
		if before, there := was[k.Fingerprint]; there && before != k.State {
			moved++
			if at != slices.Index(order, before)+1 {
				t.Fatalf("a key went from %s to %s", before, k.State)
			}
		} else if !there && k.State != sekisho.CAKeyAnnounced {
			t.Fatalf("a new key is %s", k.State)
		}
		if ca.Since(k).IsZero() {
			t.Fatalf("it is not known since when a key is %s", k.State)
		}
	}
	if issuing != 1 || inForce > 2 || moved > 2 {
		t.Fatalf("%d keys issue, %d are in force, %d moved", issuing, inForce, moved)
	}
}

func TestWaits(t *testing.T) {
	a, b := newPublic(t), newPublic(t)
	next := func(c *sekisho.CA, f ca.Facts, force bool) *sekisho.CA {
		t.Helper()
		s, ok := ca.Next(c)
		if !ok {
			t.Fatal("no key is on its way")
		}
		n, err := ca.Take(c, s, f, force)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	at := map[string]map[string]*sekisho.CA{}
	for _, kind := range []string{ca.TypeUser, ca.TypeHost} {
		first := ca.First(kind, kind, "", a, noon)
		announced, err := ca.Announce(first, "", b, noon)
		if err != nil {
			t.Fatal(err)
		}
		trusted := next(announced, ca.Facts{Now: noon}, false)
		at[kind] = map[string]*sekisho.CA{"announced": announced, "trusted": trusted,
			"retiring": next(trusted, ca.Facts{Now: noon, LastExpiry: noon.Add(time.Hour)}, false)}
	}
	for _, test := range []struct {
		kind, stage string
		facts       ca.Facts
		want        string
	}{
		{"user", "announced", ca.Facts{}, ""},
		{"user", "announced", ca.Facts{Lagging: 1}, "1 host does not"},
		{"user", "announced", ca.Facts{Unknown: true}, "nobody reports"},
		{"user", "trusted", ca.Facts{}, ""},
		{"user", "trusted", ca.Facts{Lagging: 2}, "2 hosts do not"},
		{"user", "trusted", ca.Facts{Unknown: true}, ""},
		{"user", "retiring", ca.Facts{}, "not known"},
		{"user", "retiring", ca.Facts{LastExpiry: noon.Add(time.Second)}, "until 2026-03-01 12:00:01 UTC"},
		{"user", "retiring", ca.Facts{LastExpiry: noon}, ""},
		{"host", "retiring", ca.Facts{}, ""},
		{"host", "retiring", ca.Facts{Showing: 1}, "1 host may"},
		{"host", "retiring", ca.Facts{Showing: 3, LastExpiry: noon.Add(time.Hour)}, "3 hosts may"},
		{"host", "retiring", ca.Facts{Showing: 3, LastExpiry: noon}, ""},
		{"host", "retiring", ca.Facts{Unknown: true, LastExpiry: noon.Add(time.Hour)}, "until"},
	} {
		c := at[test.kind][test.stage]
		if got := string(ca.Stage(c)); got != test.stage {
			t.Errorf("stage %s, want %s", got, test.stage)
		}
		test.facts.Now = noon
		s, _ := ca.Next(c)
		got := ca.Waits(c, s, test.facts)
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s %s %+v waits for %q, want %q", test.kind, test.stage, test.facts, got, test.want)
		}
		if s.Decision != (test.stage == "trusted") {
			t.Errorf("%s: decision is %v", test.stage, s.Decision)
		}
	}
	if _, err := ca.Announce(at["user"]["retiring"], "", newPublic(t), noon); err == nil {
		t.Error("two rotations at once")
	}
	if _, err := ca.Announce(ca.First("user", "user", "", a, noon), "", a, noon); err == nil {
		t.Error("a key comes after itself")
	}
}

func TestManyRotations(t *testing.T) {
	c := ca.First("user", "user", "", newPublic(t), noon)
	for range 60 {
		var err error
		if c, err = ca.Announce(c, "", newPublic(t), noon); err != nil {
			t.Fatal(err)
		}
		for s, ok := ca.Next(c); ok; s, ok = ca.Next(c) {
			if c, err = ca.Take(c, s, ca.Facts{Now: noon, LastExpiry: noon}, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(c.Keys); n > 55 {
		t.Errorf("%d keys are remembered", n)
	}
}
