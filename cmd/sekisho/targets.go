package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type targetsCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (*targetsCmd) Help() string {
	return `Lists what you may reach by ssh now, with the accounts you may use there. DOOR says "audit" where sessions are recorded, and "pass" where they are not: there the gateway only passes on what ssh and the target say to one another, unless you come by its SSH port, where SSH always ends. LINK says whether the target can be reached at the moment. LIMITS says in a few words what you may not do there, or may beyond the usual; --json has all of them, by login.

Examples:

    sekisho targets
    sekisho targets --json | jq -r '.[] | select(.linked) | .name'
`
}

// access is what one login of a target gives.
type access struct {
	Login  string         `json:"login"`
	Door   string         `json:"door"`
	Limits sekisho.Limits `json:"limits"`
}

type target struct {
	Name   string   `json:"name"`
	Logins []string `json:"logins"`
	Labels []string `json:"labels"`
	Class  string   `json:"class,omitempty"`
	Door   string   `json:"door"`
	Linked bool     `json:"linked"`
	Access []access `json:"access"`
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
	list, err := readTargets(res.Msg)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return a.json(list)
	}
	rows := [][]string{}
	for _, t := range list {
		rows = append(rows, t.rows()...)
	}
	return a.table([]string{"TARGET", "LOGINS", "DOOR", "LINK", "LABELS", "LIMITS"}, rows)
}

func readTargets(m *apiv1.TargetsResponse) ([]target, error) {
	all := make([]sekisho.Limits, len(m.Limits))
	for i, text := range m.Limits {
		if err := json.Unmarshal(text, &all[i]); err != nil {
			return nil, fmt.Errorf("read limits: %w", err)
		}
	}
	list := []target{}
	for _, t := range m.Targets {
		one := target{
			t.Name, append([]string{}, t.Logins...), append([]string{}, t.Labels...), t.Class, t.Door, t.Linked, []access{},
		}
		for _, x := range t.Access {
			if int64(x.Limits) >= int64(len(all)) {
				return nil, fmt.Errorf("limits of %s on %s are missing", x.Login, t.Name)
			}
			one.Access = append(one.Access, access{x.Login, x.Door, all[x.Limits]})
		}
		list = append(list, one)
	}
	return list, nil
}

// rows has a line for the logins that lead through the same door with the same limits.
func (t *target) rows() (rows [][]string) {
	link := "up"
	if !t.Linked {
		link = "down"
	}
	if len(t.Access) == 0 { // a server of a time before it told limits
		return [][]string{{t.Name, strings.Join(t.Logins, ","), t.Door, link, strings.Join(t.Labels, ","), ""}}
	}
	for _, x := range t.Access {
		row := []string{t.Name, x.Login, x.Door, link, strings.Join(t.Labels, ","), x.Limits.Brief()}
		same := func(r []string) bool { return r[2] == row[2] && r[5] == row[5] }
		if at := slices.IndexFunc(rows, same); at >= 0 {
			rows[at][1] += "," + x.Login
		} else {
			rows = append(rows, row)
		}
	}
	return rows
}
