package main

import (
	"context"

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
