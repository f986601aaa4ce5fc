package main

import (
	"context"
	"sync"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/gateway"
)

// liveSessions fills control's Live port from this process's gateway.
type liveSessions struct{ *gateway.Gateway }

func (l liveSessions) Sessions(context.Context) ([]sekisho.Live, error) {
	all, _ := l.Gateway.Sessions()
	return all, nil
}

func (l liveSessions) Watch(_ context.Context, session, who string) (told int, leave func(), err error) {
	return l.Gateway.Watch(session, who)
}

func (l liveSessions) Stop(_ context.Context, session, by, reason string) (bool, error) {
	return l.Gateway.Stop(session, gateway.Order{By: by, Reason: reason}), nil
}

// bell wakes everybody who waits for it, each time it rings.
type bell struct {
	mu   sync.Mutex
	next chan struct{}
}

// wait gives a channel that is closed when the bell rings next.
func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}
