package main

import (
	"context"
	"net"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/gateway"
	"github.com/sekisho/sekisho/login"
)

// prove fills the gateway's Prove port: a question at the desk, whose answer is a pass.
func (h *house) prove(ctx context.Context, q gateway.Question) (*gateway.Challenge, error) {
	ask := login.Question{Why: q.Why, ClientAddress: q.ClientAddress}
	if q.Target != "" { // else the user name means nothing
		ask.Login, ask.Target = q.Login, q.Target
	}
	pass := sekisho.Pass{ID: sekisho.NewID("tok")}
	if q.Certificate != nil {
		id, err := sekisho.ParseKeyID(q.Certificate.KeyId)
		if err != nil {
			return nil, &sekisho.Refusal{Sentence: "This certificate does not name a sign-in.", Next: "Run: sekisho login", Cause: err}
		}
		ask.Subject, ask.SignIn = id.Subject, id.SignIn
		if id.Request != "" {
			pass.ID = id.Request
		}
	}
	c, err := h.desk.Ask(ctx, ask)
	if err != nil {
		return nil, err
	}
	return &gateway.Challenge{
		Sentence: "Prove in a browser that this connection is yours.", Link: c.Link, Code: c.Code,
		Wait: func(ctx context.Context) (*sekisho.Pass, error) {
			s, err := c.Wait(ctx)
			if err != nil {
				return nil, err
			}
			pass.SignIn, pass.Identity, pass.Thumbprint = s.ID, s.Identity, s.Thumbprint
			return &pass, nil
		},
	}, nil
}

// sshGateway is HOST:PORT of the SSH port as people reach it, empty where it is closed.
func (h *house) sshGateway() string {
	_, port, err := net.SplitHostPort(h.cfg.SSHListen)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(h.url.Hostname(), port)
}
