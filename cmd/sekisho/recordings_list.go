package main

import (
	"fmt"
	"strings"
	"time"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

// recordingFilter says which recordings a command is about; the server knows some of it, and the rest is looked at here.
type recordingFilter struct {
	Person  string `placeholder:"EMAIL" help:"Only sessions of this person."`
	Target  string `placeholder:"NAME" help:"Only sessions on this target."`
	Session string `placeholder:"SESSION" help:"Only this session."`
	State   string `enum:",open,closed,interrupted" default:"" placeholder:"STATE" help:"Only recordings that are open, closed or interrupted."`
	Since   string `placeholder:"TIME" help:"Only sessions that began at this time or later: 2h, 7d, 2026-11-22, or RFC 3339."`
	Until   string `placeholder:"TIME" help:"Only sessions that began before this time."`
}

// span reads the times.
func (f *recordingFilter) span(now time.Time) (since, until time.Time, err error) {
	if since, err = parseSince(f.Since, now); err != nil {
		return since, until, err
	}
	if until, err = parseSince(f.Until, now); err != nil {
		return since, until, &usageError{strings.Replace(err.Error(), "--since", "--until", 1)}
	}
	return since, until, nil
}

// chosen lists recordings newest first, limit at the most: those before a session if one is given.
func (a *app) chosen(f *recordingFilter, before string, limit int) ([]recordingInfo, error) {
	if f.Session != "" && !isSession(f.Session) {
		return nil, &usageError{fmt.Sprintf("--session %q is no session ID", f.Session)}
	}
	since, until, err := f.span(time.Now())
	if err != nil {
		return nil, err
	}
	all := []recordingInfo{}
	asked := int32(maxAsked)
	if f.State == "" && until.IsZero() { // no page is larger than what is wanted
		asked = int32(min(limit, maxAsked))
	}
	for {
		page, err := a.listRecordings(&apiv1.ListRecordingsRequest{
			Person: f.Person, Target: f.Target, Session: f.Session, Before: before, Limit: asked,
		})
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			if r.Started.Before(since) || len(all) == limit {
				return all, nil
			}
			if (until.IsZero() || r.Started.Before(until)) && (f.State == "" || f.State == r.State) {
				all = append(all, r)
			}
		}
		if len(page) < int(asked) || len(all) == limit {
			return all, nil
		}
		if before == page[len(page)-1].Session {
			return nil, fmt.Errorf("the server's pages do not go on after %s", plain(before))
		}
		before = page[len(page)-1].Session
	}
}

type recordingsListCmd struct {
	recordingFilter `embed:""`
	Limit           int    `default:"50" help:"How many at the most."`
	Before          string `placeholder:"SESSION" help:"Only sessions older than this one."`
	JSON            bool   `name:"json" help:"Print JSON."`
}

func (*recordingsListCmd) Help() string {
	return `Lists the recordings that you may see, newest first. STATE is "open" while the session runs, "closed" when the file has its signed end, and "interrupted" when the gateway died before.

Examples:

    sekisho recordings list --person alice@example.com
    sekisho recordings list --since 7d --state interrupted
    sekisho recordings list --target web1 --json | jq -r '.[].session'
`
}

// maxListed bounds what is held of a list.
const maxListed = 1_000_000

func checkLimit(n int) error {
	if n < 1 || n > maxListed {
		return &usageError{fmt.Sprintf("--limit must be between 1 and %d", maxListed)}
	}
	return nil
}

func (cmd *recordingsListCmd) Run(a *app) error {
	if err := checkLimit(cmd.Limit); err != nil {
		return err
	}
	all, err := a.chosen(&cmd.recordingFilter, cmd.Before, cmd.Limit+1) // one more shows whether there are more
	if err != nil {
		return err
	}
	shown := all[:min(len(all), cmd.Limit)]
	if cmd.JSON {
		return a.json(shown)
	}
	rows := [][]string{}
	for _, r := range shown {
		rows = append(rows, []string{r.Session, r.Person, r.Login, r.Target, r.State, local(r.Started), size(r.Bytes)})
	}
	if err := a.table([]string{"SESSION", "PERSON", "LOGIN", "TARGET", "STATE", "STARTED", "SIZE"}, rows); err != nil {
		return err
	}
	if len(shown) < len(all) {
		fmt.Fprintf(a.err, "There are more: give --before %s besides, or a higher --limit.\n", plain(shown[len(shown)-1].Session))
	}
	return nil
}
