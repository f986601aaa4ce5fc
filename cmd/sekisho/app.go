package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/client"
	"github.com/sekisho/sekisho/recording"
)

// cli is the grammar of the command line; its commands stand in the files of their names.
type cli struct {
	Home string `help:"Folder for configuration and sign-in." placeholder:"DIR" env:"SEKISHO_HOME"`

	Login     loginCmd     `cmd:"" group:"you" help:"Sign in with your organisation's account."`
	Status    statusCmd    `cmd:"" group:"you" help:"Show who you are signed in as."`
	Logout    logoutCmd    `cmd:"" group:"you" help:"End the sign-in."`
	Targets   targetsCmd   `cmd:"" group:"ssh" help:"List the targets you may reach."`
	SSHConfig sshConfigCmd `cmd:"" name:"ssh-config" group:"ssh" help:"Print or install the lines that make plain ssh work."`
	Connect   connectCmd   `cmd:"" group:"ssh" help:"Carry one ssh connection (used by ssh itself)."`

	Sessions   sessionsCmd   `cmd:"" group:"records" help:"List, watch and end sessions that run."`
	Recordings recordingsCmd `cmd:"" group:"records" help:"List, check and read recordings."`
	Keys       keysCmd       `cmd:"" group:"records" help:"Keys that open recordings; SSH keys that log in for a time."`
	Audit      auditCmd      `cmd:"" group:"records" help:"Read and check the audit log."`

	CA caCmd `cmd:"" name:"ca" group:"ca" help:"Certificates: get them, find them, revoke them; the CAs and their keys."`

	Completion completionCmd `cmd:"" group:"other" help:"Print the shell's completion script."`
	Version    versionCmd    `cmd:"" group:"other" help:"Print the version."`
}

// groups are the headings of the command list, in the order of the fields above.
var groups = []kong.Group{
	{Key: "you", Title: "Your sign-in:"},
	{Key: "ssh", Title: "Plain ssh:"},
	{Key: "records", Title: "What is done and was recorded:"},
	{Key: "ca", Title: "Certificates:"},
	{Key: "other", Title: "Other:"},
	{Key: "opening", Title: "Keys that open recordings:"},
	{Key: "publishing", Title: "SSH keys that log in without a certificate (published keys):"},
}

// app is what every command gets to work with.
type app struct {
	ctx      context.Context
	in       io.Reader
	out, err io.Writer
	// home is the value of --home; client.Open knows what "" means.
	home string
	// colour says that out is a terminal whose owner wants colours, terminal that err is one.
	colour, terminal bool
	model            *kong.Application
	// keys are those that were opened already, by file or URI: a person is asked once for each.
	keys map[string]*recording.PrivateKey
	// closers end what a command leaves open until its end, such as the session with a token.
	closers []func() error
}

// atEnd has a function called when the command has run.
func (a *app) atEnd(f func() error) { a.closers = append(a.closers, f) }

func (a *app) close() error {
	var errs []error
	for _, f := range slices.Backward(a.closers) {
		errs = append(errs, f())
	}
	a.closers = nil
	return errors.Join(errs...)
}

func newApp(ctx context.Context, in io.Reader, out, errs *os.File) *app {
	_, toTerminal := terminalAt(out)
	_, tellsTerminal := terminalAt(errs)
	return &app{
		ctx: ctx, in: in, out: out, err: errs,
		colour:   toTerminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		terminal: tellsTerminal,
	}
}

// client opens what an earlier login has left.
func (a *app) client() (*client.Client, error) { return client.Open(a.home) }

// main runs one command line and gives the exit code.
func (a *app) main(args []string) int {
	var grammar cli
	exit := -1
	parser, err := kong.New(&grammar,
		kong.Name("sekisho"),
		kong.Description("Plain ssh with your organisation's sign-in: no keys to keep, no hosts to trust by hand."),
		kong.Writers(a.out, a.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.ExplicitGroups(groups),
		kong.Exit(func(code int) { exit = code }),
	)
	if err != nil {
		fmt.Fprintf(a.err, "sekisho: %v\n", err)
		return 2
	}
	a.model = parser.Model
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help": // as many programs have it
		args = append(args[1:], "--help")
	case args[0] == "--version":
		args = []string{"version"}
	}
	parsed, err := parser.Parse(args)
	switch {
	case exit >= 0: // --help has been printed
		return exit
	case unread(err):
		return 1
	case err != nil:
		words := strings.Replace(err.Error(), `one of "",`, "one of ", 1) // of an enum, the empty word is only "not given"
		fmt.Fprintf(a.err, "sekisho: %s\nRun \"%s --help\" to see how it is used.\n", words, mistyped(err))
		return 2
	}
	a.home = grammar.Home
	if err := errors.Join(parsed.Run(a), a.close()); err != nil {
		return a.fail(err)
	}
	return 0
}

// unread says that whoever read what is printed, such as head, has enough: nothing to complain about.
func unread(err error) bool {
	var file *fs.PathError
	return errors.As(err, &file) && errors.Is(file, syscall.EPIPE)
}

// mistyped is the command as far as the command line named one.
func mistyped(err error) string {
	command := "sekisho"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		for _, p := range parse.Context.Path {
			if p.Command != nil {
				command += " " + p.Command.Name
			}
		}
	}
	return command
}

// exitError is an error of a command that says by its exit code more than that it failed.
type exitError struct {
	code int
	error
}

func (e *exitError) Unwrap() error { return e.error }

// fail tells the person what went wrong, in the words that are meant for them, and gives the exit code.
func (a *app) fail(err error) int {
	var usage *usageError
	var refusal *sekisho.Refusal
	switch {
	case unread(err):
	case errors.As(err, &usage):
		fmt.Fprintf(a.err, "sekisho: %v\n", usage)
		return 2
	case errors.Is(err, context.Canceled) && !errors.As(err, &refusal):
		fmt.Fprintln(a.err, "sekisho: interrupted")
		return 130 // as shells say of SIGINT
	default:
		fmt.Fprintf(a.err, "sekisho: %s\n", spoken(err))
	}
	if exit := new(exitError); errors.As(err, &exit) {
		return exit.code
	}
	return 1
}

// spoken is what a person is told of an error: the sentence of a refusal, or all of it. It may hold what a server or a
// recording says.
func spoken(err error) string {
	var refusal *sekisho.Refusal
	if errors.As(err, &refusal) {
		return plain(sekisho.Say(refusal))
	}
	return plainLines(err.Error())
}

// usageError is a command line that parses but makes no sense.
type usageError struct{ text string }

func (u *usageError) Error() string { return u.text }
