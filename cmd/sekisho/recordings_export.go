package main

import (
	"errors"
	"io"

	"github.com/sekisho/sekisho/recording"
)

type recordingsExportCmd struct {
	Recording string   `arg:"" name:"session|file" help:"Session ID, or a downloaded file."`
	Key       string   `required:"" type:"path" placeholder:"FILE" help:"Private key that the recording was sealed to."`
	Signer    []string `sep:"none" placeholder:"LINE" help:"Public key line of a gateway to trust, instead of those learned at login."`
	Format    string   `enum:"asciicast,text,json" default:"asciicast" help:"asciicast, text or json."`
	Channel   *uint32  `placeholder:"N" help:"Which channel goes into an asciicast; the first one with a program if not given."`
	Out       string   `short:"o" placeholder:"FILE" help:"Where it goes; stdout if not given."`
}

func (*recordingsExportCmd) Help() string {
	return `Writes an opened copy of a recording: "asciicast" (version 2) for players, one channel of the session with the target's bytes as they were; "text" to read and search, without control sequences; "json" with one object a line for every entry of every channel.

The copy is not sealed and not signed: handle it like the session itself.

Examples:

    sekisho recordings export ses_k5xqz7... --key auditor.key -o session.cast
    sekisho recordings export ses_k5xqz7....rec --key auditor.key --format text | less
    sekisho recordings export ses_k5xqz7....rec --key auditor.key --format json | jq 'select(.kind == "exec")'
`
}

func (cmd *recordingsExportCmd) Run(a *app) error {
	src, err := a.openRecording(cmd.Recording)
	if err != nil {
		return err
	}
	defer src.close()
	r, err := a.reader(src, cmd.Key, cmd.Signer)
	if err != nil {
		return err
	}
	err = a.output(cmd.Out, func(w io.Writer) error {
		err := cmd.export(w, r)
		if errors.Is(err, recording.ErrCut) { // what is there was written
			err = partly{err}
		}
		return err
	})
	return bad(err)
}

func (cmd *recordingsExportCmd) export(w io.Writer, r *recording.Reader) error {
	switch cmd.Format {
	case "text":
		return recording.Transcript(w, r)
	case "json":
		return recording.JSONLines(w, r)
	}
	channel := uint32(recording.AnyChannel)
	if cmd.Channel != nil {
		channel = *cmd.Channel
	}
	return recording.Asciicast(w, r, channel)
}
