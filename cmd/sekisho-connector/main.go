// Command sekisho-connector runs on the server side: it dials out to Sekisho, carries SSH streams to the targets that
// its configuration lists, and keeps their sshd trusting what Sekisho signs.
//
//	sekisho-connector join --config FILE --token-file FILE|-     once, with the token an administrator gave
//	sekisho-connector --config FILE                              run until SIGTERM, which drains
//	sekisho-connector --config FILE --check                      say what is wrong with the configuration
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sekisho/sekisho"
)

const examples = `Examples:

    sekisho-connector join --config /etc/sekisho/connector.yaml --token-file -
    sekisho-connector --config /etc/sekisho/connector.yaml --check
    sekisho-connector --config /etc/sekisho/connector.yaml

Exits with 1 if something is in the way that may pass, and with 2 if flags or configuration have to be changed first.`

type cli struct {
	Config  string           `required:"" type:"path" placeholder:"FILE" help:"Configuration file (YAML)."`
	Version kong.VersionFlag `help:"Print the version and exit."`

	Run  runCommand  `cmd:"" default:"withargs" help:"Keep the link up until SIGTERM (the default)."`
	Join joinCommand `cmd:"" help:"Join once, with a one-time token."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal does not wait for the draining
	os.Exit(start(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// Exit codes. A service manager should restart after 1 and not after 2.
const (
	exitFailed = 1 // something else than us was in the way; another try may do
	exitUsage  = 2 // flags or configuration have to be changed first
)

type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// errUsage marks what another try cannot mend.
var errUsage = errors.New("usage")

func start(ctx context.Context, args []string, std stdio) int {
	var c cli
	k, err := kong.New(&c, kong.Name("sekisho-connector"), kong.Vars{"version": sekisho.Version},
		kong.Description("The server side of Sekisho: dials out, so that nothing has to dial in.\n\n"+examples),
		kong.Writers(std.out, std.err), kong.Bind(&c, std), kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		fmt.Fprintln(std.err, "sekisho-connector:", err)
		return exitUsage
	}
	parsed, err := k.Parse(args)
	if err != nil {
		fmt.Fprintf(std.err, "sekisho-connector: %v\nTry: sekisho-connector --help\n", err)
		return exitUsage
	}
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(std.err, "sekisho-connector:", strings.TrimPrefix(err.Error(), errUsage.Error()+": "))
		if errors.Is(err, errUsage) {
			return exitUsage
		}
		return exitFailed
	}
	return 0
}
