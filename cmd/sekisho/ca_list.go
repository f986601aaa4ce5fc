package main

import (
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type caListCmd struct {
	Retired bool `help:"Also those keys that hosts trust no more."`
	JSON    bool `name:"json" help:"Print JSON."`
}

func (*caListCmd) Help() string {
	return `Lists the certificate authorities with their public keys. A CA's name stays, its keys come and go: one of them issues at any moment; a key that is announced or trusted is about to, one that is retiring did before. STORE is the kind of key store that holds the private key.

Examples:

    sekisho ca list
    sekisho ca list --json | jq -r '.[].keys[] | select(.state == "issuing") | .fingerprint'
`
}

// caInfo is a CA as --json shows it.
type caInfo struct {
	Name    string      `json:"name"`
	Type    string      `json:"type"`
	Issuers []string    `json:"issuers"`
	Keys    []caKeyInfo `json:"keys"`
}

type caKeyInfo struct {
	Fingerprint string    `json:"fingerprint"`
	PublicKey   string    `json:"public_key"`
	State       string    `json:"state"`
	Since       time.Time `json:"since"`
	Announced   time.Time `json:"announced,omitzero"`
	Trusted     time.Time `json:"trusted,omitzero"`
	Issuing     time.Time `json:"issuing,omitzero"`
	Retiring    time.Time `json:"retiring,omitzero"`
	Retired     time.Time `json:"retired,omitzero"`
	LastExpiry  time.Time `json:"last_expiry,omitzero"`
	Store       string    `json:"store"`
	Place       string    `json:"place,omitempty"`
	Trouble     string    `json:"trouble,omitempty"`
	Hosts       int       `json:"hosts"`
	Lagging     []lagInfo `json:"lagging"`
}

type lagInfo struct {
	Target   string    `json:"target"`
	Why      string    `json:"why"`
	Reported time.Time `json:"reported,omitzero"`
	Managed  bool      `json:"managed"`
}

func newCAInfo(m *apiv1.CA) caInfo {
	c := caInfo{Name: m.Name, Type: m.Type, Issuers: append([]string{}, m.Issuers...), Keys: []caKeyInfo{}}
	for _, k := range m.Keys {
		info := caKeyInfo{
			Fingerprint: k.Fingerprint, PublicKey: k.PublicKey, State: k.State, Announced: asTime(k.Announced), Trusted: asTime(k.Trusted),
			Issuing: asTime(k.Issuing), Retiring: asTime(k.Retiring), Retired: asTime(k.Retired), LastExpiry: asTime(k.LastExpiry),
			Store: k.Store, Place: k.Place, Trouble: k.Trouble, Hosts: int(k.Hosts), Lagging: newLagInfos(k.Lagging),
		}
		info.Since = map[string]time.Time{
			"announced": info.Announced, "trusted": info.Trusted, "issuing": info.Issuing, "retiring": info.Retiring, "retired": info.Retired,
		}[k.State]
		c.Keys = append(c.Keys, info)
	}
	return c
}

func newLagInfos(all []*apiv1.CALag) []lagInfo {
	list := []lagInfo{}
	for _, l := range all {
		list = append(list, lagInfo{l.Target, l.Why, asTime(l.Reported), l.Managed})
	}
	return list
}

// underWay is the key of a CA that is on its way, nil where none is: one step after the other waits for it.
func (c *caInfo) underWay() *caKeyInfo {
	for i, k := range c.Keys {
		switch k.State {
		case "announced", "trusted", "retiring":
			return &c.Keys[i]
		}
	}
	return nil
}

// stage is how far the rotation of a CA is, as the API wants it told.
func (c *caInfo) stage() string {
	if k := c.underWay(); k != nil {
		return k.State
	}
	return "issuing"
}

// cas asks for one CA, or all.
func (a *app) cas(name string) ([]caInfo, error) {
	list, _, err := a.casAndList(name)
	return list, err
}

// casAndList asks also where sshd's revocation list stands.
func (a *app) casAndList(name string) ([]caInfo, *apiv1.RevocationState, error) {
	c, err := a.signedIn()
	if err != nil {
		return nil, nil, err
	}
	res, err := c.CAs().List(a.ctx, connect.NewRequest(&apiv1.ListCAsRequest{Name: name}))
	if err != nil {
		return nil, nil, err
	}
	list := []caInfo{}
	for _, m := range res.Msg.Cas {
		list = append(list, newCAInfo(m))
	}
	if name != "" && len(list) != 1 {
		return nil, nil, fmt.Errorf("the server tells of %d CAs called %s", len(list), name)
	}
	return list, res.Msg.UserRevocations, nil
}

func (cmd *caListCmd) Run(a *app) error {
	list, err := a.cas("")
	if err != nil {
		return err
	}
	rows := [][]string{}
	for i := range list {
		var shown []caKeyInfo
		for _, k := range list[i].Keys {
			if k.State == "retired" && !cmd.Retired {
				continue
			}
			shown = append(shown, k)
			rows = append(rows, []string{list[i].Name, list[i].Type, k.State, local(k.Since), k.Store, strings.Join(list[i].Issuers, ","), k.Fingerprint})
		}
		list[i].Keys = append([]caKeyInfo{}, shown...)
	}
	if cmd.JSON {
		return a.json(list)
	}
	return a.table([]string{"CA", "SIGNS", "KEY", "SINCE", "STORE", "ISSUERS", "FINGERPRINT"}, rows)
}
