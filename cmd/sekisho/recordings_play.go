package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
	"github.com/sekisho/sekisho/terminal"
)

type recordingsPlayCmd struct {
	Recording   string        `arg:"" name:"session|file" suggest:"recorded" help:"Session ID, or a downloaded file."`
	Key         string        `suggest:"keys" placeholder:"KEY" help:"Private key: a file, a name in the key folder, or a pkcs11: URI; if not given, the one in the key folder that opens the recording."`
	Signer      []string      `sep:"none" placeholder:"LINE" help:"Public key line of a gateway to trust, instead of those learned at login."`
	Speed       float64       `default:"1" help:"How many times as fast as it was."`
	IdleLimit   time.Duration `name:"idle-limit" default:"2s" help:"Longest pause; 0 keeps all pauses."`
	Channel     *uint32       `placeholder:"N" help:"Which channel of the session; the first one with a program if not given."`
	At          time.Duration `placeholder:"TIME" help:"Begin at this time of the session, such as 1m30s."`
	FromCommand int           `name:"from-command" placeholder:"N" help:"Begin with the Nth command that sekisho recordings commands lists for the channel."`
}

func (*recordingsPlayCmd) Help() string {
	return `Replays what the person saw, at the pace at which they saw it. Only output is played, and only text, colours and cursor movement of it: sequences that would write your clipboard, make your terminal answer or change what your keys do are left out.

On a terminal there is a line at the bottom, and keys: space pauses, left and right go 5 seconds, [ and ] go to the command before and to the next, + and - change the speed, . shows one change, g and G go to the beginning and the end, / finds a text and n finds it again, ? is help, q quits. What does not fit is cut around the cursor. Elsewhere it is played from front to back.

Examples:

    sekisho recordings play ses_k5xqz7... --key auditor.key
    sekisho recordings play ses_k5xqz7....rec --key auditor.key --speed 4 --idle-limit 500ms
    sekisho recordings play ses_k5xqz7....rec --key auditor.key --at 1h2m
`
}

func (cmd *recordingsPlayCmd) Run(a *app) error {
	switch {
	case !(cmd.Speed > 0) || cmd.IdleLimit < 0:
		return &usageError{"--speed must be above 0, and --idle-limit not below"}
	case cmd.At < 0 || cmd.FromCommand < 0:
		return &usageError{"--at and --from-command must not be below 0"}
	case cmd.At > 0 && cmd.FromCommand > 0:
		return &usageError{"--at and --from-command do not go together"}
	}
	src, err := a.openRecording(cmd.Recording)
	if err != nil {
		return err
	}
	defer src.close()
	ground, interactive := a.playground()
	if !interactive && cmd.FromCommand > 0 {
		return &usageError{"--from-command needs a terminal; --at does not"}
	}
	r, err := a.reader(src, cmd.Key, cmd.Signer)
	if err != nil {
		return err
	}
	if interactive {
		bar := a.progress(src.total)
		src.Reader = io.TeeReader(src.Reader, bar)
		err = cmd.screen(a, r, ground, bar)
	} else {
		err = cmd.tell(a, r)
	}
	return src.bad(err)
}

// screen plays on a terminal, in a player that obeys keys.
func (cmd *recordingsPlayCmd) screen(a *app, r *recording.Reader, ground *playground, bar *progress) error {
	film, cut := replay.NewFilm(r, channelOf(cmd.Channel))
	bar.done()
	switch {
	case errors.Is(cut, replay.ErrFilmTooLong):
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("To go to and fro in the recording would take more than %s of memory.", size(replay.MaxFilm)),
			Next: fmt.Sprintf("Play it from front to back, with --at from any time on: sekisho recordings play %[1]s | cat. Or write it to a file: sekisho recordings export %[1]s -o FILE.",
				argument(cmd.Recording)), Cause: cut,
		}
	case film == nil:
		return cut
	case film.Empty():
		cmd.tellEmpty(a, film.Files)
		return cut
	}
	tellLost(a.err, film.Lost)
	p := newPlayer(film, cmd.Speed, cmd.IdleLimit)
	p.cut = cut != nil
	if err := cmd.begin(p); err != nil {
		return err
	}
	p.stop = func() bool { return a.ctx.Err() != nil || len(ground.keys) > 0 }
	return errors.Join(ground.have(func(t screening) error { return p.show(a.ctx, t) }), cut)
}

// begin goes to where the person wants to begin.
func (cmd *recordingsPlayCmd) begin(p *player) error {
	at := cmd.At
	if n := cmd.FromCommand; n > 0 {
		if n > len(p.film.Commands) {
			return &sekisho.Refusal{
				Sentence: fmt.Sprintf("The channel has %s.", count(len(p.film.Commands), "command")),
				Next:     "sekisho recordings commands shows them.",
			}
		}
		at = p.film.Commands[n-1].At
	}
	p.seek(at, time.Now())
	return nil
}

// tell plays to what is no terminal.
func (cmd *recordingsPlayCmd) tell(a *app, r *recording.Reader) error {
	if s := r.Header().Session; s.Target != "" { // nothing, if the recording is cut before it says so
		fmt.Fprintf(a.err, "%s as %s on %s, %s; Ctrl-C stops.\n",
			plain(s.Identity.Subject), plain(s.Login), plain(s.Target), local(s.Started))
	}
	read := &noting{Source: r}
	err := cmd.play(a, read)
	if _, ok := terminalAt(a.out); ok { // leave it as it was found
		fmt.Fprint(a.out, terminal.Reset+"\r\n")
	}
	tellLost(a.err, read.lost)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// play writes the output of one channel with its pauses; it always ends with an error, io.EOF when all was played.
func (cmd *recordingsPlayCmd) play(a *app, r *noting) error {
	var filters [2]terminal.Filter // output, standard error
	var buf []byte
	last, played := cmd.At, false
	choice := replay.Choose(channelOf(cmd.Channel))
	for {
		e, err := r.Next()
		if missing := choice.Missing(err); missing != nil {
			return missing
		}
		if errors.Is(err, io.EOF) && !played {
			cmd.tellEmpty(a, r.files)
		}
		if err != nil {
			return err
		}
		if !choice.Takes(e) {
			continue
		}
		filter := &filters[0]
		switch e.Kind {
		case recording.Output:
		case recording.Stderr:
			filter = &filters[1]
		default:
			continue
		}
		buf = filter.Append(buf[:0], e.Data)
		if e.At < cmd.At {
			continue
		}
		if err := cmd.pause(a.ctx, e.At-last); err != nil {
			return err
		}
		last, played = max(last, e.At), true
		if _, err := a.out.Write(buf); err != nil {
			return err
		}
	}
}

func (cmd *recordingsPlayCmd) tellEmpty(a *app, files int) {
	if files > 0 {
		fmt.Fprintf(a.err, "There is nothing to play: %s; see sekisho recordings export --format text.\n", count(files, "file operation"))
	}
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
