package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sekisho/sekisho/client"
)

type sshConfigCmd struct {
	Patterns []string `arg:"" optional:"" name:"pattern" help:"Host patterns to use instead of those that the server has named."`
	Write    bool     `help:"Install the lines instead of printing them."`
	Agent    bool     `help:"Go through the gateway's SSH port with the certificate in your ssh-agent (sekisho login --agent)."`
}

func (*sshConfigCmd) Help() string {
	return `Prints the lines for ~/.ssh/config with which plain ssh, scp, sftp, rsync and git reach your targets. With --write they go into ssh_config in this program's own folder, and one Include line is put at the top of ~/.ssh/config; nothing else in that file is touched, and doing it twice changes nothing.

Agent forwarding (ssh -A) forwards nothing through these lines: the agent of a connection is gone once it has signed in.

Where the gateway has an SSH port, there are lines for it as well, under the name sekisho-gateway. With --agent the targets are reached through it, by ProxyJump, instead of by this program. ssh -J needs the lines of --agent: with the others ssh has no certificate to show behind the jump, and says "Permission denied".

Examples:

    sekisho ssh-config --write
    sekisho ssh-config '*.example.internal' >> ~/.ssh/config
    sekisho ssh-config --agent --write
    sekisho ssh-config > /tmp/c && ssh -F /tmp/c ken@web1
`
}

func (cmd *sshConfigCmd) Run(a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	patterns := cmd.Patterns
	if len(patterns) == 0 {
		patterns = c.Config().Hosts
	}
	block, err := c.Home().SSHConfig(client.SSHConfig{
		Program: programPath(), Patterns: patterns, Gateway: c.Config().SSHGateway, Jump: cmd.Agent,
	})
	if err != nil {
		return err
	}
	if err := c.Home().EnsureRevokedHosts(); err != nil {
		return err
	}
	if !cmd.Write {
		_, err := fmt.Fprint(a.out, block)
		return err
	}
	return a.install(c.Home(), block)
}

func (a *app) install(home client.Home, block string) error {
	user, err := os.UserHomeDir()
	if err != nil {
		return fmt.Errorf("find your home folder: %w", err)
	}
	changed, err := home.InstallSSHConfig(block, filepath.Join(user, ".ssh"))
	if err != nil {
		return err
	}
	if !changed {
		fmt.Fprintln(a.out, "ssh is set up already.")
		return nil
	}
	fmt.Fprintf(a.out, "ssh is set up: ~/.ssh/config now includes %s.\n", home.Shown("ssh_config"))
	return nil
}

// programPath is where this executable is, or "" if ssh finds the same one by the name sekisho.
func programPath() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	found, err := exec.LookPath("sekisho")
	if err != nil {
		return self
	}
	a, aerr := os.Stat(found)
	b, berr := os.Stat(self)
	if aerr == nil && berr == nil && os.SameFile(a, b) {
		return ""
	}
	return self
}
