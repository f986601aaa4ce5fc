package main

import (
	"fmt"
	"regexp"

	"github.com/sekisho/sekisho"
)

type caShowCmd struct {
	CA         string `arg:"" name:"ca" suggest:"cas" help:"CA, as sekisho ca list shows it."`
	KnownHosts bool   `help:"Print @cert-authority lines for known_hosts, of a CA that signs host certificates."`
	Hosts      string `default:"*" placeholder:"PATTERN" help:"With --known-hosts: the host patterns of the lines, with commas between them (sshd(8)); all hosts if not given."`
}

func (*caShowCmd) Help() string {
	return `Prints the public keys of a CA that are in force, one a line, from those that are announced to those that retire: what sshd's TrustedUserCAKeys takes. A machine that fetches them often enough learns a new key before it signs. Machines that know no sign-in get the same at /v1/ca/NAME.pub and /v1/ca/known_hosts of the server.

Examples:

    sekisho ca show user > /etc/ssh/trusted_user_ca
    sekisho ca show host --known-hosts --hosts '*.example.com,10.0.*' >> ~/.ssh/known_hosts
`
}

var hostPatterns = regexp.MustCompile(`^[A-Za-z0-9.*?_:\[\]-]+(,[A-Za-z0-9.*?_:\[\]-]+)*$`)

func (cmd *caShowCmd) Run(a *app) error {
	if !hostPatterns.MatchString(cmd.Hosts) {
		return &usageError{fmt.Sprintf("--hosts %q: want host patterns with commas between them, such as *.example.com", cmd.Hosts)}
	}
	list, err := a.cas(cmd.CA)
	if err != nil {
		return err
	}
	c := list[0]
	if cmd.KnownHosts && c.Type != "host" {
		return &sekisho.Refusal{Sentence: fmt.Sprintf("The CA %s signs %s certificates, which vouch for no host.", c.Name, c.Type), Next: "Try: sekisho ca show host --known-hosts"}
	}
	for _, k := range c.Keys {
		if k.State == "retired" {
			continue
		}
		line := plain(k.PublicKey) + " sekisho-" + plain(c.Name) + "-ca"
		if cmd.KnownHosts {
			line = "@cert-authority " + cmd.Hosts + " " + line
		}
		if _, err := fmt.Fprintln(a.out, line); err != nil {
			return err
		}
	}
	return nil
}
