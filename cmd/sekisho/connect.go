package main

import (
	"github.com/sekisho/sekisho/client"
)

type connectCmd struct {
	Login   string `required:"" placeholder:"LOGIN" help:"Account on the target (ssh's %r)."`
	Host    string `arg:"" help:"Target (ssh's %h)."`
	Port    string `arg:"" help:"Port (ssh's %p)."`
	NoLogin bool   `help:"Fail instead of waiting for a sign-in."`
}

func (*connectCmd) Help() string {
	return `What ssh runs as its ProxyCommand; see sekisho ssh-config. It asks for access, becomes the agent for this one connection, and carries it between stdin, stdout and a gateway.

If you are not signed in the browser opens, the address is also printed, and ssh waits. --no-login fails instead: for scripts, or ssh in the background.

Examples:

    ProxyCommand sekisho connect --login '%r' '%h' '%p'
    ProxyCommand sekisho connect --no-login --login '%r' '%h' '%p'
`
}

func (cmd *connectCmd) Run(a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	o := client.ConnectOptions{Login: cmd.Login, Host: cmd.Host, Port: cmd.Port, In: a.in, Out: a.out}
	if !cmd.NoLogin {
		how := a.loginOptions(false, false)
		o.SignIn = &how
	}
	return c.Connect(a.ctx, o)
}
