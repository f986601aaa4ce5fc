package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type caStatusCmd struct {
	CA   string `arg:"" optional:"" name:"ca" suggest:"cas" help:"Only this CA."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (*caStatusCmd) Help() string {
	return `Shows for each key of each CA its state and since when it is in it, how many hosts trust it, which do not and why, when the last certificate of a retiring key expires, and what ails its key store. Below stands what the next step waits for. At the end stand the number of the revocation list and the hosts that go by an older one. Hosts and key stores are shown to those who may manage CAs (the action manageCA).

Exits with 0 if all is well; with 3 if a step waits for hosts, a key cannot sign, or a host whose sshd a connector keeps in step has gone by an older revocation list for five minutes; with 1 if the question failed.

Examples:

    sekisho ca status
    sekisho ca status user --json | jq -r '.[].keys[].lagging[] | .target + ": " + .why'
`
}

// exitLagging is the exit code where something is not as it should be, and needs somebody's eye.
const exitLagging = 3

func (cmd *caStatusCmd) Run(a *app) error {
	list, revoked, err := a.casAndList(cmd.CA)
	if err != nil {
		return err
	}
	var troubles []string
	for i := range list {
		troubles = append(troubles, list[i].troubles()...)
	}
	if cmd.CA == "" {
		troubles = append(troubles, behind(revoked)...)
	}
	if cmd.JSON {
		err = a.json(list)
	} else if err = a.showCAs(list); err == nil && cmd.CA == "" {
		err = a.showRevoked(revoked)
	}
	if err != nil || len(troubles) == 0 {
		return err
	}
	return &exitError{exitLagging, &sekisho.Refusal{Sentence: strings.Join(troubles, " "), Next: "See docs/rotation.md."}}
}

// troubles says in sentences what of a CA needs somebody's eye.
func (c *caInfo) troubles() (list []string) {
	for _, k := range c.Keys {
		if k.Trouble != "" {
			list = append(list, fmt.Sprintf("A key of the CA %s cannot sign now.", c.Name))
		}
	}
	if k := c.underWay(); k != nil && len(k.Lagging) > 0 {
		list = append(list, fmt.Sprintf("The rotation of the CA %s waits for %s.", c.Name, count(len(k.Lagging), "host")))
	}
	return list
}

// lateAfter is how old a revocation list is when hosts should have it: they ask each minute.
const lateAfter = 5 * time.Minute

// behind says how many hosts go by an older revocation list although a connector keeps their sshd in step.
func behind(list *apiv1.RevocationState) []string {
	if time.Since(asTime(list.GetGenerated())) < lateAfter {
		return nil
	}
	n := 0
	for _, l := range newLagInfos(list.GetLagging()) {
		if l.Managed {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return []string{hosts(n, "host goes", "hosts go") + " by an older revocation list."}
}

// showRevoked shows which revocation list hosts should have, and who has not. Nothing is shown while nothing was ever revoked.
func (a *app) showRevoked(list *apiv1.RevocationState) error {
	if list.GetNumber() == 0 {
		return nil
	}
	entries := "1 entry"
	if list.Entries != 1 {
		entries = fmt.Sprintf("%d entries", list.Entries)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s for sshd: number %d of %s, %s\n", a.bold("revocation list"), list.Number, local(asTime(list.Generated)), entries)
	for _, l := range newLagInfos(list.Lagging) {
		fmt.Fprintf(&b, "  %s %s\n", a.paint(yellow, plain(l.Target)), plain(l.Why))
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

func (a *app) showCAs(list []caInfo) error {
	var b strings.Builder
	for i, c := range list {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s signs %s certificates%s\n", a.bold(plain(c.Name)), plain(c.Type), issuedBy(c.Issuers))
		for _, k := range c.Keys {
			if k.State != "retired" {
				a.showCAKey(&b, &k)
			}
		}
		if next := c.next(); next != "" {
			fmt.Fprintf(&b, "  Next: %s\n", next)
		}
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

func issuedBy(issuers []string) string {
	if len(issuers) == 0 {
		return ""
	}
	return ", for " + plain(strings.Join(issuers, ", "))
}

// Colours of a terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (a *app) paint(colour, s string) string {
	if !a.colour {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

func (a *app) showCAKey(b *strings.Builder, k *caKeyInfo) {
	colour := yellow
	if k.State == "issuing" {
		colour = green
	}
	place := k.Place
	if place == "" {
		place = k.Store
	}
	fmt.Fprintf(b, "  %s %s since %s, in %s\n", a.paint(colour, fmt.Sprintf("%-9s", plain(k.State))), plain(k.Fingerprint), local(k.Since), plain(place))
	if k.Trouble != "" {
		fmt.Fprintf(b, "    %s: %s\n", a.paint(red, "cannot sign"), plain(k.Trouble))
	}
	if k.Hosts > 0 && k.State != "retiring" {
		fmt.Fprintf(b, "    %d of %s it\n", k.Hosts-len(k.Lagging), hosts(k.Hosts, "host trusts", "hosts trust"))
	}
	for _, l := range k.Lagging {
		heard := ""
		if !l.Reported.IsZero() {
			heard = " (heard " + local(l.Reported) + ")"
		}
		fmt.Fprintf(b, "    %s %s%s\n", a.paint(yellow, plain(l.Target)), plain(l.Why), heard)
	}
}

// next says what the next step is and what it waits for; empty where no key is on its way.
func (c *caInfo) next() string {
	k := c.underWay()
	switch {
	case k == nil:
		return ""
	case k.State == "announced" && len(k.Lagging) > 0:
		return fmt.Sprintf("the announced key becomes trusted by itself, once %s it.", hosts(len(k.Lagging), "more host trusts", "more hosts trust"))
	case k.State == "announced" && k.Hosts == 0 && !c.ours():
		return fmt.Sprintf("nobody reports who trusts the announced key. Once it is installed where it must be: sekisho ca rotate %s --installed", plain(c.Name))
	case k.State == "announced":
		return "the announced key becomes trusted within seconds, by itself."
	case k.State == "trusted" && len(k.Lagging) > 0:
		return fmt.Sprintf("the trusted key can sign once %s it again.", hosts(len(k.Lagging), "host trusts", "hosts trust"))
	case k.State == "trusted":
		return fmt.Sprintf("the trusted key is ready to sign: sekisho ca rotate %s", plain(c.Name))
	case len(k.Lagging) > 0:
		return fmt.Sprintf("the retiring key is retired by itself, once %s no certificate of it any more.", hosts(len(k.Lagging), "host shows", "hosts show"))
	case c.Type == "host" && k.Hosts > 0:
		return "the retiring key is retired within seconds, by itself: no host shows a certificate of it any more."
	case !k.LastExpiry.IsZero():
		return fmt.Sprintf("the retiring key is retired when its last certificate expires, %s, by itself.", local(k.LastExpiry))
	}
	return "the retiring key is retired when its last certificate expires, by itself."
}

// hosts counts hosts that do something.
func hosts(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// ours reports whether it is one of the CAs that every house has, for whose keys hosts and clients are told by the house.
func (c *caInfo) ours() bool { return c.Name == "user" || c.Name == "gateway" || c.Name == "host" }
