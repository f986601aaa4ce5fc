package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/sekisho/sekisho/client"
)

type loginCmd struct {
	URL       string `arg:"" optional:"" help:"Address of your organisation's Sekisho; remembered for later."`
	CAFile    string `name:"ca-file" type:"existingfile" xor:"ca" placeholder:"FILE" help:"PEM certificates to trust for this Sekisho, instead of the system's."`
	CAPin     string `name:"ca-pin" xor:"ca" placeholder:"sha256:HEX" help:"SHA-256 of the certificate to trust for this Sekisho, instead of the system's."`
	Device    bool   `xor:"flow" help:"Sign in with a browser on another machine, such as a phone."`
	NoBrowser bool   `xor:"flow" help:"Only print the address of the sign-in page."`
	Fresh     bool   `help:"Prove yourself anew, even if your organisation still knows the browser."`
	Agent     bool   `help:"Put a certificate for the gateway's SSH port into your ssh-agent, signing in only if there is need."`
}

func (*loginCmd) Help() string {
	return `Opens your organisation's sign-in page in the browser and waits until you have signed in. The address is also printed. On a machine without a screen the page can be opened anywhere (--device).

A private key is made on this machine at the first login, and the sign-in is bound to it: a copied sign-in is useless without that key.

The browser is the one of the system, or the command in SEKISHO_BROWSER or BROWSER, run with the address as its argument.

With --agent every program that can ask an ssh-agent can connect through the gateway's SSH port: ssh LOGIN%TARGET@GATEWAY. The certificate and its key, which is written nowhere, leave the agent when their time is up, or with sekisho logout.

Examples:

    sekisho login https://sekisho.example.com
    sekisho login sekisho.example.com --ca-pin sha256:9f86d081...
    sekisho login --device
    sekisho login --agent
`
}

// maxCAFile bounds --ca-file in bytes.
const maxCAFile = 256 << 10

func (cmd *loginCmd) Run(a *app) error {
	ca := ""
	if cmd.CAFile != "" {
		info, err := os.Stat(cmd.CAFile)
		if err != nil {
			return err
		}
		if info.Size() > maxCAFile {
			return errors.New("the CA file is too large to be one")
		}
		pem, err := os.ReadFile(cmd.CAFile)
		if err != nil {
			return err
		}
		ca = string(pem)
	}
	c, err := client.Setup(a.ctx, a.home, cmd.URL, ca, cmd.CAPin)
	if err != nil {
		return err
	}
	how := a.loginOptions(cmd.Device, cmd.NoBrowser)
	how.Fresh = cmd.Fresh
	if cmd.Agent {
		return a.enter(c, how)
	}
	s, err := c.Login(a.ctx, how)
	if err != nil {
		return err
	}
	a.welcome(s)
	return nil
}

func (a *app) welcome(s client.SignIn) {
	fmt.Fprintf(a.out, "Signed in as %s until %s.\n", a.bold(plain(s.Subject)), s.Expires.Local().Format("2 Jan 15:04"))
}

// enter puts a certificate into the person's agent and says how it is used.
func (a *app) enter(c *client.Client, how client.LoginOptions) error {
	agent, err := client.OpenAgent(a.ctx) // before anybody signs in for nothing
	if err != nil {
		return err
	}
	defer agent.Close()
	if how.Fresh {
		if _, err := c.Login(a.ctx, how); err != nil {
			return err
		}
		how.Fresh = false
	}
	got, err := c.Enter(a.ctx, agent, how)
	if err != nil {
		return err
	}
	a.welcome(got.SignIn)
	fmt.Fprintf(a.out, "Your ssh-agent holds a certificate for the gateway until %s.\n", got.Expires.Local().Format("2 Jan 15:04"))
	if got.Gateway == "" {
		fmt.Fprintln(a.out, "The gateway's SSH port is closed: it is of use where connections are led to the gateway by the network.")
		return nil
	}
	fmt.Fprintf(a.out, "\n    ssh LOGIN%%TARGET@%s\n\nThese lines belong into ~/.ssh/config; sekisho ssh-config --write puts them there:\n\n%s",
		client.GatewayAlias, c.Home().GatewayBlock(got.Gateway))
	return nil
}

// loginOptions show everything on stderr: stdout is ssh's when a sign-in happens under it.
func (a *app) loginOptions(device, noBrowser bool) client.LoginOptions {
	return client.LoginOptions{Device: device, NoBrowser: noBrowser, Out: a.err, Terminal: a.terminal}
}
