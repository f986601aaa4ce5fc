package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type auditCmd struct {
	List   auditListCmd   `cmd:"" help:"List events, newest first."`
	Export auditExportCmd `cmd:"" help:"Write the whole log to a file that can be checked offline."`
	Verify auditVerifyCmd `cmd:"" help:"Check that no line of the log was changed, removed or added."`
}

type auditListCmd struct {
	Kind    string `placeholder:"KIND" suggest:"kinds" help:"Only events of this kind, or of all kinds that begin so if it ends in a dot (session.)."`
	Actor   string `placeholder:"WHO" help:"Only what this person, connector or gateway did."`
	Target  string `placeholder:"NAME" help:"Only events about this target."`
	Session string `placeholder:"SESSION" help:"Only events of this session or visit; which sessions came through it is told besides."`
	Since   string `placeholder:"TIME" help:"Only events from this time on: 2h, 7d, 2026-11-22, or RFC 3339."`
	Limit   int    `default:"50" help:"How many at the most."`
	JSON    bool   `name:"json" help:"Print the log's own lines, one JSON object each."`
}

func (*auditListCmd) Help() string {
	return `Lists what happened, newest first: who signed in, what was decided and by which policies, which certificates were made, what ran in which session. With --json the lines are printed exactly as the log holds them. Without, each event is one line: what could be taken for more than one word stands in double quotes, in which \n, \x1b and such stand for what would not be seen, and long values are cut.

Kinds: ` + strings.Join(eventKinds, ", ") + `.

Examples:

    sekisho audit list --actor alice@example.com --since 2h
    sekisho audit list --kind session. --target web1
    sekisho audit list --kind decision --json | jq 'select(.decision.effect == "deny")'
`
}

func (cmd *auditListCmd) Run(a *app) error {
	if cmd.Limit < 1 || cmd.Limit > 1_000_000 {
		return &usageError{"--limit must be between 1 and 1000000"}
	}
	if err := checkKind(cmd.Kind); err != nil {
		return err
	}
	since, err := parseSince(cmd.Since, time.Now())
	if err != nil {
		return err
	}
	req := &apiv1.ListEventsRequest{Kind: cmd.Kind, Actor: cmd.Actor, Target: cmd.Target, Session: cmd.Session}
	if !since.IsZero() {
		req.Since = timestamppb.New(since)
	}
	lines, err := a.events(req, cmd.Limit+1) // one more shows whether there are more
	if err != nil {
		return err
	}
	shown := lines[:min(len(lines), cmd.Limit)]
	if err := cmd.print(a, shown); err != nil {
		return err
	}
	if len(shown) < len(lines) {
		fmt.Fprintf(a.err, "Only the newest are shown, %d; more with --limit.\n", len(shown))
	}
	return a.tellInside(cmd.Session)
}

func (cmd *auditListCmd) print(a *app, lines [][]byte) error {
	if cmd.JSON {
		for _, line := range lines {
			if _, err := a.out.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		return nil
	}
	rows := [][]string{}
	for _, line := range lines {
		ev, err := parseEvent(line)
		if err != nil {
			return err
		}
		rows = append(rows, eventRow(ev))
	}
	return a.table([]string{"SEQ", "TIME", "KIND", "WHO", "TARGET", "DECISION", "WHAT"}, rows)
}

// maxAsked is how many events one call may ask for.
const maxAsked = 1000

// events asks for pages until there are enough or no more.
func (a *app) events(req *apiv1.ListEventsRequest, limit int) ([][]byte, error) {
	c, err := a.signedIn()
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for len(all) < limit {
		req.Limit = int32(min(limit-len(all), maxAsked))
		res, err := c.Audit().List(a.ctx, connect.NewRequest(req))
		if err != nil {
			return nil, err
		}
		page := res.Msg.Events
		if len(page) == 0 {
			break
		}
		all = append(all, page...)
		last, err := parseEvent(page[len(page)-1])
		if err != nil {
			return nil, err
		}
		if last.Seq == 0 { // before 0 would mean: from the newest
			break
		}
		if req.Before > 0 && last.Seq >= req.Before {
			return nil, fmt.Errorf("the server's pages overlap at event %d", last.Seq)
		}
		req.Before = last.Seq
	}
	return all[:min(len(all), limit)], nil
}

func parseEvent(line []byte) (*sekisho.Event, error) {
	var ev sekisho.Event
	if err := json.Unmarshal(line, &ev); err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	return &ev, nil
}

// parseSince reads a span before now, a day of this machine's time zone or a time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if span, err := time.ParseDuration(s); err == nil && span >= 0 {
		return now.Add(-span), nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, s, time.Local); err == nil {
		return day, nil
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at, nil
	}
	return time.Time{}, &usageError{fmt.Sprintf("--since %q is neither a span (2h, 7d) nor a day (2026-11-22) nor a time (2026-11-22T08:30:00Z)", s)}
}

type auditExportCmd struct {
	Out string `short:"o" required:"" placeholder:"FILE" help:"Where it goes, - for stdout."`
	Key string `placeholder:"KEY" help:"The log's verifier key, if not the one that login has learned."`
}

func (*auditExportCmd) Help() string {
	return `Writes the whole log, a JSON object a line, with the signed checkpoint as the last line, and checks it on the way. The file can be checked again by anybody who has the log's verifier key, without the server. What has arrived when something turns out to be wrong is kept.

Examples:

    sekisho audit export -o audit.jsonl
    sekisho audit verify audit.jsonl
`
}

func (cmd *auditExportCmd) Run(a *app) error {
	check, err := a.newCheck(cmd.Key, false)
	if err != nil {
		return err
	}
	var report string
	err = a.output(cmd.Out, func(w io.Writer) error {
		var err error
		if report, err = check.server(a, w); err != nil {
			return partly{err}
		}
		return nil
	})
	if err == nil {
		fmt.Fprint(a.err, report)
	}
	return err
}
