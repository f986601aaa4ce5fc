package gateway

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// userRequests passes on what the user asks of the channel (RFC 4254, section 6), in order, and answers as the
// target does. What starts a program is on the tape and in the log before the target hears of it.
func (c *channel) userRequests(ctx context.Context, requests <-chan *ssh.Request) error {
	for req := range requests {
		if gone, err := c.answer(ctx, req); gone || err != nil {
			return err
		}
	}
	return nil
}

// answer passes one request on and answers it; gone says that the target has closed the channel.
func (c *channel) answer(ctx context.Context, req *ssh.Request) (gone bool, err error) {
	c.answering.Lock()
	defer c.answering.Unlock()
	pass, err := c.judge(ctx, req)
	if err != nil {
		return false, err
	}
	ok := false
	if pass {
		if ok, err = c.far.SendRequest(req.Type, req.WantReply, req.Payload); err != nil {
			return true, nil
		}
		if startsProgram(req.Type) && (ok || !req.WantReply) {
			c.begin()
		}
	}
	if req.WantReply {
		req.Reply(ok, nil)
	}
	return false, nil
}

func startsProgram(kind string) bool { return kind == "shell" || kind == "exec" || kind == "subsystem" }

// judge says whether a request may go on to the target, and keeps what it says.
func (c *channel) judge(ctx context.Context, req *ssh.Request) (bool, error) {
	if len(req.Payload) > maxPayload {
		return false, c.refuseRequest(ctx, req.Type)
	}
	switch req.Type {
	case "pty-req":
		return c.judgePTY(ctx, req)
	case "window-change":
		var size struct{ Columns, Rows, Width, Height uint32 }
		if ssh.Unmarshal(req.Payload, &size) != nil {
			return false, c.refuseRequest(ctx, req.Type)
		}
		return true, c.keep(recording.Resize, recording.EncodeResize(size.Columns, size.Rows))
	case "env":
		return c.judgeEnv(ctx, req)
	case "shell", "exec", "subsystem":
		return c.judgeProgram(ctx, req)
	case "signal":
		var signal struct{ Name string }
		if ssh.Unmarshal(req.Payload, &signal) != nil {
			return false, c.refuseRequest(ctx, req.Type)
		}
		return true, c.keep(recording.Signal, []byte(signal.Name))
	case "break":
		return true, c.keep(recording.Note, []byte("break"))
	case "xon-xoff", "eow@openssh.com", "keepalive@openssh.com":
		return true, nil
	}
	return false, c.refuseRequest(ctx, req.Type)
}

func (c *channel) judgePTY(ctx context.Context, req *ssh.Request) (bool, error) {
	var pty struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	if ssh.Unmarshal(req.Payload, &pty) != nil || !c.decision.Limits.PTY {
		return false, c.refuseRequest(ctx, req.Type)
	}
	entry := recording.PTY{Term: pty.Term, Cols: pty.Columns, Rows: pty.Rows, Modes: []byte(pty.Modes)}
	return true, c.keep(recording.PTYRequest, entry.Encode())
}

// judgeEnv lets the locale through; sshd filters once more by its AcceptEnv.
func (c *channel) judgeEnv(ctx context.Context, req *ssh.Request) (bool, error) {
	var env struct{ Name, Value string }
	if ssh.Unmarshal(req.Payload, &env) != nil {
		return false, c.refuseRequest(ctx, req.Type)
	}
	if env.Name != "LANG" && env.Name != "COLORTERM" && !strings.HasPrefix(env.Name, "LC_") {
		return false, nil
	}
	return true, c.keep(recording.Env, recording.Variable{Name: env.Name, Value: env.Value}.Encode())
}

// judgeProgram keeps what is about to be started.
func (c *channel) judgeProgram(ctx context.Context, req *ssh.Request) (bool, error) {
	detail := map[string]string{"channel": fmt.Sprint(c.number), "type": req.Type}
	kind := recording.Shell
	var program struct{ Name string }
	if req.Type != "shell" {
		if ssh.Unmarshal(req.Payload, &program) != nil {
			return false, c.refuseRequest(ctx, req.Type)
		}
		kind = recording.Exec
		detail["command"] = program.Name
		if req.Type == "subsystem" {
			kind = recording.Subsystem
			detail["subsystem"] = program.Name
			delete(detail, "command")
		}
	}
	if err := c.record(kind, []byte(program.Name)); err != nil {
		return false, err
	}
	ev := c.event(sekisho.EventChannel)
	ev.Detail = detail
	if err := c.gateway.cfg.Note(ctx, ev); err != nil {
		return false, &recordingError{err}
	}
	return true, nil
}

func (c *channel) refuseRequest(ctx context.Context, kind string) error {
	return c.noteRefused(ctx, map[string]string{"channel": fmt.Sprint(c.number), "type": printable(kind)})
}

// targetRequests passes on what the target says of the program: how it ended, flow control. Other requests,
// and what cannot be read, are answered with failure.
func (c *channel) targetRequests(requests <-chan *ssh.Request) error {
	for req := range requests {
		pass := true
		var err error
		switch req.Type {
		case "exit-status":
			var status struct{ Code uint32 }
			if pass = ssh.Unmarshal(req.Payload, &status) == nil; pass {
				c.exit.Store(&map[string]string{"exit_status": fmt.Sprint(status.Code)})
				err = c.record(recording.ExitStatus, recording.EncodeExitStatus(status.Code))
			}
		case "exit-signal":
			var signal struct {
				Name   string
				Dumped bool
				Text   string
				Lang   string
			}
			if pass = ssh.Unmarshal(req.Payload, &signal) == nil; pass {
				c.exit.Store(&map[string]string{"exit_signal": printable(signal.Name)})
				exit := recording.Exit{Signal: signal.Name, CoreDumped: signal.Dumped, Message: signal.Text}
				err = c.record(recording.ExitSignal, exit.Encode())
			}
		case "xon-xoff", "eow@openssh.com":
		default:
			pass = false
		}
		if err != nil {
			return err
		}
		ok := false
		if pass {
			ok, _ = c.near.SendRequest(req.Type, req.WantReply, req.Payload)
		}
		if req.WantReply {
			req.Reply(ok, nil)
		}
	}
	return nil
}
