package main

import (
	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type caIssuersCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *caIssuersCmd) Run(a *app) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	_, err = cl.Certificates().Issuers(a.ctx, connect.NewRequest(&apiv1.IssuersRequest{}))
	return err
}

func (*caIssuersCmd) Help() string {
	return `Lists the issuers and what each may give.

Examples:

    sekisho ca issuers
`
}
