package main

import (
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type caIssuersCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (*caIssuersCmd) Help() string {
	return `Lists the ways to get certificates, with what each takes and gives. PROOF is how one proves oneself: sign-in (people, by policy), token (programs), session (gateways) and connector (hosts). YOU says which you may use with sekisho ca sign; people is used by ssh itself.

Examples:

    sekisho ca issuers
    sekisho ca issuers --json | jq -r '.[] | select(.may) | .name'
`
}

// issuer is one of the list, as --json has it.
type issuer struct {
	Name       string   `json:"name"`
	CA         string   `json:"ca"`
	Type       string   `json:"type"`
	Proof      string   `json:"proof"`
	From       []string `json:"from"`
	Keys       []string `json:"keys"`
	TTL        int64    `json:"ttl_seconds,omitempty"`
	MaxTTL     int64    `json:"max_ttl_seconds"`
	Principals []string `json:"principals"`
	Match      string   `json:"match,omitempty"`
	Extensions []string `json:"extensions"`
	Options    []string `json:"options"`
	Rate       string   `json:"rate,omitempty"`
	May        bool     `json:"may"`
}

func (cmd *caIssuersCmd) Run(a *app) error {
	list, err := a.issuers()
	if err != nil {
		return err
	}
	if cmd.JSON {
		return a.json(list)
	}
	rows := [][]string{}
	for _, i := range list {
		rows = append(rows, i.row())
	}
	return a.table([]string{"ISSUER", "CA", "PROOF", "YOU", "TTL", "PRINCIPALS", "GIVES", "KEYS"}, rows)
}

func (a *app) issuers() ([]issuer, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	if _, err := c.EnsureSignIn(a.ctx, "", nil); err != nil {
		return nil, err
	}
	res, err := c.Certificates().Issuers(a.ctx, connect.NewRequest(&apiv1.IssuersRequest{}))
	if err != nil {
		return nil, err
	}
	list := []issuer{}
	for _, m := range res.Msg.Issuers {
		list = append(list, issuer{
			m.Name, m.Ca, m.Type, m.Proof, some(m.From), some(m.Keys), m.TtlSeconds, m.MaxTtlSeconds, some(m.Principals), m.Match,
			some(m.Extensions), some(m.Options), m.Rate, m.May,
		})
	}
	return list, nil
}

// some is the list itself; in JSON an empty one is [] and not null.
func some(list []string) []string { return append([]string{}, list...) }

func (i *issuer) row() []string {
	may := "no"
	if i.May {
		may = "yes"
	}
	most := sekisho.Span(time.Duration(i.MaxTTL) * time.Second)
	if i.TTL > 0 && i.TTL != i.MaxTTL {
		most = sekisho.Span(time.Duration(i.TTL)*time.Second) + " to " + most
	}
	return []string{
		i.Name, i.CA, i.Proof, may, most, strings.Join(i.Principals, ","), strings.Join(append(some(i.Extensions), i.Options...), ","), strings.Join(i.Keys, ","),
	}
}
