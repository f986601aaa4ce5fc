package main

import (
	"fmt"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type caCreateCmd struct {
	CA    string `arg:"" name:"ca" help:"Its name: a-z, 0-9 and -, a letter first."`
	Type  string `enum:"user,host" default:"user" placeholder:"TYPE" help:"What it signs: user (if not given) or host certificates."`
	Store string `placeholder:"STORE" help:"Where its first key goes: a key store of the server's configuration (ca.stores), or file:NAME.pem; a file in the server's key folder if not given."`
	Kind  string `suggest:"ca-kinds" placeholder:"KIND" help:"Kind of key: ed25519, ecdsa-p256 or ecdsa-p384; what the key store does best if not given."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

func (*caCreateCmd) Help() string {
	return `Makes a certificate authority with a first key, which issues from then on. It signs for the issuers that the server's configuration gives it (ca.issuers). You may if a policy allows you manageCA; the audit log says that you did.

Examples:

    sekisho ca create git --type user
    sekisho ca create robots --store hsm
`
}

func (cmd *caCreateCmd) Run(a *app) error {
	c, err := a.signedIn()
	if err != nil {
		return err
	}
	res, err := c.CAs().Create(a.ctx, connect.NewRequest(&apiv1.CreateCARequest{Name: cmd.CA, Type: cmd.Type, Store: cmd.Store, Kind: cmd.Kind}))
	if err != nil {
		return err
	}
	info := newCAInfo(res.Msg.Ca)
	if cmd.JSON {
		return a.json(info)
	}
	for _, k := range info.Keys {
		fmt.Fprintf(a.err, "The CA %s signs %s certificates by the key %s. It is trusted where you put this line:\n", plain(info.Name), plain(info.Type), plain(k.Fingerprint))
		if _, err := fmt.Fprintf(a.out, "%s sekisho-%s-ca\n", plain(k.PublicKey), plain(info.Name)); err != nil {
			return err
		}
	}
	return nil
}
