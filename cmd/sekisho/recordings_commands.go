package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

type recordingsCommandsCmd struct {
	Recordings []string `arg:"" name:"session|file" suggest:"recorded" help:"Session IDs, or downloaded files."`
	Key        string   `suggest:"keys" placeholder:"KEY" help:"Private key that the recordings were sealed to: a file, a name in the key folder, or a pkcs11: URI."`
	Signer     []string `sep:"none" placeholder:"LINE" help:"Public key line of a gateway to trust, instead of those learned at login."`
	JSON       bool     `name:"json" help:"Print JSON."`

	bytes int // of the commands so far
}

func (*recordingsCommandsCmd) Help() string {
	return `Lists the commands that were run in sessions. What the client asked to be run ("ssh host command") is exact. What was typed into a shell is read off the screen: so completion, history and editing show what ran, and what is typed without being shown does not appear. FOUND says how a command was found, and SURE how sure it is that just this was run.

AT is the time within the session, for sekisho recordings play --at. Without --json what is not one plain word stands in double quotes, and long commands are cut.

Examples:

    sekisho recordings commands ses_k5xqz7... --key auditor.key
    sekisho recordings commands *.rec --key auditor.key --json | jq -r '.[].command'
`
}

// commandInfo is a command as --json shows it.
type commandInfo struct {
	Session    string    `json:"session"`
	Time       time.Time `json:"time"`
	At         float64   `json:"at"` // seconds
	Channel    uint32    `json:"channel"`
	Command    string    `json:"command"`
	Cut        bool      `json:"cut,omitempty"` // it went on
	Directory  string    `json:"directory,omitempty"`
	Exit       *int      `json:"exit,omitempty"`
	Signal     string    `json:"signal,omitempty"`
	Found      string    `json:"found"`
	Confidence string    `json:"confidence"`
}

func newCommandInfo(s sekisho.Session, c replay.Command) commandInfo {
	return commandInfo{
		s.ID, s.Started.Add(c.At).UTC(), replay.Seconds(c.At), c.Channel, c.Text, c.Cut, c.Directory, c.Exit, c.Signal, c.Found, c.Confidence,
	}
}

// maxCommands bounds how many commands are held of all recordings together, maxCommandBytes how many bytes of them.
const (
	maxCommands     = 1_000_000
	maxCommandBytes = 256 << 20
)

func (cmd *recordingsCommandsCmd) Run(a *app) error {
	all := []commandInfo{}
	var cut []error
	for _, name := range cmd.Recordings {
		err := cmd.read(a, name, &all)
		if errors.Is(err, recording.ErrCut) { // what comes before is in order
			cut = append(cut, err)
			cmd.tellCut(a, name, err)
		} else if err != nil {
			return bad(err)
		}
	}
	if cmd.JSON {
		return errors.Join(a.json(all), cmd.cut(cut))
	}
	return errors.Join(cmd.table(a, all), cmd.cut(cut))
}

// tellCut says which of several recordings has no end; cut says it of one alone, and in the end of all.
func (cmd *recordingsCommandsCmd) tellCut(a *app, name string, err error) {
	if len(cmd.Recordings) > 1 {
		fmt.Fprintf(a.err, "%s: %s\n", plain(name), plain(sekisho.Say(err)))
	}
}

func (cmd *recordingsCommandsCmd) cut(cut []error) error {
	switch {
	case len(cut) == 0:
		return nil
	case len(cmd.Recordings) == 1:
		return cut[0]
	}
	return &sekisho.Refusal{Sentence: fmt.Sprintf("%s without an end.", count(len(cut), "recording")), Next: "See above."}
}

func (cmd *recordingsCommandsCmd) read(a *app, name string, all *[]commandInfo) error {
	src, err := a.openRecording(name)
	if err != nil {
		return err
	}
	defer src.close()
	r, err := a.reader(src, cmd.Key, cmd.Signer)
	if err != nil {
		return err
	}
	return src.bad(replay.Commands(r, func(c replay.Command) error {
		cmd.bytes += len(c.Text) + len(c.Directory)
		if len(*all) >= maxCommands || cmd.bytes > maxCommandBytes {
			return &sekisho.Refusal{
				Sentence: fmt.Sprintf("There are more than %d commands, or %s of them.", maxCommands, size(maxCommandBytes)),
				Next:     "Name fewer recordings, or use sekisho recordings export --format json, which has commands of kind \"command\".",
			}
		}
		*all = append(*all, newCommandInfo(r.Header().Session, c))
		return nil
	}))
}

func (cmd *recordingsCommandsCmd) table(a *app, all []commandInfo) error {
	many := len(cmd.Recordings) > 1
	header := []string{"TIME", "AT", "CHANNEL", "DIRECTORY", "EXIT", "FOUND", "SURE", "COMMAND"}
	if many {
		header = append([]string{"SESSION"}, header...)
	}
	rows := [][]string{}
	for _, c := range all {
		row := []string{
			local(c.Time), replay.Clock(seconds(c.At)), fmt.Sprint(c.Channel), cell(c.Directory), c.exit(), cell(c.Found),
			cell(c.Confidence), quoted(short(c.Command)),
		}
		if many {
			row = append([]string{c.Session}, row...)
		}
		rows = append(rows, row)
	}
	return a.table(header, rows)
}

// exit is the exit status or the signal in a word.
func (c commandInfo) exit() string {
	switch {
	case c.Exit != nil:
		return strconv.Itoa(*c.Exit)
	case c.Signal != "":
		return cell("SIG" + c.Signal)
	}
	return ""
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
