package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type caIssuersCmd struct {
	Issuer string `arg:"" optional:"" suggest:"to-sign" help:"Only this issuer, with all its rules."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (*caIssuersCmd) Help() string {
	return `Lists the ways to get certificates, with what each takes and gives. PROOF is how one proves oneself: sign-in (people, by policy), token (programs), session (gateways) and connector (hosts). YOU says which you may use with sekisho ca sign; people is used by ssh itself.

TTL says how long certificates are valid if nothing is asked for, and the most that can be asked for. GIVES are extensions and options. What people, gateways and hosts get follows from targets and policies. All rules of an issuer, such as the kinds of keys that it takes, are shown where it is named, and with --json.

Examples:

    sekisho ca issuers
    sekisho ca issuers git
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
	if cmd.Issuer != "" {
		list = slices.DeleteFunc(list, func(i issuer) bool { return i.Name != cmd.Issuer })
		if len(list) == 0 {
			return &sekisho.Refusal{Sentence: fmt.Sprintf("There is no issuer called %q.", cmd.Issuer), Next: "sekisho ca issuers lists those that there are."}
		}
	}
	if cmd.JSON {
		return a.json(list)
	}
	if cmd.Issuer != "" {
		return a.detail(&list[0])
	}
	rows := [][]string{}
	for _, i := range list {
		rows = append(rows, i.row())
	}
	return a.table([]string{"ISSUER", "CA", "PROOF", "YOU", "TTL", "PRINCIPALS", "GIVES"}, rows)
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

// builtIn reports whether targets and policies say what its certificates are: only then no time of its own is told.
func (i *issuer) builtIn() bool { return i.TTL == 0 }

func (i *issuer) row() []string {
	principals, gives := strings.Join(i.Principals, ","), strings.Join(append(some(i.Extensions), i.Options...), ",")
	if i.builtIn() {
		principals, gives = "by target", "by policy"
		if i.Type == "host" {
			gives = ""
		}
	}
	return []string{i.Name, i.CA, i.Proof, i.may(), i.times(), principals, gives}
}

func (i *issuer) may() string {
	if i.May {
		return "yes"
	}
	return "no"
}

// times says how long certificates are valid: what one gets without asking, and the most.
func (i *issuer) times() string {
	most := days(i.MaxTTL)
	switch {
	case i.builtIn() && i.Type == "host":
		return "up to " + most
	case i.builtIn():
		return "by policy, up to " + most
	case i.TTL == i.MaxTTL:
		return most
	}
	return days(i.TTL) + ", up to " + most
}

// days words a number of seconds, in days where they are several.
func days(seconds int64) string {
	const day = 24 * 60 * 60
	if seconds > day && seconds%day == 0 {
		return count(int(seconds/day), "day")
	}
	return sekisho.Span(time.Duration(seconds) * time.Second)
}

// detail prints all rules of one issuer.
func (a *app) detail(i *issuer) error {
	for _, line := range [][2]string{
		{"Issuer", i.Name}, {"CA", i.CA + ", " + i.Type + " certificates"}, {"Proof", i.Proof}, {"You may", i.may()}, {"TTL", i.times()},
		{"Principals", strings.Join(i.Principals, ", ")}, {"Match", i.Match}, {"Extensions", strings.Join(i.Extensions, ", ")},
		{"Options", strings.Join(i.Options, ", ")}, {"Keys", strings.Join(i.Keys, ", ")}, {"From", strings.Join(i.From, ", ")}, {"Rate", i.Rate},
	} {
		if line[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(a.out, "%-11s %s\n", line[0], plain(line[1])); err != nil {
			return err
		}
	}
	return nil
}
