package main

import (
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/client"
)

type recordingsCmd struct {
	List     recordingsListCmd     `cmd:"" help:"List recordings, newest first."`
	Show     recordingsShowCmd     `cmd:"" help:"Show what is known about one recording."`
	Download recordingsDownloadCmd `cmd:"" help:"Fetch the sealed file of a recording."`
	Verify   recordingsVerifyCmd   `cmd:"" help:"Check that a recording is whole and genuine."`
	Play     recordingsPlayCmd     `cmd:"" help:"Replay a recording in this terminal."`
	Export   recordingsExportCmd   `cmd:"" help:"Write a recording as asciicast, text or JSON."`
}

type recordingsListCmd struct {
	Person string `placeholder:"EMAIL" help:"Only sessions of this person."`
	Target string `placeholder:"NAME" help:"Only sessions on this target."`
	Limit  int32  `default:"50" help:"How many at the most, up to 1000."`
	Before string `placeholder:"SESSION" help:"Only sessions older than this one."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (*recordingsListCmd) Help() string {
	return `Lists the recordings that you may see, newest first. STATE is "open" while the session runs, "closed" when the file has its signed end, and "interrupted" when the gateway died before.

Examples:

    sekisho recordings list --person alice@example.com
    sekisho recordings list --target web1 --json | jq -r '.[].session'
`
}

// recordingInfo is a recording as --json shows it.
type recordingInfo struct {
	Session    string    `json:"session"`
	Person     string    `json:"person"`
	Target     string    `json:"target"`
	Login      string    `json:"login"`
	State      string    `json:"state"`
	Started    time.Time `json:"started"`
	Ended      time.Time `json:"ended,omitzero"`
	Bytes      int64     `json:"bytes"`
	Chain      string    `json:"chain,omitempty"`
	Recipients []string  `json:"recipients"`
	Address    string    `json:"client_address"`
}

func newRecordingInfo(m *apiv1.Recording) recordingInfo {
	return recordingInfo{
		m.Session, m.Person, m.Target, m.Login, m.State, asTime(m.Started), asTime(m.Ended), m.Bytes, m.Chain,
		append([]string{}, m.Recipients...), m.ClientAddress,
	}
}

// asTime leaves a time that was not given zero; the protobuf's own would be 1970.
func asTime(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func (cmd *recordingsListCmd) Run(a *app) error {
	if cmd.Limit < 1 || cmd.Limit > 1000 {
		return &usageError{"--limit must be between 1 and 1000"}
	}
	all, err := a.listRecordings(&apiv1.ListRecordingsRequest{
		Person: cmd.Person, Target: cmd.Target, Limit: cmd.Limit, Before: cmd.Before,
	})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return a.json(all)
	}
	rows := [][]string{}
	for _, r := range all {
		rows = append(rows, []string{r.Session, r.Person, r.Login, r.Target, r.State, local(r.Started), size(r.Bytes)})
	}
	if err := a.table([]string{"SESSION", "PERSON", "LOGIN", "TARGET", "STATE", "STARTED", "SIZE"}, rows); err != nil {
		return err
	}
	if len(all) == int(cmd.Limit) {
		fmt.Fprintf(a.err, "There may be more: sekisho recordings list --before %s\n", plain(all[len(all)-1].Session))
	}
	return nil
}

func (a *app) listRecordings(req *apiv1.ListRecordingsRequest) ([]recordingInfo, error) {
	c, err := a.signedIn()
	if err != nil {
		return nil, err
	}
	res, err := c.Recordings().List(a.ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	all := []recordingInfo{}
	for _, m := range res.Msg.Recordings {
		all = append(all, newRecordingInfo(m))
	}
	return all, nil
}

// recordingOf asks the server what it knows about one session's recording.
func (a *app) recordingOf(session string) (recordingInfo, error) {
	all, err := a.listRecordings(&apiv1.ListRecordingsRequest{Session: session, Limit: 1})
	if err != nil {
		return recordingInfo{}, err
	}
	if len(all) != 1 || all[0].Session != session {
		return recordingInfo{}, &sekisho.Refusal{
			Sentence: fmt.Sprintf("There is no recording of session %s.", session),
			Next:     "sekisho recordings list shows those there are.",
		}
	}
	return all[0], nil
}

// signedIn is the client of somebody who has signed in; it starts no browser.
func (a *app) signedIn() (*client.Client, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	_, err = c.EnsureSignIn(a.ctx, "", nil)
	return c, err
}

type recordingsShowCmd struct {
	Recording string `arg:"" name:"session|file" help:"Session ID, or a downloaded file."`
	Key       string `type:"path" placeholder:"FILE" help:"Private key; shows what is sealed in a file, too."`
	JSON      bool   `name:"json" help:"Print JSON."`
}

func (*recordingsShowCmd) Help() string {
	return `Shows what the server keeps about the recording of a session; or, of a downloaded file, what its header says in the clear, and with --key whose session it was. Use verify to learn whether it is genuine.

Examples:

    sekisho recordings show ses_k5xqz7...
    sekisho recordings show ses_k5xqz7....rec --key auditor.key
`
}

func (cmd *recordingsShowCmd) Run(a *app) error {
	info, err := cmd.info(a)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return a.json(info)
	}
	for _, line := range [][2]string{
		{"Session", info.Session}, {"Person", info.Person}, {"Login", info.Login}, {"Target", info.Target},
		{"State", info.State}, {"Started", local(info.Started)}, {"Ended", local(info.Ended)}, {"From", info.Address},
		{"Size", size(info.Bytes)}, {"Chain", info.Chain}, {"Opens with", strings.Join(info.Recipients, ", ")},
	} {
		if line[1] != "" {
			fmt.Fprintf(a.out, "%-11s %s\n", line[0], plain(line[1]))
		}
	}
	return nil
}

func (cmd *recordingsShowCmd) info(a *app) (recordingInfo, error) {
	if isSession(cmd.Recording) {
		return a.recordingOf(cmd.Recording)
	}
	src, err := a.openRecording(cmd.Recording)
	if err != nil {
		return recordingInfo{}, err
	}
	defer src.close()
	h, err := src.header(cmd.Key)
	if err != nil {
		return recordingInfo{}, bad(err)
	}
	s := h.Session
	return recordingInfo{
		Session: s.ID, Person: s.Identity.Subject, Target: s.Target, Login: s.Login, Started: s.Started,
		Bytes: src.total, Recipients: h.Recipients, Address: s.ClientAddress,
	}, nil
}

func isSession(name string) bool { return sekisho.CheckID("ses", name) }

// local is a time for people, empty for none.
func local(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// size is a number of bytes for people, empty for none.
func size(n int64) string {
	switch {
	case n <= 0:
		return ""
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
