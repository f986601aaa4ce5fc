package main

import (
	"strings"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type targetsCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (*targetsCmd) Help() string {
	return `Lists what you may reach by ssh now, with the accounts you may use there. DOOR says "audit" where sessions are recorded; LINK says whether the target can be reached at the moment.

Examples:

    sekisho targets
    sekisho targets --json | jq -r '.[] | select(.linked) | .name'
`
}

type target struct {
	Name   string   `json:"name"`
	Logins []string `json:"logins"`
	Labels []string `json:"labels"`
	Class  string   `json:"class,omitempty"`
	Door   string   `json:"door"`
	Linked bool     `json:"linked"`
}

func (cmd *targetsCmd) Run(a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	if _, err := c.EnsureSignIn(a.ctx, "", nil); err != nil {
		return err
	}
	res, err := c.Access().Targets(a.ctx, connect.NewRequest(&apiv1.TargetsRequest{}))
	if err != nil {
		return err
	}
	list, rows := []target{}, [][]string{}
	for _, t := range res.Msg.Targets {
		list = append(list, target{
			t.Name, append([]string{}, t.Logins...), append([]string{}, t.Labels...), t.Class, t.Door, t.Linked,
		})
		link := "up"
		if !t.Linked {
			link = "down"
		}
		rows = append(rows, []string{t.Name, strings.Join(t.Logins, ","), t.Door, link, strings.Join(t.Labels, ",")})
	}
	if cmd.JSON {
		return a.json(list)
	}
	return a.table([]string{"TARGET", "LOGINS", "DOOR", "LINK", "LABELS"}, rows)
}
