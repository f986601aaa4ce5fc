package main

import (
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type statusCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (*statusCmd) Help() string {
	return `Asks the server for your live sign-ins: the one of this machine, and those of your other machines. Exits with 1 if this machine is not signed in. Says, too, whether your ssh-agent holds a certificate for the gateway.

Examples:

    sekisho status
    sekisho status --json | jq -r '.sign_ins[].device'
`
}

type signIn struct {
	ID      string    `json:"id"`
	Subject string    `json:"subject"`
	Name    string    `json:"name,omitempty"`
	Groups  []string  `json:"groups"`
	Issuer  string    `json:"issuer"`
	Device  string    `json:"device"`
	Address string    `json:"client_address"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Current bool      `json:"current"`
}

func (cmd *statusCmd) Run(a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	if _, err := c.EnsureSignIn(a.ctx, "", nil); err != nil {
		return err
	}
	res, err := c.SignIns().Status(a.ctx, connect.NewRequest(&apiv1.StatusRequest{}))
	if err != nil {
		return err
	}
	inAgent := c.AgentCertificate(a.ctx)
	list := []signIn{}
	for _, s := range res.Msg.SignIns {
		list = append(list, signIn{
			s.Id, s.Subject, s.Name, append([]string{}, s.Groups...), s.Issuer, s.Device, s.ClientAddress,
			s.Created.AsTime(), s.Expires.AsTime(), s.Current,
		})
	}
	if cmd.JSON {
		return a.json(struct {
			URL     string   `json:"url"`
			SignIns []signIn `json:"sign_ins"`
			// Agent is when the certificate in the person's ssh-agent expires.
			Agent time.Time `json:"agent_certificate_expires,omitzero"`
		}{c.Config().URL, list, inAgent})
	}
	if err := a.showStatus(c.Config().URL, list); err != nil || inAgent.IsZero() {
		return err
	}
	_, err = fmt.Fprintf(a.out, "\nYour ssh-agent holds a certificate for the gateway until %s.\n", inAgent.Local().Format("2 Jan 15:04"))
	return err
}

func (a *app) showStatus(url string, list []signIn) error {
	rows := [][]string{}
	for _, s := range list {
		mark := ""
		if s.Current {
			mark = "this one"
			fmt.Fprintf(a.out, "Signed in to %s as %s", url, a.bold(plain(s.Subject)))
			if len(s.Groups) > 0 {
				fmt.Fprintf(a.out, " (%s)", plain(strings.Join(s.Groups, ", ")))
			}
			fmt.Fprint(a.out, ".\n\n")
		}
		rows = append(rows, []string{
			s.Device, s.Address, s.Created.Local().Format("2006-01-02 15:04"), until(time.Now(), s.Expires), mark,
		})
	}
	return a.table([]string{"MACHINE", "ADDRESS", "SINCE", "LEFT", ""}, rows)
}
