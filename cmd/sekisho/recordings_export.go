package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

type recordingsExportCmd struct {
	Recording string   `arg:"" name:"session|file" suggest:"recorded" help:"Session ID, or a downloaded file."`
	Key       string   `suggest:"keys" placeholder:"KEY" help:"Private key: a file, a name in the key folder, or a pkcs11: URI; if not given, the one in the key folder that opens the recording."`
	Signer    []string `sep:"none" placeholder:"LINE" help:"Public key line of a gateway to trust, instead of those learned at login."`
	Format    string   `enum:"asciicast,asciicast-v3,script,script-multi,text,json,ssh-log" default:"asciicast" help:"asciicast, asciicast-v3, script, script-multi, text, json or ssh-log."`
	Channel   *uint32  `placeholder:"N" help:"Which channel of the session; the first one with a program if not given. text and json hold all."`
	To        string   `type:"path" placeholder:"FILE" help:"For ssh-log: the public key that the copy is sealed to."`
	Out       string   `short:"o" placeholder:"FILE" help:"Where it goes; stdout if not given."`
}

func (*recordingsExportCmd) Help() string {
	return `Writes an opened copy of a recording.

"asciicast" (version 2) and "asciicast-v3" are for asciinema's players, one channel of the session with the target's bytes as they were. "script" is a typescript of script(1), and beside it FILE.timing, with which scriptreplay plays it; "script-multi" is the same with window changes, signals and kept input (scriptreplay --log-io, since util-linux 2.35). Players hand the bytes to your terminal as they are: play is for recordings that you do not trust.

"text" is to read and search: what was on the screen, without control sequences. "json" has one object a line for every entry of every channel.

"ssh-log" is the container of Cloudflare's ssh-log-cli, sealed to the public key in the file given with --to.

But for ssh-log the copy is not sealed, and none is signed: handle it like the session itself.

Examples:

    sekisho recordings export ses_k5xqz7... --key auditor.key -o session.cast
    sekisho recordings export ses_k5xqz7....rec --key auditor.key --format text | less
    sekisho recordings export ses_k5xqz7....rec --key auditor.key --format json | jq 'select(.kind == "exec")'
    sekisho recordings export ses_k5xqz7....rec --key auditor.key --format script -o typescript
    scriptreplay --timing typescript.timing typescript
    sekisho recordings export ses_k5xqz7....rec --key auditor.key --format ssh-log --to log.pub -o session.log
`
}

func (cmd *recordingsExportCmd) Run(a *app) error {
	if err := cmd.check(); err != nil {
		return err
	}
	src, err := a.openRecording(cmd.Recording)
	if err != nil {
		return err
	}
	defer src.close()
	r, err := a.reader(src, cmd.Key, cmd.Signer)
	if err != nil {
		return err
	}
	if cmd.Out != "" && cmd.Out != "-" {
		bar := a.progress(src.total)
		defer bar.done()
		src.Reader = io.TeeReader(src.Reader, bar)
	}
	read := &noting{Source: r}
	err = cmd.write(a, read)
	if err == nil && cmd.Channel == nil && cmd.Format != "text" && cmd.Format != "json" {
		read.tellPrograms(a.err)
	}
	tellLost(a.err, read.lost)
	return src.bad(err)
}

// check refuses what cannot be written before anything is fetched.
func (cmd *recordingsExportCmd) check() error {
	toFile := cmd.Out != "" && cmd.Out != "-"
	switch all := cmd.Format == "text" || cmd.Format == "json"; {
	case all && cmd.Channel != nil:
		return &usageError{fmt.Sprintf("--format %s writes all channels; --channel is for the others", cmd.Format)}
	case (cmd.Format == "ssh-log") != (cmd.To != ""):
		return &usageError{"--format ssh-log and --to FILE go together"}
	case cmd.Format == "ssh-log" && !toFile, cmd.timing() != "" && !toFile:
		return &usageError{fmt.Sprintf("--format %s needs -o FILE", cmd.Format)}
	}
	return nil
}

// timing is the form of the timing file, "" for a format that has none.
func (cmd *recordingsExportCmd) timing() replay.Timing {
	return map[string]replay.Timing{"script": replay.TimingClassic, "script-multi": replay.TimingMulti}[cmd.Format]
}

// write makes the file, or two of them.
func (cmd *recordingsExportCmd) write(a *app, r replay.Source) error {
	return a.output(cmd.Out, func(w io.Writer) error {
		if cmd.timing() == "" {
			return kept(cmd.export(w, r))
		}
		return a.output(cmd.Out+".timing", func(times io.Writer) error {
			return kept(replay.Script(w, times, r, channelOf(cmd.Channel), cmd.timing()))
		})
	})
}

// kept says of a cut recording that what is there was written and is worth keeping.
func kept(err error) error {
	if errors.Is(err, recording.ErrCut) {
		return partly{err}
	}
	return err
}

func (cmd *recordingsExportCmd) export(w io.Writer, r replay.Source) error {
	switch cmd.Format {
	case "text":
		return replay.Transcript(w, r)
	case "json":
		return replay.JSONLines(w, r)
	case "asciicast-v3":
		return replay.Asciicast3(w, r, channelOf(cmd.Channel))
	case "ssh-log":
		return cmd.sshLog(w, r)
	}
	return replay.Asciicast(w, r, channelOf(cmd.Channel))
}

func (cmd *recordingsExportCmd) sshLog(w io.Writer, r replay.Source) error {
	line, err := os.ReadFile(cmd.To)
	if err != nil {
		return err
	}
	to, err := replay.ParseSSHLogKey(string(line))
	if err != nil {
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("%s is no public key of ssh-log-cli.", cmd.To),
			Next:     "Make a pair with ssh-log-cli generate-key-pair, and give the .pub file.", Cause: err,
		}
	}
	file, ok := w.(io.WriteSeeker)
	if !ok {
		return errors.New("ssh-log can only be written to a file")
	}
	return replay.SSHLog(file, r, channelOf(cmd.Channel), to)
}
