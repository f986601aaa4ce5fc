package login

import (
	"net/netip"
	"sync"
	"time"
)

// limiter counts attempts by key in windows of fixed length: at most `most` of one key in a window. It holds a bounded
// number of keys; beyond that every new key is over the limit until the window turns.
type limiter struct {
	window time.Duration
	most   int
	keys   int

	mu    sync.Mutex
	since time.Time
	count map[string]int
}

func newLimiter(window time.Duration, most, keys int) *limiter {
	return &limiter{window: window, most: most, keys: keys}
}

// allow counts one attempt and reports whether it is within the limit.
func (l *limiter) allow(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	n, known := l.count[key]
	if n >= l.most || !known && len(l.count) >= l.keys {
		return false
	}
	l.count[key] = n + 1
	return true
}

// over reports whether the key has used up its limit, without counting.
func (l *limiter) over(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	return l.count[key] >= l.most
}

func (l *limiter) turn(now time.Time) {
	if passed := now.Sub(l.since); l.count == nil || passed >= l.window || passed < 0 {
		l.count, l.since = make(map[string]int), now
	}
}

// network is what attempts from an address are counted by: the address without its port, for IPv6 the /64 that one
// subscriber has.
func network(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		both, err := netip.ParseAddrPort(address)
		if err != nil {
			return address
		}
		addr = both.Addr()
	}
	addr = addr.Unmap().WithZone("")
	if prefix, err := addr.Prefix(64); err == nil && addr.Is6() {
		return prefix.String()
	}
	return addr.String()
}
