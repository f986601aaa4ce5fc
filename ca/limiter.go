package ca

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxLimited is how many subjects an issuer counts at once. One that has not asked for long enough to have its whole burst
// again is forgotten; where there are more, newcomers wait.
const maxLimited = 10_000

// limiter counts what each subject gets.
type limiter struct {
	per   rate.Limit
	burst int

	mu   sync.Mutex
	by   map[string]*limited
	full time.Time // no sweep before
}

type limited struct {
	*rate.Limiter
	told time.Time // when its subject's last refusal went into the audit log
}

func newLimiter(r Rate) *limiter {
	return &limiter{per: rate.Limit(float64(r.PerMinute) / 60), burst: r.Burst, by: make(map[string]*limited)}
}

// allow reports whether the subject may have one now. Where not, note says whether that is worth a line of the audit log:
// once a minute for each subject.
func (l *limiter) allow(subject string, now time.Time) (ok, note bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.by[subject]
	if c == nil {
		if len(l.by) >= maxLimited {
			l.sweep(now)
		}
		if len(l.by) >= maxLimited {
			return false, false
		}
		c = &limited{Limiter: rate.NewLimiter(l.per, l.burst)}
		l.by[subject] = c
	}
	if c.AllowN(now, 1) {
		return true, false
	}
	if note = c.told.IsZero() || now.Sub(c.told) >= time.Minute; note {
		c.told = now
	}
	return false, note
}

// sweep forgets who has their whole burst again, at most once a second.
func (l *limiter) sweep(now time.Time) {
	if now.Before(l.full) && l.full.Sub(now) <= time.Second {
		return
	}
	l.full = now.Add(time.Second)
	for subject, c := range l.by {
		if c.TokensAt(now) >= float64(l.burst) {
			delete(l.by, subject)
		}
	}
}
