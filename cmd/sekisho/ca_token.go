package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type caTokenCmd struct {
	Create caTokenCreateCmd `cmd:"" help:"Make an API token for a program."`
	List   caTokenListCmd   `cmd:"" help:"List API tokens that live."`
	End    caTokenEndCmd    `cmd:"" help:"End an API token."`
}

type caTokenCreateCmd struct {
	Name  string   `required:"" placeholder:"NAME" help:"What uses it; events name it so. Lower case, like a host name."`
	Scope []string `suggest:"scopes" required:"" placeholder:"SCOPE" help:"What it is for: ca.read, ca.manage, certificates.read, certificates.revoke or certificates.sign/ISSUER; may be given more than once."`
	TTL   string   `name:"ttl" required:"" placeholder:"TIME" help:"For how long, such as 90m, 24h or 30d; 366d at most."`
	From  []string `placeholder:"CIDR" help:"Network that it may be used from, such as 10.0.0.0/8; may be given more than once. Without it: anywhere."`
	JSON  bool     `name:"json" help:"Print JSON."`
}

func (*caTokenCreateCmd) Help() string {
	return `Makes an API token, with which a program calls Sekisho over HTTPS. The token is printed once, alone on standard output; Sekisho keeps only its hash. docs/api.md says how to call.

You must be allowed to manage CAs (the action manageCA), and whatever the scopes allow. Later changes of the policies do not touch the token: it ends when its time is over, when it is ended, or when you are revoked.

Give it the scopes that its program needs and no others, and --from if you know where that runs. Where you keep it in a file, say umask 077 first, so that nobody else can read it.

Examples:

    sekisho ca token create --name inventory --scope certificates.read --ttl 30d > token
    sekisho ca token create --name deploy --scope certificates.sign/git --ttl 24h --from 10.1.0.0/16 > token
`
}

// tokenInfo is a token as --json shows it.
type tokenInfo struct {
	ID      string     `json:"id"`
	Token   string     `json:"token,omitempty"` // where it was just made
	Name    string     `json:"name"`
	Scopes  []string   `json:"scopes"`
	From    []string   `json:"from"`
	By      string     `json:"by"`
	Created time.Time  `json:"created"`
	Expires time.Time  `json:"expires"`
	Used    *time.Time `json:"used,omitempty"`
}

func newTokenInfo(t *apiv1.Token, token string) tokenInfo {
	i := tokenInfo{t.GetId(), token, t.GetName(), append([]string{}, t.GetScopes()...), append([]string{}, t.GetFrom()...), t.GetBy(), asTime(t.GetCreated()), asTime(t.GetExpires()), nil}
	if used := asTime(t.GetUsed()); !used.IsZero() {
		i.Used = &used
	}
	return i
}

func (cmd *caTokenCreateCmd) Run(a *app) error {
	ttl, err := lifetime(cmd.TTL)
	if err != nil {
		return err
	}
	c, err := a.signedIn()
	if err != nil {
		return err
	}
	res, err := c.Tokens().Create(a.ctx, connect.NewRequest(&apiv1.CreateTokenRequest{
		Name: cmd.Name, Scopes: cmd.Scope, TtlSeconds: int64(ttl / time.Second), From: cmd.From,
	}))
	if err != nil {
		return err
	}
	info := newTokenInfo(res.Msg.Info, res.Msg.Token)
	if cmd.JSON {
		err = a.json(info)
	} else {
		_, err = fmt.Fprintln(a.out, plain(info.Token))
	}
	if err != nil {
		return err
	}
	if _, onTerminal := terminalAt(a.out); onTerminal {
		fmt.Fprintln(a.err, "Whoever sees this token can use it. It is not shown again.")
	}
	fmt.Fprintf(a.err, "Token %s (%s) lives until %s. To end it before: sekisho ca token end %s\n", plain(info.Name), plain(info.ID), local(info.Expires), plain(info.ID))
	return nil
}

// lifetime reads how long something may live: a span such as 90m, or days such as 30d.
func lifetime(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 && n <= 366 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	span, err := time.ParseDuration(s)
	if err != nil || span < time.Second || span > 366*24*time.Hour {
		return 0, &usageError{fmt.Sprintf("--ttl %q: want a span such as 90m, 24h or 30d, 366d at most", s)}
	}
	return span, nil
}

type caTokenListCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (*caTokenListCmd) Help() string {
	return `Lists the API tokens that live, newest first: all of them if you may manage CAs, else those that you made. USED is when a token was used last, to the minute.

Examples:

    sekisho ca token list
    sekisho ca token list --json | jq -r '.[] | select(.used == null) | .id'
`
}

func (cmd *caTokenListCmd) Run(a *app) error {
	c, err := a.signedIn()
	if err != nil {
		return err
	}
	res, err := c.Tokens().List(a.ctx, connect.NewRequest(&apiv1.ListTokensRequest{}))
	if err != nil {
		return err
	}
	all, rows := []tokenInfo{}, [][]string{}
	for _, t := range res.Msg.Tokens {
		all = append(all, newTokenInfo(t, ""))
		from, used := strings.Join(t.From, ","), local(asTime(t.Used))
		if from == "" {
			from = "anywhere"
		}
		if used == "" {
			used = "never"
		}
		rows = append(rows, []string{t.Id, t.Name, strings.Join(t.Scopes, ","), from, t.By, local(asTime(t.Expires)), used})
	}
	if cmd.JSON {
		return a.json(all)
	}
	return a.table([]string{"TOKEN", "NAME", "SCOPES", "FROM", "BY", "UNTIL", "USED"}, rows)
}

type caTokenEndCmd struct {
	ID string `arg:"" name:"token" help:"Its ID, as token list shows it."`
}

func (*caTokenEndCmd) Help() string {
	return `Ends an API token at once: one that you made, or any if you may manage CAs.

Examples:

    sekisho ca token end api_k5xqz7...
`
}

func (cmd *caTokenEndCmd) Run(a *app) error {
	id, _, _ := strings.Cut(cmd.ID, ".") // somebody may well give the whole token
	c, err := a.signedIn()
	if err != nil {
		return err
	}
	if _, err := c.Tokens().End(a.ctx, connect.NewRequest(&apiv1.EndTokenRequest{Id: id})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "Token %s has ended.\n", plain(id))
	return err
}
