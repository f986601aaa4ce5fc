package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/terminal"
)

type recordingsPlayCmd struct {
	Recording string        `arg:"" name:"session|file" help:"Session ID, or a downloaded file."`
	Key       string        `suggest:"keys" placeholder:"KEY" help:"Private key: a file, a name in the key folder, or a pkcs11: URI; if not given, the one in the key folder that opens the recording."`
	Signer    []string      `sep:"none" placeholder:"LINE" help:"Public key line of a gateway to trust, instead of those learned at login."`
	Speed     float64       `default:"1" help:"How many times as fast as it was."`
	IdleLimit time.Duration `name:"idle-limit" default:"2s" help:"Longest pause; 0 keeps all pauses."`
	Channel   *uint32       `placeholder:"N" help:"Which channel of the session; the first one with a program if not given."`
}

func (*recordingsPlayCmd) Help() string {
	return `Replays what the person saw, at the pace at which they saw it. Only output is played, and only text, colours and cursor movement of it: sequences that would write your clipboard, make your terminal answer or change what your keys do are left out.

Examples:

    sekisho recordings play ses_k5xqz7... --key auditor.key
    sekisho recordings play ses_k5xqz7....rec --key auditor.key --speed 4 --idle-limit 500ms
`
}

func (cmd *recordingsPlayCmd) Run(a *app) error {
	if !(cmd.Speed > 0) || cmd.IdleLimit < 0 {
		return &usageError{"--speed must be above 0, and --idle-limit not below"}
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
	if s := r.Header().Session; s.Target != "" { // nothing, if the recording is cut before it says so
		fmt.Fprintf(a.err, "%s as %s on %s, %s; Ctrl-C stops.\n",
			plain(s.Identity.Subject), plain(s.Login), plain(s.Target), local(s.Started))
	}
	err = cmd.play(a, r)
	if f, ok := a.out.(*os.File); ok && isatty.IsTerminal(f.Fd()) { // leave it as it was found
		fmt.Fprint(a.out, terminal.Reset+"\r\n")
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return src.bad(err)
}

// play writes the output of one channel with its pauses; it always ends with an error, io.EOF when all was played.
func (cmd *recordingsPlayCmd) play(a *app, r *recording.Reader) error {
	var screens [2]terminal.Filter // output, standard error
	var buf []byte
	last := time.Duration(0)
	met := cmd.Channel == nil
	played, files := false, 0
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) && !met {
			return &sekisho.Refusal{
				Sentence: fmt.Sprintf("The recording has no channel %d.", *cmd.Channel),
				Next:     "sekisho recordings export --format json shows those it has.",
			}
		}
		if errors.Is(err, io.EOF) && !played && files > 0 {
			fmt.Fprintf(a.err, "There is nothing to play: %s; see sekisho recordings export --format text.\n", operations(files))
		}
		if err != nil {
			return err
		}
		if e.Kind == recording.File {
			files++
		}
		if cmd.Channel == nil && e.Kind != recording.Note && e.Kind != recording.ChannelOpen && e.Kind != recording.ChannelClose {
			cmd.Channel = &e.Channel
		}
		if cmd.Channel == nil || e.Channel != *cmd.Channel {
			continue
		}
		met = true
		screen := &screens[0]
		switch e.Kind {
		case recording.Output:
		case recording.Stderr:
			screen = &screens[1]
		default:
			continue
		}
		if err := cmd.pause(a.ctx, e.At-last); err != nil {
			return err
		}
		last, played = max(last, e.At), true
		buf = screen.Append(buf[:0], e.Data)
		if _, err := a.out.Write(buf); err != nil {
			return err
		}
	}
}

func operations(n int) string {
	if n == 1 {
		return "1 file operation"
	}
	return fmt.Sprintf("%d file operations", n)
}

func (cmd *recordingsPlayCmd) pause(ctx context.Context, gap time.Duration) error {
	if cmd.IdleLimit > 0 {
		gap = min(gap, cmd.IdleLimit)
	}
	if gap = time.Duration(float64(gap) / cmd.Speed); gap <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(gap)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
