package main

import (
	"fmt"
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
	Commands recordingsCommandsCmd `cmd:"" help:"List the commands that were run in sessions."`
	Search   recordingsSearchCmd   `cmd:"" help:"Look for words in recordings."`
	Export   recordingsExportCmd   `cmd:"" help:"Write a recording as asciicast, script, text, JSON or ssh-log."`
	IDs      recordingsIDsCmd      `cmd:"" name:"ids" hidden:"" help:"Print recorded sessions, for completion."`
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
		if !isSession(m.Session) { // it would be taken for the name of a file here
			return nil, fmt.Errorf("the server lists a recording of session %.70q, which is no session's ID", m.Session)
		}
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
