package main

import (
	"fmt"
	"time"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/client"
)

type caRevocationsCmd struct {
	All    bool   `help:"Those that have ended, too."`
	Limit  int32  `default:"100" help:"How many at the most, up to 1000."`
	Before string `placeholder:"ID" help:"Only older ones than this one."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (*caRevocationsCmd) Help() string {
	return `Lists what is revoked, newest first. LIST is the number of the first revocation list that has it: a host that goes by that one or a later one refuses what falls under it.

Below stands, on the standard error, where the lists are, and for those who may manage CAs (the action manageCA) which hosts go by an older one.

For whom a policy allows revokeCertificates or readAudit on House::"sekisho".

Examples:

    sekisho ca revocations
    sekisho ca revocations --all --json | jq '.[] | select(.kind == "person")'
`
}

// revocationInfo is a revocation as --json shows it.
type revocationInfo struct {
	ID       string     `json:"id"`
	Kind     string     `json:"kind"`
	Value    string     `json:"value"`
	By       string     `json:"by"`
	Reason   string     `json:"reason"`
	At       time.Time  `json:"at"`
	Until    *time.Time `json:"until,omitempty"`
	Lifted   *time.Time `json:"lifted,omitempty"`
	LiftedBy string     `json:"lifted_by,omitempty"`
	Number   uint64     `json:"number"`
}

func newRevocationInfo(m *apiv1.Revocation) revocationInfo {
	r := revocationInfo{
		ID: m.GetId(), Kind: m.GetKind(), Value: m.GetValue(), By: m.GetBy(), Reason: m.GetReason(), At: asTime(m.GetAt()),
		LiftedBy: m.GetLiftedBy(), Number: m.GetNumber(),
	}
	if m.GetUntil() != nil {
		at := asTime(m.Until)
		r.Until = &at
	}
	if m.GetLifted() != nil {
		at := asTime(m.Lifted)
		r.Lifted = &at
	}
	return r
}

// state says whether it holds, and for how long.
func (r *revocationInfo) state(now time.Time) string {
	switch {
	case r.Lifted != nil:
		return "lifted by " + r.LiftedBy
	case r.Until == nil:
		return "in force"
	case !now.Before(*r.Until):
		return "over"
	}
	return "until " + local(*r.Until)
}

func (cmd *caRevocationsCmd) Run(a *app) error {
	if cmd.Limit < 1 || cmd.Limit > 1000 {
		return &usageError{"--limit must be between 1 and 1000"}
	}
	c, err := a.signedIn()
	if err != nil {
		return err
	}
	res, err := c.Certificates().Revocations(a.ctx, connect.NewRequest(&apiv1.RevocationsRequest{All: cmd.All, Limit: cmd.Limit, Before: cmd.Before}))
	if err != nil {
		return err
	}
	all, rows := []revocationInfo{}, [][]string{}
	for _, m := range res.Msg.Revocations {
		r := newRevocationInfo(m)
		all = append(all, r)
		rows = append(rows, []string{r.ID, r.Kind, r.Value, r.By, local(r.At), r.state(time.Now()), fmt.Sprint(r.Number), r.Reason})
	}
	if res.Msg.More {
		fmt.Fprintln(a.err, "There may be more: raise --limit, or give --before the last ID.")
	}
	if cmd.JSON {
		return a.json(all)
	}
	if err := a.table([]string{"ID", "KIND", "VALUE", "BY", "AT", "STATE", "LIST", "REASON"}, rows); err != nil {
		return err
	}
	return cmd.tellLists(a, c)
}

// tellLists says where the lists stand and, to those who may manage CAs, which hosts go by an older one.
func (cmd *caRevocationsCmd) tellLists(a *app, c *client.Client) error {
	res, err := c.CAs().List(a.ctx, connect.NewRequest(&apiv1.ListCAsRequest{}))
	if err != nil {
		return err
	}
	users, hosts := res.Msg.UserRevocations, res.Msg.HostRevocations
	if users.GetNumber() == 0 {
		return nil
	}
	fmt.Fprintf(a.err, "List %d of %s: %s for sshd, %d for ssh.\n", users.GetNumber(), local(asTime(users.GetGenerated())),
		entries(int(users.GetEntries())), hosts.GetEntries())
	for _, l := range users.GetLagging() {
		fmt.Fprintf(a.err, "Behind: %s %s.\n", plain(l.Target), plain(l.Why))
	}
	return nil
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
