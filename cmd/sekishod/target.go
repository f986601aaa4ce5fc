package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/control"
)

type targetCommand struct {
	Add  targetAddCommand  `cmd:"" help:"Add a target, or change it, and print a one-time token for its connector."`
	List targetListCommand `cmd:"" help:"List the targets."`
}

func (*targetAddCommand) Help() string {
	return `Works while sekishod runs and while it does not. The token is printed on standard output, is good for one hour and for one connector. For a target that is there already, logins, labels, class, addresses, mapping and door change at once; its connector stays, and the token can be thrown away.

Examples:

    sekishod target add --config /etc/sekisho/sekishod.yaml web1 --login deploy --label env:dev
    sekishod target add --config /etc/sekisho/sekishod.yaml db1 --login postgres --login root --label env:prod --class pii --audited
    sekishod target add --config /etc/sekisho/sekishod.yaml db2 --login postgres --address 192.0.2.7 --address 2001:db8:7::/64
    sekishod target add --config /etc/sekisho/sekishod.yaml ci7 --login runner --class ci --mapping class
`
}

type targetAddCommand struct {
	Config  string   `required:"" type:"path" placeholder:"FILE" help:"The configuration file (YAML)."`
	Name    string   `arg:"" help:"What people type after ssh."`
	Login   []string `required:"" placeholder:"ACCOUNT" help:"Unix accounts that can be reached (repeatable)."`
	Label   []string `placeholder:"KEY:VALUE" help:"Labels that policies refer to (repeatable)."`
	Address []string `placeholder:"ADDRESS" help:"IP addresses and CIDR ranges that mean it, where somebody comes by address; the narrowest range wins (repeatable)."`
	Class   string   `help:"How sensitive its data is, such as pii."`
	Mapping string   `enum:"target,class,login,email,anyone" default:"target" help:"By which principal of a certificate one logs in: LOGIN:TARGET, LOGIN:CLASS, the login, the person's e-mail address, or people for everybody (target, class, login, email, anyone). See certificates.md."`
	Audited bool     `help:"Trust the gateway CA only, so that nobody gets there except through the audit door."`
	Replace bool     `help:"Let the new connector take over from a live one."`
}

// Run writes to the database beside a sekishod that may be running, and prints the token.
func (c *targetAddCommand) Run(ctx context.Context) error {
	if err := sekisho.CheckTargetName(c.Name); err != nil {
		return err
	}
	cfg, err := LoadConfig(c.Config)
	if err != nil {
		return err
	}
	h, err := openHouse(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer h.close()
	token, err := control.NewJoinToken(ctx, h.store, h.events.Append, control.JoinParams{
		Name:    c.Name,
		Targets: []sekisho.Target{{Name: c.Name, Labels: c.Label, Class: c.Class, Logins: c.Login, Audited: c.Audited, Mapping: mapping(c.Mapping), Addresses: c.Address}},
		Replace: c.Replace,
		Actor:   administrator(),
		Now:     time.Now(),
	})
	if err != nil {
		return err
	}
	fmt.Println(token)
	fmt.Fprintf(os.Stderr, "On the host of %s, within an hour: sekisho-connector join --config FILE --token-file FILE\n", c.Name)
	return nil
}

// mapping leaves the usual one out.
func mapping(word string) sekisho.Mapping {
	if m := sekisho.Mapping(word); m != sekisho.MapTarget {
		return m
	}
	return ""
}

// administrator names who works on the control host itself.
func administrator() string {
	if u, err := user.Current(); err == nil {
		return "administrator:" + u.Username
	}
	return "administrator"
}

type targetListCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration file (YAML)."`
}

// Run lists the targets beside a sekishod that may be running.
func (c *targetListCommand) Run(ctx context.Context) error {
	cfg, err := LoadConfig(c.Config)
	if err != nil {
		return err
	}
	h, err := openHouse(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer h.close()
	all, err := h.store.Targets(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tLOGINS\tLABELS\tCLASS\tAUDITED\tMAPPING\tADDRESSES")
	for _, t := range all {
		audited := "no"
		if t.Audited {
			audited = "yes"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.Name, words(t.Logins), words(t.Labels), words([]string{t.Class}), audited, cmp.Or(t.Mapping, sekisho.MapTarget), words(t.Addresses))
	}
	return w.Flush()
}

// words joins what stands in one column; nothing is a dash.
func words(list []string) string {
	if text := strings.Join(list, " "); text != "" {
		return text
	}
	return "-"
}
