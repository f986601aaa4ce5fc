package main

import (
	"fmt"
	"strings"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type keysWithdrawCmd struct {
	ID   string `arg:"" name:"id" suggest:"to-withdraw" help:"Published key, as sekisho keys published lists it."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (*keysWithdrawCmd) Help() string {
	return `Ends a published key before its time. Hosts drop it once their connectors have asked the next time, which they do each minute; what logged in by it before goes on.

Whoever published a key may withdraw it, and whoever may publish keys as that login on all of its targets, or manage CAs. To shut a key out everywhere and for good, revoke it: sekisho ca revoke --key.

Examples:

    sekisho keys withdraw pub_k5xqz7...
    sekisho keys published --json | jq -r '.[] | select(.login == "deploy") | .id' | xargs -n1 sekisho keys withdraw
`
}

func (cmd *keysWithdrawCmd) Run(a *app) error {
	if !sekisho.CheckID("pub", cmd.ID) {
		return &usageError{fmt.Sprintf("%q is no published key; sekisho keys published lists them", cmd.ID)}
	}
	c, err := a.signedIn()
	if err != nil {
		return err
	}
	res, err := c.PublishedKeys().Withdraw(a.ctx, connect.NewRequest(&apiv1.WithdrawKeyRequest{Id: cmd.ID}))
	if err != nil {
		return err
	}
	k := newPublishedKeyInfo(res.Msg.Key)
	if cmd.JSON {
		return a.json(k)
	}
	_, err = fmt.Fprintf(a.out, "%s is withdrawn: hosts no longer let it in as %s on %s once they have asked, within a minute.\n",
		plain(k.ID), plain(k.Login), plain(strings.Join(k.Targets, ", ")))
	return err
}
