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

type cli struct {
	Version kong.VersionFlag `help:"Print the version and exit."`

	Run    runCommand    `cmd:"" default:"withargs" help:"Serve until SIGTERM (the default)."`
	Target targetCommand `cmd:"" help:"Targets, kept in the database."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	k := kong.Parse(&c,
		kong.Name("sekishod"),
		kong.Description("Control and gateway of Sekisho, Zero Trust SSH. SIGTERM drains: no new sessions, open ones get time to end."),
		kong.Vars{"version": sekisho.Version},
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "sekishod:", err)
		stop()
		os.Exit(1)
	}
}
