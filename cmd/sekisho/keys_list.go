package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type keysListCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (*keysListCmd) Help() string {
	return `Lists the keys in the key folder, ~/.sekisho/keys, and, when you have logged in, what new recordings are sealed to. PROTECTION is "passphrase" or "none" for a private key in a file, "token" for one on a PKCS#11 token, and "public" where only the recipient line is here. FIPS says whether a house that is held to FIPS 140 may seal to the key, SEALED-TO whether new recordings are sealed to it ("?": that is not known here). Of other people's keys DEFAULT says whether recordings are sealed to them where no policy names recipients.

Nothing is asked of tokens, and no passphrase is needed.

Examples:

    sekisho keys list
    sekisho keys list --json | jq -r '.keys[] | select(.sealed_now) | .name'
`
}

// sealedTo is a recipient of new recordings, as --json shows it.
type sealedTo struct {
	ID      string `json:"id"`
	Label   string `json:"label,omitempty"`
	KEM     string `json:"kem"`
	Default bool   `json:"default"`
	// Yours says that its private key is in the key folder, or on a token that is named there.
	Yours bool `json:"yours"`
}

func (cmd *keysListCmd) Run(a *app) error {
	folder, err := a.keyFolder()
	if err != nil {
		return err
	}
	keys, err := folder.list(a.err)
	if err != nil {
		return err
	}
	recipients, known := a.recipients()
	for i := range recipients {
		r := &recipients[i]
		r.Yours = slices.ContainsFunc(keys, func(k keyInfo) bool { return k.opens([]string{r.ID}) })
	}
	for i := range keys {
		if known {
			sealed := slices.ContainsFunc(recipients, func(r sealedTo) bool { return r.ID == keys[i].ID })
			keys[i].Sealed = &sealed
		}
	}
	if cmd.JSON {
		return a.json(struct {
			Keys       []keyInfo  `json:"keys"`
			Recipients []sealedTo `json:"recipients,omitempty"`
		}{append([]keyInfo{}, keys...), recipients})
	}
	return cmd.print(a, folder, keys, recipients)
}

func (cmd *keysListCmd) print(a *app, folder keyFolder, keys []keyInfo, recipients []sealedTo) error {
	between := "\n"
	if len(keys) == 0 {
		between = ""
		fmt.Fprintf(a.err, "There is no key in %s; sekisho keys generate NAME makes one.\n", folder.shown)
	} else if err := a.keyTable(keys); err != nil {
		return err
	}
	rows := [][]string{}
	for _, r := range recipients {
		if !r.Yours {
			rows = append(rows, []string{r.ID, r.Label, r.KEM, yesNo(r.Default)})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprint(a.out, between+"Others that recordings are sealed to:\n"); err != nil {
		return err
	}
	return a.table([]string{"ID", "LABEL", "KIND", "DEFAULT"}, rows)
}

func (a *app) keyTable(keys []keyInfo) error {
	rows := [][]string{}
	for _, k := range keys {
		sealed := "?"
		if k.Sealed != nil {
			sealed = yesNo(*k.Sealed)
		}
		rows = append(rows, []string{k.Name, k.ID, k.Label, k.KEM, yesNo(k.FIPS), k.Protection, local(k.Created), sealed})
	}
	return a.table([]string{"NAME", "ID", "LABEL", "KIND", "FIPS", "PROTECTION", "CREATED", "SEALED-TO"}, rows)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// askTime is how long a server may take to say what it seals to.
const askTime = 10 * time.Second

// recipients asks the server what new recordings are sealed to. Known is false where nobody has logged in, or the
// server does not answer: that is said on stderr, and the keys are listed all the same.
func (a *app) recipients() (all []sealedTo, known bool) {
	c, err := a.client()
	if err != nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(a.ctx, askTime)
	defer cancel()
	res, err := c.Access().Describe(ctx, connect.NewRequest(&apiv1.DescribeRequest{}))
	if err != nil {
		fmt.Fprintf(a.err, "What recordings are sealed to is not known: %s\n", plain(err.Error()))
		return nil, false
	}
	for _, r := range res.Msg.Recipients {
		all = append(all, sealedTo{ID: r.Id, Label: r.Label, KEM: r.Kem, Default: r.Default})
	}
	return all, true
}
