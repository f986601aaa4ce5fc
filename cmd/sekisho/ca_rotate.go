package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type caRotateCmd struct {
	CA        string `arg:"" name:"ca" suggest:"cas" help:"CA, as sekisho ca list shows it."`
	Store     string `placeholder:"STORE" help:"Where the new key goes: a key store of the server's configuration (ca.stores), or file:NAME.pem; a file beside the last one if not given."`
	Kind      string `suggest:"ca-kinds" placeholder:"KIND" help:"Kind of the new key: ed25519, ecdsa-p256 or ecdsa-p384."`
	Wait      bool   `help:"Go through all steps, and wait for what they wait for."`
	Force     bool   `help:"Take steps although hosts lag, or certificates are still valid. Needs --reason."`
	Installed bool   `help:"Of a CA of your own: its announced key is installed where it must be trusted."`
	Reason    string `placeholder:"TEXT" help:"Why; the audit log keeps it. At most 200 characters."`
	JSON      bool   `name:"json" help:"Print JSON: the CA as it is then."`
}

func (*caRotateCmd) Help() string {
	return `Takes the next step of a CA towards its next key: where no key is on its way, it makes one and announces it to the hosts; once all of them trust it, it lets it sign, and the key that signed before retires. The other steps the server takes by itself, when hosts report that they trust a key and when the last certificate has expired. No session ends by it, and logging in works at each moment, unless a step is forced.

With --wait it goes through the whole rotation and tells what waits for whom. Interrupting it is safe: the rotation stays where it is, and the same command goes on. A step that somebody else has taken meanwhile is not taken twice.

--force takes steps early. Nobody gets onto a host that does not trust the key that signs, until it reports again; the audit log keeps your reason and how many hosts lagged.

You may if a policy allows you manageCA. Exits with 1 if the step cannot be taken yet.

Examples:

    sekisho ca rotate user --wait
    sekisho ca rotate gateway --store hsm
    sekisho ca rotate user --force --reason 'web7 is being scrapped'
`
}

const (
	// askEvery is how often --wait looks whether a rotation has gone on.
	askEvery = time.Second
	// installedReason is what the audit log says of a step that somebody vouches for.
	installedReason = "installed where it must be trusted"
)

func (cmd *caRotateCmd) Run(a *app) error {
	switch {
	case cmd.Force && strings.TrimSpace(cmd.Reason) == "":
		return &usageError{"--force needs --reason: say why, for the audit log"}
	case cmd.Force && cmd.Installed:
		return &usageError{"--installed and --force do not go together: one says that all is well, the other that it need not be"}
	}
	if cmd.Wait {
		return cmd.wait(a)
	}
	list, err := a.cas(cmd.CA)
	if err != nil {
		return err
	}
	after, err := cmd.step(a, &list[0])
	if err != nil {
		return err
	}
	return cmd.end(a, after)
}

// step takes one step from where the CA was seen.
func (cmd *caRotateCmd) step(a *app, seen *caInfo) (*caInfo, error) {
	c, err := a.signedIn()
	if err != nil {
		return nil, err
	}
	req := &apiv1.RotateCARequest{Name: cmd.CA, Force: cmd.Force, Reason: cmd.Reason, From: seen.stage()}
	if cmd.Installed && req.From == "announced" {
		req.Force, req.Reason = true, installedReason
		if cmd.Reason != "" {
			req.Reason += ": " + cmd.Reason
		}
	}
	if req.From == "issuing" {
		req.Store, req.Kind = cmd.Store, cmd.Kind
	}
	if !cmd.Wait && req.From != "issuing" && (cmd.Store != "" || cmd.Kind != "") {
		req.Store, req.Kind = cmd.Store, cmd.Kind // refused, with a sentence
	}
	res, err := c.CAs().Rotate(a.ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(a.err, "The key %s of the CA %s is %s.\n", plain(res.Msg.Key), plain(cmd.CA), plain(res.Msg.State))
	after := newCAInfo(res.Msg.Ca)
	return &after, nil
}

func (cmd *caRotateCmd) end(a *app, c *caInfo) error {
	if cmd.JSON {
		return a.json(c)
	}
	if next := c.next(); next != "" {
		fmt.Fprintf(a.err, "Next: %s\n", next)
	}
	return nil
}

// wait goes through the rotation until no key is on its way any more.
func (cmd *caRotateCmd) wait(a *app) error {
	err := cmd.walk(a)
	if errors.Is(a.ctx.Err(), context.Canceled) {
		fmt.Fprintln(a.err, "The rotation stays where it is, and the server takes by itself the steps that wait for hosts or for certificates to expire. To go on: the same command.")
	}
	return err
}

func (cmd *caRotateCmd) walk(a *app) error {
	begun, told := false, ""
	for {
		list, err := a.cas(cmd.CA)
		if err != nil {
			return err
		}
		c := &list[0]
		stage := c.stage()
		if stage == "issuing" && begun {
			fmt.Fprintf(a.err, "The rotation of the CA %s has ended.\n", plain(c.Name))
			return cmd.end(a, c)
		}
		if cmd.due(c) {
			begun, told = true, ""
			switch _, err := cmd.step(a, c); {
			case connect.CodeOf(err) == connect.CodeAborted: // it has gone on by itself
			case err != nil:
				return err
			}
			continue
		}
		begun = true
		if now := c.waiting(); now != told {
			told = now
			fmt.Fprint(a.err, now)
		}
		select {
		case <-a.ctx.Done():
			return a.ctx.Err()
		case <-time.After(askEvery):
		}
	}
}

// due reports whether the next step is one to ask for now: the others come by themselves.
func (cmd *caRotateCmd) due(c *caInfo) bool {
	switch c.stage() {
	case "issuing":
		return true
	case "trusted":
		return cmd.Force || len(c.underWay().Lagging) == 0
	case "announced":
		return cmd.Force || cmd.Installed
	}
	return cmd.Force
}

// waiting says what a rotation waits for, and for whom.
func (c *caInfo) waiting() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Waiting: %s\n", c.next())
	if k := c.underWay(); k != nil {
		for _, l := range k.Lagging {
			fmt.Fprintf(&b, "  %s %s\n", plain(l.Target), plain(l.Why))
		}
	}
	return b.String()
}
