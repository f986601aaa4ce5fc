package main

import (
	"fmt"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type caLiftCmd struct {
	ID     string `arg:"" name:"id" help:"Revocation, as sekisho ca revocations lists it."`
	Reason string `placeholder:"TEXT" help:"Why; the audit log keeps it. At most 200 characters."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (*caLiftCmd) Help() string {
	return `Ends a revocation before its time. What was revoked and has not expired is good again: at the gateways at once, at hosts once they have the next list. Sign-ins and sessions that have ended stay ended.

Needs a policy that allows the action revokeCertificates on House::"sekisho", also where the revocation is your own: whoever stole what you revoked could else lift it.

Examples:

    sekisho ca lift rev_k5xqz7... --reason "the laptop was found"
`
}

func (cmd *caLiftCmd) Run(a *app) error {
	if !sekisho.CheckID("rev", cmd.ID) {
		return &usageError{fmt.Sprintf("%q is no revocation; sekisho ca revocations lists them", cmd.ID)}
	}
	c, err := a.signedIn()
	if err != nil {
		return err
	}
	res, err := c.Certificates().Lift(a.ctx, connect.NewRequest(&apiv1.LiftRequest{Id: cmd.ID, Reason: cmd.Reason}))
	if err != nil {
		return err
	}
	r := newRevocationInfo(res.Msg.Revocation)
	if cmd.JSON {
		return a.json(r)
	}
	_, err = fmt.Fprintf(a.out, "%s is lifted: %s %s is not revoked by it any more.\n", plain(r.ID), plain(r.Kind), plain(r.Value))
	return err
}
