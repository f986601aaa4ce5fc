package gateway

import (
	"sync/atomic"
	"testing"
)

// Work begins while somebody waits for its end, again and again from nothing.
func TestCrew(t *testing.T) {
	var c crew
	var done atomic.Int64
	over := make(chan struct{})
	go func() {
		defer close(over)
		for range 20_000 {
			c.Wait()
		}
	}()
	for range 20_000 {
		c.Go(func() { done.Add(1) })
	}
	<-over
	c.Wait()
	if n := done.Load(); n != 20_000 {
		t.Errorf("%d done at the end", n)
	}
}
