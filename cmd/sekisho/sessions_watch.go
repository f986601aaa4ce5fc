package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/terminal"
)

type sessionsWatchCmd struct {
	Session string   `arg:"" suggest:"to-watch" help:"Session ID, as sekisho sessions list shows it."`
	Key     string   `suggest:"keys" placeholder:"KEY" help:"Private key: a file, a name in the key folder, or a pkcs11: URI; if not given, the one in the key folder that opens the recording."`
	Signer  []string `sep:"none" placeholder:"LINE" help:"Public key line of a gateway to trust, instead of those learned at login."`
	Channel *uint32  `placeholder:"N" help:"Which channel of the session; one that runs a program if not given."`
}

func (*sessionsWatchCmd) Help() string {
	return `Shows what the person sees, as they see it. What came before is gone through at once; then the present screen is painted, and again with all that comes, until the session ends. q or Ctrl-C leaves; nothing that you type reaches the session. If their screen is larger than your terminal, you see the part around the cursor, and the line at the bottom says how large theirs is. Your terminal is left as it was.

Where input or output is no terminal, what is shown is written as it comes, from the beginning of the session on, and Ctrl-C leaves.

The server sends the sealed recording as it grows. It is opened on this machine with your key, after a check that a trusted gateway signed it. Nothing in it can write your clipboard, make your terminal answer or change what your keys do.

A policy must allow it (the action watchSessions), and the session must be recorded. That you watch is in the audit log before you see anything, and the person is told where the policy says so.

Exits with 0 when the session has ended or you have left; with 1 if it does not run, you may not watch it, or the recording is not in order or not sealed to your key; with 2 if the command line makes no sense. Of a session that you may not know of you hear only that it does not run or is not for you to see.

Examples:

    sekisho sessions watch ses_k5xqz7... --key auditor.key
    sekisho sessions watch ses_k5xqz7... --key auditor.key --channel 2 | tee seen.txt
`
}

func (cmd *sessionsWatchCmd) Run(a *app) (err error) {
	if !isSession(cmd.Session) {
		return &usageError{fmt.Sprintf("%q is no session ID; sekisho sessions list shows them", cmd.Session)}
	}
	ctx, leave := context.WithCancel(a.ctx)
	defer leave()
	f, err := a.follow(ctx, cmd.Session)
	if err != nil {
		return err
	}
	defer f.stream.Close()
	r, err := a.reader(&source{Reader: f, session: cmd.Session}, cmd.Key, cmd.Signer)
	if err != nil {
		return err
	}
	s := r.Header().Session
	who := plain(fmt.Sprintf("%s as %s on %s", s.Identity.Subject, s.Login, s.Target))
	fmt.Fprintf(a.err, "%s, since %s; ", who, local(s.Started))
	if ground, ok := a.playground(); ok {
		fmt.Fprintln(a.err, "q or Ctrl-C leaves.")
		err = ground.have(func(t screening) error {
			return newWindow(who, cmd.Channel).show(ctx, t, watched{r.Next, f.caught, leave})
		})
	} else {
		fmt.Fprintln(a.err, "Ctrl-C leaves.")
		v := &view{looking: newLooking(cmd.Channel), out: a.out}
		err = v.all(r)
		if _, ok := terminalAt(a.out); ok { // leave it as it was found
			fmt.Fprint(a.out, terminal.Reset+"\r\n")
		}
	}
	return cmd.conclude(a, ctx, f, err)
}

// conclude tells why nothing more is shown.
func (cmd *sessionsWatchCmd) conclude(a *app, ctx context.Context, f *following, err error) error {
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(a.err, "You have left; the session goes on.")
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, recording.ErrCut) && f.ended:
		fmt.Fprintln(a.err, "The session has ended.")
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
	return bad(err)
}

// following makes a Reader of a recording that grows.
type following struct {
	stream *connect.ServerStreamForClient[apiv1.WatchSessionResponse]
	rest   []byte
	at     int64 // bytes that were read
	now    int64 // bytes that there were when it began
	ended  bool  // the session has, says the server
}

func (a *app) follow(ctx context.Context, session string) (*following, error) {
	c, err := a.signedIn()
	if err != nil {
		return nil, err
	}
	stream, err := c.Sessions().Watch(ctx, connect.NewRequest(&apiv1.WatchSessionRequest{Session: session}))
	if err != nil {
		return nil, err
	}
	f := &following{stream: stream}
	if err := f.receive(); err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	f.now = stream.Msg().Now
	return f, nil
}

func (f *following) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		if err := f.receive(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.rest)
	f.rest, f.at = f.rest[n:], f.at+int64(n)
	return n, nil
}

// caught says that what there was when it began has been read.
func (f *following) caught() bool { return f.at >= f.now }

func (f *following) receive() error {
	if !f.stream.Receive() {
		if err := f.stream.Err(); err != nil {
			return err
		}
		if !f.ended {
			return &sekisho.Refusal{Sentence: "The server has stopped sending, though the session may go on.", Next: "Watch it again."}
		}
		return io.EOF
	}
	f.rest, f.ended = f.stream.Msg().Data, f.stream.Msg().Ended
	return nil
}
