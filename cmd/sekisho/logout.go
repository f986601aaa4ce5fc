package main

import "fmt"

type logoutCmd struct {
	Everywhere bool `help:"End your sign-ins on all machines."`
}

func (*logoutCmd) Help() string {
	return `Ends the sign-in at the server and forgets it on this machine, together with the key it was bound to and what your ssh-agent holds. If the server cannot be reached the machine forgets it all the same, and the command says so.

Examples:

    sekisho logout
    sekisho logout --everywhere
`
}

func (cmd *logoutCmd) Run(a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	ended, err := c.Logout(a.ctx, cmd.Everywhere)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "Signed out (%s).\n", count(ended, "sign-in"))
	return nil
}
