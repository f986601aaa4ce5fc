package main

import (
	"bufio"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type sessionsEndCmd struct {
	Session string `arg:"" optional:"" suggest:"to-end" help:"Session ID, as sekisho sessions list shows it."`
	Person  string `placeholder:"EMAIL" help:"All sessions of this person that you may end."`
	Reason  string `placeholder:"TEXT" help:"Why; the person is told, and the audit log keeps it. At most 200 characters."`
	Yes     bool   `help:"Do not ask before all of a person's sessions end; needed where there is no terminal to ask at."`
	JSON    bool   `name:"json" help:"Print JSON: the IDs of the sessions that are being ended."`
}

func (*sessionsEndCmd) Help() string {
	return `Ends a session at once: its person is told who ended it and why, then both connections are closed, within about a second. A stream that is passed through (DOOR "pass") is cut without a word, for the gateway cannot speak in it.

Your own sessions you may always end; those of others where a policy allows it (the action endSessions). The audit log says who ended what. The person stays signed in and may connect again, unless a policy says otherwise.

Exits with 0 if at least one session is being ended; with 1 if none is, because none runs or you may not end it, or because you said no; with 2 if the command line makes no sense. Of a session that you may not know of you hear only that it does not run or is not for you to see.

Examples:

    sekisho sessions end ses_k5xqz7... --reason "maintenance of db1 begins"
    sekisho sessions end --person mei@example.com --yes
`
}

func (cmd *sessionsEndCmd) Run(a *app) error {
	switch {
	case (cmd.Session == "") == (cmd.Person == ""):
		return &usageError{"name a session, or a person with --person, and not both"}
	case cmd.Session != "" && !isSession(cmd.Session):
		return &usageError{fmt.Sprintf("%q is no session ID; sekisho sessions list shows them", cmd.Session)}
	}
	c, err := a.signedIn()
	if err != nil {
		return err
	}
	if cmd.Person != "" && !cmd.Yes {
		if goOn, err := cmd.confirm(a); err != nil || !goOn {
			return err
		}
	}
	res, err := c.Sessions().End(a.ctx, connect.NewRequest(&apiv1.EndSessionsRequest{Session: cmd.Session, Person: cmd.Person, Reason: cmd.Reason}))
	if err != nil {
		return err
	}
	return cmd.report(a, res.Msg)
}

func (cmd *sessionsEndCmd) report(a *app, m *apiv1.EndSessionsResponse) error {
	if m.Others > 0 {
		fmt.Fprintf(a.err, "Not ended: %s that you may not end.\n", count(int(m.Others), "session"))
	}
	if cmd.JSON {
		if err := a.json(append([]string{}, m.Sessions...)); err != nil {
			return err
		}
	}
	if len(m.Sessions) == 0 {
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("There is no live session of %s that you may end.", cmd.Person),
			Next:     "sekisho sessions list shows those that you know of.",
		}
	}
	if cmd.JSON {
		return nil
	}
	for _, s := range m.Sessions {
		if _, err := fmt.Fprintf(a.out, "%s is being ended.\n", plain(s)); err != nil {
			return err
		}
	}
	return nil
}

// confirm asks somebody at a terminal; where nobody is, --yes must be given.
func (cmd *sessionsEndCmd) confirm(a *app) (bool, error) {
	if _, ok := terminalAt(a.in); !ok || !a.terminal {
		return false, &usageError{"all sessions of a person end only with --yes, where nobody can be asked"}
	}
	all, more, err := a.liveSessions(&apiv1.ListSessionsRequest{Person: cmd.Person, Limit: 1000})
	if err != nil {
		return false, err
	}
	n := 0
	for _, s := range all {
		if s.MayEnd {
			n++
			fmt.Fprintf(a.err, "%s  %s on %s  %s\n", plain(s.Session), plain(s.Login), plain(s.Target), plain(s.runs()))
		}
	}
	if n == 0 && !more {
		return true, nil // the server says so
	}
	fmt.Fprintf(a.err, "End %s of %s? [y/N] ", count(n, "session"), plain(cmd.Person))
	line, _ := bufio.NewReader(a.in).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer == "y" || answer == "yes" {
		return true, nil
	}
	return false, &sekisho.Refusal{Sentence: "Nothing was ended."}
}
