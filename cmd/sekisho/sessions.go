package main

import (
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type sessionsCmd struct {
	List  sessionsListCmd  `cmd:"" help:"List sessions that run."`
	Watch sessionsWatchCmd `cmd:"" help:"See a session as its person sees it."`
	End   sessionsEndCmd   `cmd:"" help:"End a session, or all of a person's."`
	IDs   sessionsIDsCmd   `cmd:"" name:"ids" hidden:"" help:"Print sessions that run, for completion."`
}

type sessionsListCmd struct {
	Person string `placeholder:"EMAIL" help:"Only sessions of this person."`
	Target string `placeholder:"NAME" help:"Only sessions on this target."`
	Limit  int32  `default:"100" help:"How many at the most, up to 1000."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (*sessionsListCmd) Help() string {
	return `Lists the sessions that run now, newest first: your own, and those of others that a policy lets you watch or end, or whose recordings you may read.

IDLE is how long no byte has moved, RECORDED how strictly the session is recorded ("no": it is not, and cannot be watched), WATCHED by how many people, RUNS what its channels run. Where the gateway passes the stream through, it does not see what runs. --json has more: addresses, bytes, the device, what you may do with each.

Examples:

    sekisho sessions list
    sekisho sessions list --target db1
    sekisho sessions list --json | jq -r '.[] | select(.idle_seconds > 3600) | .session'
`
}

// sessionInfo is a live session as --json shows it.
type sessionInfo struct {
	Session  string        `json:"session"`
	Person   string        `json:"person"`
	Login    string        `json:"login"`
	Target   string        `json:"target"`
	Started  time.Time     `json:"started"`
	Idle     int64         `json:"idle_seconds"`
	BytesIn  int64         `json:"bytes_in"`
	BytesOut int64         `json:"bytes_out"`
	Way      string        `json:"way"`
	Parent   string        `json:"parent,omitempty"`
	Address  string        `json:"client_address"`
	Door     string        `json:"door"`
	Audit    string        `json:"audit,omitempty"`
	Recorded bool          `json:"recorded"`
	Watchers int32         `json:"watchers"`
	Channels []channelInfo `json:"channels"`
	Forwards int32         `json:"forwards"`
	SignIn   string        `json:"sign_in"`
	Device   string        `json:"device,omitempty"`
	Gateway  string        `json:"gateway"`
	MayWatch bool          `json:"may_watch"`
	MayEnd   bool          `json:"may_end"`
}

type channelInfo struct {
	Number  uint32 `json:"number"`
	Kind    string `json:"kind"`
	Command string `json:"command,omitempty"`
}

func newSessionInfo(m *apiv1.LiveSession) sessionInfo {
	s := sessionInfo{
		Session: m.Id, Person: m.Person, Login: m.Login, Target: m.Target, Started: asTime(m.Started), Idle: m.IdleSeconds,
		BytesIn: m.BytesIn, BytesOut: m.BytesOut, Way: m.Way, Parent: m.Parent, Address: m.ClientAddress, Door: m.Door,
		Audit: m.Audit, Recorded: m.Audit != "", Watchers: m.Watchers, Channels: []channelInfo{}, Forwards: m.Forwards,
		SignIn: m.SignIn, Device: m.Device, Gateway: m.Gateway, MayWatch: m.MayWatch, MayEnd: m.MayEnd,
	}
	for _, c := range m.Channels {
		s.Channels = append(s.Channels, channelInfo{c.Number, c.Kind, c.Command})
	}
	return s
}

func (cmd *sessionsListCmd) Run(a *app) error {
	if cmd.Limit < 1 || cmd.Limit > 1000 {
		return &usageError{"--limit must be between 1 and 1000"}
	}
	all, more, err := a.liveSessions(&apiv1.ListSessionsRequest{Person: cmd.Person, Target: cmd.Target, Limit: cmd.Limit})
	if err != nil {
		return err
	}
	if more {
		fmt.Fprintln(a.err, "There are more: ask for a person or a target, or raise --limit.")
	}
	if cmd.JSON {
		return a.json(all)
	}
	rows := [][]string{}
	for _, s := range all {
		rows = append(rows, []string{s.Session, s.Person, s.Login, s.Target, local(s.Started), span(s.Idle), s.recorded(), fmt.Sprint(s.Watchers), s.runs()})
	}
	return a.table([]string{"SESSION", "PERSON", "LOGIN", "TARGET", "STARTED", "IDLE", "RECORDED", "WATCHED", "RUNS"}, rows)
}

func (a *app) liveSessions(req *apiv1.ListSessionsRequest) (all []sessionInfo, more bool, err error) {
	c, err := a.signedIn()
	if err != nil {
		return nil, false, err
	}
	res, err := c.Sessions().List(a.ctx, connect.NewRequest(req))
	if err != nil {
		return nil, false, err
	}
	all = []sessionInfo{}
	for _, m := range res.Msg.Sessions {
		all = append(all, newSessionInfo(m))
	}
	return all, res.Msg.More, nil
}

func (s *sessionInfo) recorded() string {
	if !s.Recorded {
		return "no"
	}
	return s.Audit
}

// maxShown is how many characters of what a session runs stand in the table.
const maxShown = 60

// runs tells in a cell what the channels run, and how many forwards there are.
func (s *sessionInfo) runs() string {
	var parts []string
	for _, c := range s.Channels {
		parts = append(parts, strings.TrimSpace(c.Kind+" "+c.Command))
	}
	if s.Forwards > 0 {
		parts = append(parts, fmt.Sprintf("%d forwards", s.Forwards))
	}
	text := []rune(strings.Join(parts, "; "))
	if len(text) > maxShown {
		return string(text[:maxShown-1]) + "…"
	}
	return string(text)
}

// span is a number of seconds for people.
func span(seconds int64) string {
	d := time.Duration(seconds) * time.Second
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", seconds)
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
