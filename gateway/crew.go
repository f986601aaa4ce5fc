package gateway

import "sync"

// crew are goroutines that come and go. Other than at a sync.WaitGroup, more may begin while somebody waits for the end of
// all, even when there is none at the moment: users open channels while their target goes away.
type crew struct {
	mu      sync.Mutex
	working int
	resting sync.Cond
}

// Go runs f in a goroutine of its own.
func (c *crew) Go(f func()) {
	c.mu.Lock()
	c.working++
	c.mu.Unlock()
	go func() {
		defer c.done()
		f()
	}()
}

func (c *crew) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.working--; c.working == 0 && c.resting.L != nil {
		c.resting.Broadcast()
	}
}

// Wait returns at a moment when nobody works.
func (c *crew) Wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resting.L = &c.mu
	for c.working > 0 {
		c.resting.Wait()
	}
}
