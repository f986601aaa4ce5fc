package gateway

import (
	"sync"
	"time"
)

// exitTime is how long the end of a program's output waits for its exit status.
const exitTime = time.Second

// ending holds the end of a program's output back until the user has heard how the program ended. A client that has
// ended its own input closes the channel when the output ends (PuTTY does at once), and hears nothing after that. sshd
// sends both within a moment; a program that closes its output and goes on is waited for no longer than exitTime.
type ending struct {
	heard chan struct{}
	once  sync.Once
}

func newEnding() *ending { return &ending{heard: make(chan struct{})} }

// tell says that the user has heard how the program ended, or never will.
func (e *ending) tell() { e.once.Do(func() { close(e.heard) }) }

func (e *ending) await() {
	select {
	case <-e.heard:
	case <-time.After(exitTime):
	}
}
