package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type keysPublishedCmd struct {
	All   bool  `help:"Those that have expired or were withdrawn, too."`
	Limit int32 `default:"100" help:"How many at the most, up to 1000."`
	JSON  bool  `name:"json" help:"Print JSON."`
}

func (*keysPublishedCmd) Help() string {
	return `Lists published keys, newest first: your own, those that you might publish yourself, and all if you may read the audit log or manage CAs.

TARGETS are where it may log in; those in brackets let it in no longer, or not yet: the policies do not allow it (any more) to who published it, the key or that person is revoked, or no connector has joined. STATE says "in force", "expired", or who withdrew it. --json has more: the key, fingerprint, reason, networks.

Examples:

    sekisho keys published
    sekisho keys published --all --json | jq '.[] | select(.withdrawn_by)'
`
}

// publishedKeyInfo is a published key as --json shows it.
type publishedKeyInfo struct {
	ID          string     `json:"id"`
	PublicKey   string     `json:"public_key"`
	Fingerprint string     `json:"fingerprint"`
	Targets     []string   `json:"targets"`
	Served      []string   `json:"served"`
	Login       string     `json:"login"`
	Allow       []string   `json:"allow"`
	From        []string   `json:"from"`
	By          string     `json:"by"`
	Reason      string     `json:"reason"`
	Published   time.Time  `json:"published"`
	Expires     time.Time  `json:"expires"`
	Withdrawn   *time.Time `json:"withdrawn,omitempty"`
	WithdrawnBy string     `json:"withdrawn_by,omitempty"`
	MayWithdraw bool       `json:"may_withdraw"`
}

func newPublishedKeyInfo(m *apiv1.PublishedKey) publishedKeyInfo {
	list := func(s []string) []string { return append([]string{}, s...) }
	k := publishedKeyInfo{
		ID: m.GetId(), PublicKey: m.GetPublicKey(), Fingerprint: m.GetFingerprint(), Targets: list(m.GetTargets()), Served: list(m.GetServed()),
		Login: m.GetLogin(), Allow: list(m.GetAllow()), From: list(m.GetFrom()), By: m.GetBy(), Reason: m.GetReason(),
		Published: asTime(m.GetPublished()), Expires: asTime(m.GetExpires()), WithdrawnBy: m.GetWithdrawnBy(), MayWithdraw: m.GetMayWithdraw(),
	}
	if m.GetWithdrawn() != nil {
		at := asTime(m.Withdrawn)
		k.Withdrawn = &at
	}
	return k
}

func (cmd *keysPublishedCmd) Run(a *app) error {
	if cmd.Limit < 1 || cmd.Limit > 1000 {
		return &usageError{"--limit must be between 1 and 1000"}
	}
	all, more, err := a.publishedKeys(&apiv1.ListPublishedKeysRequest{All: cmd.All, Limit: cmd.Limit})
	if err != nil {
		return err
	}
	if more {
		fmt.Fprintln(a.err, "There are more: raise --limit.")
	}
	if cmd.JSON {
		return a.json(all)
	}
	rows := [][]string{}
	for _, k := range all {
		rows = append(rows, []string{k.ID, k.Fingerprint, k.Login, k.places(), k.By, local(k.Expires), k.state(time.Now()), k.Reason})
	}
	return a.table([]string{"ID", "KEY", "LOGIN", "TARGETS", "BY", "EXPIRES", "STATE", "REASON"}, rows)
}

func (a *app) publishedKeys(req *apiv1.ListPublishedKeysRequest) (all []publishedKeyInfo, more bool, err error) {
	c, err := a.signedIn()
	if err != nil {
		return nil, false, err
	}
	res, err := c.PublishedKeys().List(a.ctx, connect.NewRequest(req))
	if err != nil {
		return nil, false, err
	}
	all = []publishedKeyInfo{}
	for _, m := range res.Msg.Keys {
		all = append(all, newPublishedKeyInfo(m))
	}
	return all, res.Msg.More, nil
}

// places are the targets; those that do not let the key in stand in brackets.
func (k *publishedKeyInfo) places() string {
	const most = 4
	var names []string
	for i, t := range k.Targets {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(k.Targets)-most))
			break
		}
		if !slices.Contains(k.Served, t) {
			t = "(" + t + ")"
		}
		names = append(names, t)
	}
	return strings.Join(names, " ")
}

func (k *publishedKeyInfo) state(now time.Time) string {
	switch {
	case k.Withdrawn != nil:
		return "withdrawn by " + k.WithdrawnBy
	case !now.Before(k.Expires):
		return "expired"
	}
	return "in force"
}
