package gateway

import (
	"context"
	"fmt"
	"slices"
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
		want := req.WantReply || grants(req.Type) // the answer decides what the target may open
		if ok, err = c.far.SendRequest(req.Type, want, req.Payload); err != nil {
			return true, nil
		}
		err = c.answered(req, ok || !want)
	}
	if req.WantReply {
		req.Reply(ok, nil)
	}
	return false, err
}

func startsProgram(kind string) bool { return kind == "shell" || kind == "exec" || kind == "subsystem" }

func grants(kind string) bool { return kind == "x11-req" || kind == "auth-agent-req@openssh.com" }

// answered takes in what the target's answer to a request means.
func (c *channel) answered(req *ssh.Request, ok bool) error {
	switch {
	case startsProgram(req.Type):
		if ok {
			c.begin()
			c.tellWatched()
		} else if w := c.watch.Swap(nil); w != nil {
			return w.Close() // there is nothing to follow, and nobody else lets go of it
		}
	case req.Type == "pty-req" && ok:
		c.terminal = c.terminal || !c.runs()
	case req.Type == "x11-req" && ok:
		c.grantX11(len(req.Payload) > 0 && req.Payload[0] != 0)
	case req.Type == "auth-agent-req@openssh.com" && ok:
		c.grantAgent()
	}
	return nil
}

// judge says whether a request may go on to the target, and keeps what it says.
func (c *channel) judge(ctx context.Context, req *ssh.Request) (bool, error) {
	if len(req.Payload) > maxPayload {
		return false, c.refuseRequest(ctx, req.Type, "too large")
	}
	switch req.Type {
	case "pty-req":
		return c.judgePTY(ctx, req)
	case "window-change":
		var size struct{ Columns, Rows, Width, Height uint32 }
		if ssh.Unmarshal(req.Payload, &size) != nil {
			return false, c.refuseRequest(ctx, req.Type, malformed)
		}
		return true, c.keep(recording.Resize, recording.EncodeResize(size.Columns, size.Rows))
	case "env":
		return c.judgeEnv(ctx, req)
	case "shell", "exec", "subsystem":
		return c.judgeProgram(ctx, req)
	case "signal":
		var signal struct{ Name string }
		if ssh.Unmarshal(req.Payload, &signal) != nil {
			return false, c.refuseRequest(ctx, req.Type, malformed)
		}
		return true, c.took(req.Type, signal.Name, recording.Signal, []byte(signal.Name))
	case "break":
		return true, c.took(req.Type, "", recording.Note, []byte("break"))
	case "x11-req":
		return c.judgeGrant(ctx, req, c.decision.Limits.X11)
	case "auth-agent-req@openssh.com":
		return c.judgeGrant(ctx, req, c.decision.Limits.Agent)
	case "xon-xoff", "eow@openssh.com", "keepalive@openssh.com":
		return true, nil
	}
	return false, c.refuseRequest(ctx, req.Type, "unknown")
}

// Why requests are refused, besides what their kind alone can be refused for.
const (
	malformed   = "malformed"
	notAllowed  = "no policy allows it"
	alreadyRuns = "a program runs already"
)

func (c *channel) judgePTY(ctx context.Context, req *ssh.Request) (bool, error) {
	var pty struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	switch {
	case ssh.Unmarshal(req.Payload, &pty) != nil:
		return false, c.refuseRequest(ctx, req.Type, malformed)
	case !c.decision.Limits.PTY:
		return false, c.refuseRequest(ctx, req.Type, notAllowed)
	}
	c.switched.watched.Store(true)
	entry := recording.PTY{Term: pty.Term, Cols: pty.Columns, Rows: pty.Rows, Modes: []byte(pty.Modes)}
	return true, c.took(req.Type, fmt.Sprintf("%s %dx%d", printable(pty.Term), pty.Columns, pty.Rows), recording.PTYRequest, entry.Encode())
}

// judgeEnv lets the variables through that the limits name; sshd filters once more by its AcceptEnv.
func (c *channel) judgeEnv(ctx context.Context, req *ssh.Request) (bool, error) {
	var env struct{ Name, Value string }
	switch {
	case ssh.Unmarshal(req.Payload, &env) != nil:
		return false, c.refuseRequest(ctx, req.Type, malformed)
	case !named(c.decision.Limits.Env, env.Name):
		return false, c.refuseRequest(ctx, "env "+env.Name, notAllowed)
	}
	return true, c.took(req.Type, env.Name, recording.Env, recording.Variable{Name: env.Name, Value: env.Value}.Encode())
}

// judgeGrant lets the user ask for an agent or a display at the target.
func (c *channel) judgeGrant(ctx context.Context, req *ssh.Request, allowed bool) (bool, error) {
	if !allowed {
		return false, c.refuseRequest(ctx, req.Type, notAllowed)
	}
	return true, c.took(req.Type, "", recording.Note, []byte(req.Type))
}

// judgeProgram keeps what is about to be started, and looks at who is to watch it. A channel runs one program. No name has
// a zero byte: sshd takes one at the end away, and would start by another name than is looked at here.
func (c *channel) judgeProgram(ctx context.Context, req *ssh.Request) (bool, error) {
	var program struct{ Name string }
	if req.Type != "shell" && ssh.Unmarshal(req.Payload, &program) != nil || strings.ContainsRune(program.Name, 0) {
		return false, c.refuseRequest(ctx, req.Type, malformed)
	}
	limits, name := c.decision.Limits, req.Type
	kind, allowed := recording.Shell, limits.Shell
	detail := map[string]string{"channel": fmt.Sprint(c.number), "type": req.Type}
	switch req.Type {
	case "exec":
		kind, allowed = recording.Exec, limits.Exec
		detail["command"] = program.Name
	case "subsystem":
		kind, allowed = recording.Subsystem, named(limits.Subsystems, program.Name)
		detail["subsystem"] = program.Name
		name += " " + program.Name
	}
	if c.runs() {
		return false, c.refuseRequest(ctx, name, alreadyRuns)
	}
	if !allowed {
		c.say(c.noProgram(req.Type, program.Name))
		return false, c.refuseRequest(ctx, name, notAllowed)
	}
	c.relay.tellUnsaid()
	if err := c.record(kind, []byte(program.Name)); err != nil {
		return false, err
	}
	c.program.Store(&sekisho.LiveChannel{Number: c.number, Kind: req.Type, Command: brief(program.Name)})
	c.watchProgram(req.Type, program.Name)
	c.takesInput = req.Type != "subsystem" && c.watch.Load() == nil
	ev := c.event(sekisho.EventChannel)
	ev.Detail = detail
	early := c.early
	c.early = nil
	return true, c.journal.now(append(early, ev)...)
}

// runs reports whether the target runs a program, or never will.
func (c *channel) runs() bool {
	select {
	case <-c.started:
		return true
	default:
		return false
	}
}

// noProgram says in a sentence what no policy allows.
func (c *channel) noProgram(kind, name string) string {
	what := "gives you a shell"
	switch kind {
	case "exec":
		what = "lets you run a command"
	case "subsystem":
		what = "gives you the subsystem " + printable(name)
	}
	return fmt.Sprintf("no policy %s as %s on %s. Ask an administrator.", what, c.Login, c.Target)
}

// named reports whether a list holds a name; "*" at the end of an entry stands for any ending.
func named(list []string, name string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		if prefix, ok := strings.CutSuffix(entry, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		return entry == name
	})
}

// took keeps a request that goes on to the target. Before the program starts its event waits for the program's.
func (c *channel) took(kind, value string, entry recording.Kind, data []byte) error {
	if err := c.keep(entry, data); err != nil {
		return err
	}
	if c.requests.Add(1) > maxRequests {
		return nil
	}
	ev := c.event(sekisho.EventRequest)
	ev.Detail = map[string]string{"channel": fmt.Sprint(c.number), "type": kind}
	if value != "" {
		ev.Detail["value"] = printable(value)
	}
	if c.runs() {
		return c.journal.soon(ev)
	}
	c.early = append(c.early, ev)
	return nil
}

func (c *channel) refuseRequest(ctx context.Context, kind, why string) error {
	return c.noteRefused(ctx, map[string]string{"channel": fmt.Sprint(c.number), "type": printable(kind), "why": why})
}

// targetRequests passes on what the target says of the program: how it ended, flow control. Other requests,
// and what cannot be read, are answered with failure. Nothing that is not on the tape goes to the user by them.
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
				signal.Lang = ""
				req.Payload = ssh.Marshal(signal)
			}
		case "xon-xoff":
			pass = len(req.Payload) == 1 && req.Payload[0] <= 1
		case "eow@openssh.com", "keepalive@openssh.com":
			req.Payload = nil
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
		if c.exit.Load() != nil {
			c.ending.tell()
		}
		if req.WantReply {
			req.Reply(ok, nil)
		}
	}
	return nil
}
