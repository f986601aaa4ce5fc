package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// Bounds on how long before its end a session is warned, and how often is looked whether it is idle.
const (
	maxWarning = 5 * time.Minute
	maxLook    = 30 * time.Second
)

// voices are the session channels that can be told something.
type voices struct {
	mu       sync.Mutex
	channels map[*channel]struct{}
}

func (v *voices) add(c *channel) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.channels == nil {
		v.channels = map[*channel]struct{}{}
	}
	v.channels[c] = struct{}{}
}

func (v *voices) remove(c *channel) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.channels, c)
}

// say tells all of them a sentence, within a second, and says how many they are.
func (v *voices) say(sentence string) int {
	return v.all(func(c *channel) { c.say(sentence) })
}

// last tells all of them the last sentence that they hear, and gives terminals back as they were.
func (v *voices) last(sentence string) {
	v.all(func(c *channel) { c.last(sentence) })
}

func (v *voices) all(tell func(*channel)) int {
	v.mu.Lock()
	all := slices.Collect(maps.Keys(v.channels))
	v.mu.Unlock()
	var told sync.WaitGroup
	for _, c := range all {
		told.Go(func() { tell(c) })
	}
	told.Wait()
	return len(all)
}

// watchClock ends the session when it has lasted, or has been silent in both directions, for as long as the limits
// allow, and tells the user some time before. The func that it gives ends the watch. Sessions without such limits cost
// nothing.
func (r *relay) watchClock(ctx context.Context) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	if l := r.decision.Limits; l.Longest > 0 || l.Idle > 0 {
		go r.holdClock(ctx, &clock{limits: l, bytes: r.bytesIn.Load() + r.bytesOut.Load()})
	}
	return stop
}

func (r *relay) holdClock(ctx context.Context, c *clock) {
	for {
		wait, warn, over := c.look(r.elapsed(), r.bytesIn.Load()+r.bytesOut.Load())
		if over != nil {
			r.voices.last("this session ends: " + over.Error() + ".")
			r.end(fmt.Errorf("%w: %w", errStopped, over))
			return
		}
		if warn != nil {
			if err := r.warnOfEnd(warn); err != nil {
				r.end(err)
				return
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// warning is what the user is told before the end.
type warning struct {
	limit  string // longest, idle
	allows time.Duration
	left   time.Duration
}

func (r *relay) warnOfEnd(w *warning) error {
	reason := fmt.Sprintf("it may last %s", short(w.allows))
	if w.limit == "idle" {
		reason = fmt.Sprintf("it may be idle for %s", short(w.allows))
	}
	sentence := fmt.Sprintf("this session ends in %s: %s.", short(w.left), reason)
	told := r.voices.say(sentence)
	ev := r.event(sekisho.EventSessionWarned)
	ev.Detail = map[string]string{"limit": w.limit, "seconds": strconv.FormatFloat(w.left.Seconds(), 'f', 0, 64),
		"told": strconv.Itoa(told)}
	if err := r.journal.now(ev); err != nil {
		return err
	}
	return r.keepNote(sentence)
}

// keepNote puts what the user is told on the tape.
func (r *relay) keepNote(sentence string) error {
	if r.tape == nil {
		return nil
	}
	_, err := r.tape.append(recording.Entry{Kind: recording.Note, Data: []byte(sentence)})
	return err
}

// short writes a duration in whole seconds.
func short(d time.Duration) string { return sekisho.Span(d.Round(time.Second)) }

// clock knows when a session is to be warned and when it is over, from the time and the bytes that it has moved.
type clock struct {
	limits       sekisho.Limits
	bytes        int64
	active       time.Duration // when bytes were last seen to move
	warnedLength bool
	warnedIdle   bool
}

var (
	errLongest = errors.New("it has lasted as long as it may")
	errIdle    = errors.New("it has been idle as long as it may")
)

// look says what is to be done at a time, and how long nothing is to be done after it.
func (c *clock) look(at time.Duration, bytes int64) (wait time.Duration, warn *warning, over error) {
	wait = maxLook
	if bytes != c.bytes {
		c.bytes, c.active, c.warnedIdle = bytes, at, false
	}
	if limit := c.limits.Longest; limit > 0 {
		if at >= limit {
			return 0, nil, errLongest
		}
		left := limit - at
		if before := lead(limit); left > before {
			wait = min(wait, left-before)
		} else {
			wait = min(wait, left)
			if !c.warnedLength {
				c.warnedLength, warn = true, &warning{"longest", limit, left}
			}
		}
	}
	if limit := c.limits.Idle; limit > 0 {
		silent := at - c.active
		if silent >= limit {
			return 0, nil, errIdle
		}
		wait = min(wait, max(limit/50, 10*time.Millisecond))
		if left := limit - silent; left <= lead(limit) && !c.warnedIdle && warn == nil {
			c.warnedIdle, warn = true, &warning{"idle", limit, left}
		}
	}
	return wait, warn, nil
}

// lead is how long before the end of a limit the user is told.
func lead(limit time.Duration) time.Duration { return min(maxWarning, limit/5) }
