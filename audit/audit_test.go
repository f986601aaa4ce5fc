package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/audit"
)

// What Append fills in, what Query gives and what encoding/json makes of the event are one and the same.
func TestAppend(t *testing.T) {
	store := openStore(t, t.TempDir())
	at := time.Date(2026, 11, 22, 17, 0, 0, 120, time.FixedZone("JST", 9*3600))
	cfg := config(store)
	cfg.Now = func() time.Time { return at }
	l, err := audit.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	one, two := event(1), &sekisho.Event{Kind: "x", Error: "line\nbreak \x00 <&> \u2028 \xff"}
	if err := l.Append(t.Context(), one, two); err != nil {
		t.Fatal(err)
	}
	if one.Seq != 0 || two.Seq != 1 || !one.Time.Equal(at) {
		t.Fatalf("filled in %d %d %v", one.Seq, two.Seq, one.Time)
	}
	lines, err := l.Query(t.Context(), sekisho.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for i, ev := range []*sekisho.Event{two, one} {
		want, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		if string(lines[i]) != string(want) {
			t.Errorf("line is\n%s, want\n%s", lines[i], want)
		}
		if strings.ContainsFunc(string(lines[i]), func(r rune) bool { return r < ' ' }) {
			t.Errorf("line holds a control character: %q", lines[i])
		}
	}
	if r := verify(t, l, export(t, l)); r.Events != 2 || r.Signer != origin {
		t.Errorf("report %+v", r)
	}
}

func TestBounds(t *testing.T) {
	l := openLog(t, openStore(t, t.TempDir()))
	long := strings.Repeat("山", 2000)
	ev := &sekisho.Event{Kind: "x", Error: long, Detail: map[string]string{"command": long, "short": "s"}}
	if err := l.Append(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	if ev.Error != long || ev.Detail["command"] != long {
		t.Error("the caller's event was changed")
	}
	lines, err := l.Query(t.Context(), sekisho.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var kept sekisho.Event
	if err := json.Unmarshal(lines[0], &kept); err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{kept.Error, kept.Detail["command"]} {
		text, marked := strings.CutSuffix(got, "…[cut]")
		if len(got) > 4096 || len(got) < 4080 || !marked || !strings.HasPrefix(long, text) {
			t.Errorf("cut to %d bytes, ends %q", len(got), got[len(got)-20:])
		}
	}
	if kept.Detail["short"] != "s" {
		t.Error("a short text was changed")
	}

	many := map[string]string{}
	for i := range 20 {
		many[fmt.Sprint(i)] = long
	}
	for name, evs := range map[string][]*sekisho.Event{
		"too long a line": {{Kind: "fine"}, {Kind: "x", Detail: many}},
		"no kind":         {{Kind: "fine"}, {}},
		"no event":        {{Kind: "fine"}, nil},
		"too many":        make([]*sekisho.Event, 1001),
	} {
		if err := l.Append(t.Context(), evs...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if r := verify(t, l, export(t, l)); r.Events != 1 {
		t.Errorf("%d events, want the first only", r.Events)
	}
}

// Many callers at once, each gets a line of its own, whichever process it is in.
func TestAppendTogether(t *testing.T) {
	dir := t.TempDir()
	logs := []*audit.Log{openLog(t, openStore(t, dir)), openLog(t, openStore(t, dir))}
	const callers, each = 16, 20
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[int64]string{}
	for c := range callers {
		all.Go(func() {
			for i := range each {
				ev := event(c)
				ev.Actor = fmt.Sprintf("%d/%d", c, i)
				if err := logs[c%2].Append(t.Context(), ev); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen[ev.Seq] = ev.Actor
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(seen) != callers*each {
		t.Fatalf("%d numbers for %d events", len(seen), callers*each)
	}
	file := export(t, logs[0])
	if r := verify(t, logs[1], file); r.Events != callers*each {
		t.Fatalf("%d events, want %d", r.Events, callers*each)
	}
	for i, line := range strings.SplitN(string(file), "\n", callers*each+1)[:callers*each] {
		var ev sekisho.Event
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			t.Fatal(err)
		}
		if ev.Seq != int64(i) || seen[ev.Seq] != ev.Actor {
			t.Fatalf("line %d is %s's, was told to %s", i, ev.Actor, seen[ev.Seq])
		}
	}
}

// gate is a store whose commits wait to be let through, and may be made to fail.
type gate struct {
	audit.Store
	entered chan struct{}
	let     chan error
}

func (g *gate) CommitEvents(ctx context.Context, build func(string, tlog.HashReader) (*audit.Batch, error)) error {
	g.entered <- struct{}{}
	if err := <-g.let; err != nil {
		return err
	}
	return g.Store.CommitEvents(ctx, build)
}

func gated(t *testing.T) (*audit.Log, *gate) {
	g := &gate{Store: openStore(t, t.TempDir()), entered: make(chan struct{}, 99), let: make(chan error, 99)}
	g.let <- nil // Open's
	l := openLog(t, g)
	<-g.entered
	t.Cleanup(func() { close(g.let) }) // before the log is closed
	return l, g
}

// A caller whose context ends stops waiting; while it still stands in line, its event is not written.
func TestAppendGivesUp(t *testing.T) {
	l, g := gated(t)
	first := make(chan error)
	go func() { first <- l.Append(t.Context(), event(1)) }()
	<-g.entered
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error)
	ev := event(2)
	go func() { second <- l.Append(ctx, ev) }()
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	ev.Detail["n"] = "the event is the caller's again"
	g.let <- nil
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	g.let <- nil
	if err := l.Append(t.Context(), event(3)); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, l, export(t, l)); r.Events != 2 {
		t.Fatalf("%d events, want 2", r.Events)
	}
}

// A store that fails once costs the waiting callers an error, and nothing else.
func TestAppendStoreFails(t *testing.T) {
	l, g := gated(t)
	full := errors.New("disk is full")
	g.let <- full
	ev := event(1)
	if err := l.Append(t.Context(), ev); !errors.Is(err, full) {
		t.Fatalf("error is %v", err)
	}
	if !ev.Time.IsZero() {
		t.Error("an event that was not written has a time")
	}
	g.let <- nil
	if err := l.Append(t.Context(), ev); err != nil || ev.Seq != 0 {
		t.Fatalf("seq %d, %v", ev.Seq, err)
	}
	verify(t, l, export(t, l))
}

// unsure is a store that commits and then says that it could not.
type unsure struct {
	audit.Store
	lie bool
}

func (u *unsure) CommitEvents(ctx context.Context, build func(string, tlog.HashReader) (*audit.Batch, error)) error {
	if err := u.Store.CommitEvents(ctx, build); err != nil || !u.lie {
		return err
	}
	u.lie = false
	return errors.New("connection lost")
}

// A commit of which nobody knows whether it happened does not stop the log.
func TestAppendUnsure(t *testing.T) {
	u := &unsure{Store: openStore(t, t.TempDir())}
	l := openLog(t, u)
	fill(t, l, 3)
	u.lie = true
	if err := l.Append(t.Context(), event(3)); err == nil {
		t.Fatal("no error")
	}
	ev := event(4)
	if err := l.Append(t.Context(), ev); err != nil || ev.Seq != 4 {
		t.Fatalf("seq %d, %v", ev.Seq, err)
	}
	verify(t, l, export(t, l))
}

// Close lets those who wait finish and refuses the rest; nobody waits for ever.
func TestClose(t *testing.T) {
	l := openLog(t, openStore(t, t.TempDir()))
	var all sync.WaitGroup
	var mu sync.Mutex
	written := int64(0)
	started := make(chan struct{}, 32)
	for range 32 {
		all.Go(func() {
			for {
				err := l.Append(context.Background(), event(1))
				if err != nil {
					if !errors.Is(err, audit.ErrClosed) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				written++
				mu.Unlock()
				select {
				case started <- struct{}{}:
				default:
				}
			}
		})
	}
	<-started
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if r := verify(t, l, export(t, l)); r.Events != written { // reading goes on
		t.Fatalf("%d events, %d callers were told so", r.Events, written)
	}
	if err := l.Append(t.Context(), event(1)); !errors.Is(err, audit.ErrClosed) {
		t.Fatalf("error is %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestProve(t *testing.T) {
	l := openLog(t, openStore(t, t.TempDir()))
	fill(t, l, 23)
	for seq := range int64(23) {
		in, err := l.Prove(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var read audit.Inclusion
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		if err := audit.CheckInclusion(&read, l.VerifierKey()); err != nil {
			t.Fatal(err)
		}
		forged := read
		forged.Line = strings.Replace(read.Line, "alice", "carol", 1)
		if audit.CheckInclusion(&forged, l.VerifierKey()) == nil {
			t.Fatal("a forged line is in the log")
		}
		forged = read
		forged.Seq = (seq + 1) % 23
		if audit.CheckInclusion(&forged, l.VerifierKey()) == nil {
			t.Fatal("a line is in another's place")
		}
	}
	for _, seq := range []int64{-1, 23, 1 << 62} {
		if _, err := l.Prove(t.Context(), seq); !errors.Is(err, sekisho.ErrNotFound) {
			t.Fatalf("line %d: %v", seq, err)
		}
	}
}

func TestExportFrom(t *testing.T) {
	l := openLog(t, openStore(t, t.TempDir()))
	fill(t, l, 600)
	for _, from := range []int64{0, 1, 256, 599, 600} {
		n := from
		checkpoint, err := l.Export(t.Context(), from, func(lines [][]byte) error {
			for _, line := range lines {
				if !strings.HasPrefix(string(line), fmt.Sprintf(`{"seq":%d,`, n)) {
					t.Fatalf("line %d is %.40s", n, line)
				}
				n++
			}
			return nil
		})
		if err != nil || n != 600 || !strings.HasPrefix(checkpoint, origin+"\n600\n") {
			t.Fatalf("from %d: to %d, %v, %s", from, n, err, checkpoint)
		}
	}
	for _, from := range []int64{-1, 601} {
		var refusal *sekisho.Refusal
		if _, err := l.Export(t.Context(), from, nil); !errors.As(err, &refusal) {
			t.Fatalf("from %d: %v", from, err)
		}
	}
	mine := errors.New("mine")
	if _, err := l.Export(t.Context(), 0, func([][]byte) error { return mine }); !errors.Is(err, mine) {
		t.Fatalf("error is %v", err)
	}
}

func TestQueryLimit(t *testing.T) {
	l := openLog(t, openStore(t, t.TempDir()))
	fill(t, l, 1100)
	for limit, want := range map[int]int{0: 100, -5: 100, 3: 3, 5000: 1000} {
		lines, err := l.Query(t.Context(), sekisho.EventQuery{Limit: limit})
		if err != nil || len(lines) != want {
			t.Errorf("limit %d gives %d lines, %v", limit, len(lines), err)
		}
	}
}
