// Command sekishod is control with a gateway in it: the whole of a small site in one process.
//
//	sekishod --config sekishod.yaml
//
// It serves one HTTPS listener (API, sign-in pages, connectors' links, clients' streams) and one SSH port, keeps
// its state in SQLite and its recordings in a folder. See docs/operating.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sekisho/sekisho"
)

const examples = `Examples:

    sekishod --config /etc/sekisho/sekishod.yaml --check
    sekishod --config /etc/sekisho/sekishod.yaml
    sekishod target add --config /etc/sekisho/sekishod.yaml db1 --login root --label env:prod --audited

Exits with 1 if something is in the way, and with 2 if it is used wrongly.`

type cli struct {
	Version kong.VersionFlag `help:"Print the version and exit."`

	Run    runCommand    `cmd:"" default:"withargs" help:"Serve until SIGTERM (the default)."`
	Target targetCommand `cmd:"" help:"List targets, add them, or change them."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	parser := kong.Must(&c,
		kong.Name("sekishod"),
		kong.Description("Control and gateway of Sekisho, Zero Trust SSH. SIGTERM drains: no new sessions, open ones get time to end.\n\n"+examples),
		kong.Vars{"version": sekisho.Version},
		kong.BindTo(ctx, (*context.Context)(nil)))
	k, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "sekishod: %v\nTry: sekishod --help\n", err)
		stop()
		os.Exit(2)
	}
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "sekishod:", err)
		stop()
		os.Exit(1)
	}
}
