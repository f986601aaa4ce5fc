package gateway

import "sync/atomic"

// Meter counts, over all sessions of a gateway, how far what users see is from what their recordings hold.
type Meter struct {
	ahead, aheadMax, lost, failures atomic.Int64
}

// Ahead is how many bytes users were handed whose entry was not durable when they were, and is not now.
func (m *Meter) Ahead() int64 { return m.ahead.Load() }

// AheadMax is the most that Ahead has been since the gateway started.
func (m *Meter) AheadMax() int64 { return m.aheadMax.Load() }

// Lost is how many bytes users saw, or would have been recorded of what they typed, that no recording holds.
func (m *Meter) Lost() int64 { return m.lost.Load() }

// Failures is how many recordings could not be opened, or could not go on.
func (m *Meter) Failures() int64 { return m.failures.Load() }

// Open is how many sessions there are, those that are still being decided among them.
func (g *Gateway) Open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.sessions)
}

// addAhead counts bytes that were handed out too early, or, below 0, have become durable.
func (m *Meter) addAhead(n int64) {
	if n == 0 {
		return
	}
	now := m.ahead.Add(n)
	for high := m.aheadMax.Load(); now > high && !m.aheadMax.CompareAndSwap(high, now); high = m.aheadMax.Load() {
	}
}
