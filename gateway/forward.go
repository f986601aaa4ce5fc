package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// Types of channels that are forwards (RFC 4254, sections 6.3 and 7.2; OpenSSH's PROTOCOL, section 2.4).
const (
	directTCP       = "direct-tcpip"
	directSocket    = "direct-streamlocal@openssh.com"
	forwardedTCP    = "forwarded-tcpip"
	forwardedSocket = "forwarded-streamlocal@openssh.com"
	x11Channel      = "x11"
	agentChannel    = "auth-agent@openssh.com"
)

// forward is one channel that carries bytes between a program on the user's side and one on the target's. Its opening is
// in the log before anything is opened for it; its bytes are counted and, but for the first ones, not looked at
// (sniff.go); its end is in the log as well.
type forward struct {
	*relay
	kind        string // the channel's type
	destination string // for events; empty where the type says it
	origin      string // where it says to come from; empty where it says nothing
	host        string // as the user asked for it; empty where they did not ask for a host
	number      uint32
	begun       time.Duration // since the session started

	opener, server side // who opened the channel, and who was opened to
	fromUser       bool // the user is the opener
	work           sync.WaitGroup

	mu     sync.Mutex        // of what the sniffers know of both sides
	over   bool              // SSH was found: what is read from now on goes nowhere
	nested chan struct{}     // closed after that, once what came before was delivered
	taken  chan *channelConn // what the opener says goes into it; closed when it goes nowhere
}

// acceptForward opens a forward's other half and carries it to its end, in a goroutine of its own: connecting may take as
// long as the network lets it.
func (r *relay) acceptForward(ctx context.Context, ch ssh.NewChannel, judge func(ssh.NewChannel) (*forward, *refusal)) {
	if r.forwards.Add(1) > maxForwards {
		r.forwards.Add(-1)
		why := fmt.Sprintf("more than %d forwards at once", maxForwards)
		r.refuseChannel(ch, refusal{reason: ssh.ResourceShortage, why: why, sentence: "There are " + why + "."})
		return
	}
	r.channels.Go(func() {
		defer r.forwards.Add(-1)
		f, no := judge(ch)
		if no != nil {
			r.refuseChannel(ch, *no)
			return
		}
		f.relay, f.kind, f.number, f.begun = r, ch.ChannelType(), r.last.Add(1), r.elapsed()
		f.nested, f.taken = make(chan struct{}), make(chan *channelConn, 1)
		f.opener.drained, f.server.drained = make(chan struct{}), make(chan struct{})
		if err := f.noteOpening(ctx); err != nil {
			ch.Reject(ssh.ConnectionFailed, "This forward cannot be noted, so it is refused. Tell an administrator.")
			r.end(fmt.Errorf("note forward: %w", err))
			return
		}
		why := f.connect(ctx, ch)
		if err := f.noteClosed(why); err != nil {
			r.end(fmt.Errorf("note end of forward: %w", err))
		}
		f.work.Wait()
	})
}

// judgeDirect judges where the user wants to reach through the target.
func (r *relay) judgeDirect(ch ssh.NewChannel) (*forward, *refusal) {
	to, origin, err := parseDestination(ch.ChannelType(), ch.ExtraData())
	if err != nil {
		return nil, &refusal{reason: ssh.Prohibited, why: err.Error(), sentence: "This is not a destination."}
	}
	if !to.in(r.decision.Limits.Forward) {
		return nil, &refusal{reason: ssh.Prohibited, destination: to.String(), why: notAllowed,
			sentence: fmt.Sprintf("No policy lets you reach %s through %s. %s Ask an administrator to allow it by @forward.",
				to, r.Target, reachable(r.decision.Limits.Forward))}
	}
	return &forward{destination: to.String(), origin: origin, host: to.host, fromUser: true}, nil
}

// maxNamed is how many destinations a refusal names.
const maxNamed = 5

// reachable says where forwards may lead.
func reachable(list []sekisho.Destination) string {
	if len(list) == 0 {
		return "No policy allows you any forward there."
	}
	var names []string
	for _, d := range list[:min(len(list), maxNamed)] {
		names = append(names, printable(d.String()))
	}
	text := "You may reach " + strings.Join(names, ", ")
	if more := len(list) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text + "."
}

// connect opens the channel's other half, carries bytes until both directions have ended, and says why they did.
func (f *forward) connect(ctx context.Context, ch ssh.NewChannel) (why string) {
	opener, server, to := &f.bytesIn, &f.bytesOut, f.far.conn
	if !f.fromUser {
		opener, server, to = server, opener, f.near.conn
	}
	other, otherRequests, err := to.OpenChannel(f.kind, ch.ExtraData())
	if err != nil {
		return f.refused(ch, err)
	}
	own, ownRequests, err := ch.Accept()
	if err != nil {
		go ssh.DiscardRequests(otherRequests)
		other.Close()
		return "the side that opened it has gone"
	}
	f.opener.channel, f.opener.requests, f.opener.sniff, f.opener.total = own, ownRequests, newSniffer(true), opener
	f.server.channel, f.server.requests, f.server.sniff, f.server.total = other, otherRequests, newSniffer(false), server
	return f.run(ctx)
}

// refused passes the other side's refusal on.
func (f *forward) refused(ch ssh.NewChannel, err error) (why string) {
	var no *ssh.OpenChannelError
	if !errors.As(err, &no) {
		ch.Reject(ssh.ConnectionFailed, "the other side is gone")
		return "the other side has gone"
	}
	if f.fromUser {
		f.passRefusal(ch, no) // a recording that cannot go on ends the session by itself
	} else {
		ch.Reject(no.Reason, printable(no.Message))
	}
	return "refused: " + printable(no.Message)
}

// noteOpening notes where a forward leads before anything is opened for it.
func (f *forward) noteOpening(ctx context.Context) error {
	ev := f.event(sekisho.EventForward)
	ev.Detail = map[string]string{"channel": fmt.Sprint(f.number), "type": f.kind}
	for key, value := range map[string]string{"destination": f.destination, "origin": f.origin} {
		if value != "" {
			ev.Detail[key] = value
		}
	}
	if err := f.keep(forwardEntry{Type: f.kind, Destination: f.destination, Origin: f.origin}); err != nil {
		return err
	}
	return f.gateway.cfg.Note(ctx, ev)
}

// noteClosed notes how a forward ended.
func (f *forward) noteClosed(why string) error {
	user, target := &f.opener, &f.server
	if !f.fromUser {
		user, target = target, user
	}
	in, out := user.sent.Load(), target.sent.Load()
	ev := f.event(sekisho.EventForwardClosed)
	ev.Detail = map[string]string{
		"channel":   fmt.Sprint(f.number),
		"bytes_in":  strconv.FormatInt(in, 10),
		"bytes_out": strconv.FormatInt(out, 10),
		"seconds":   strconv.FormatFloat((f.elapsed() - f.begun).Seconds(), 'f', 3, 64),
		"why":       why,
	}
	if err := f.keep(forwardEntry{Type: f.kind, Destination: f.destination, BytesIn: &in, BytesOut: &out, Why: why}); err != nil {
		return err
	}
	return f.journal.soon(ev)
}

// forwardEntry is a forward at its opening or its end, as the recording keeps it (recording/FORMAT.md).
type forwardEntry struct {
	Type        string `json:"type"`
	Destination string `json:"destination,omitempty"`
	Origin      string `json:"origin,omitempty"`
	BytesIn     *int64 `json:"bytes_in,omitempty"`
	BytesOut    *int64 `json:"bytes_out,omitempty"`
	Why         string `json:"why,omitempty"`
}

func (f *forward) keep(entry forwardEntry) error {
	if f.tape == nil {
		return nil
	}
	data, err := json.Marshal(entry)
	if err != nil {
		return &recordingError{err}
	}
	_, err = f.tape.append(recording.Entry{Kind: recording.Forward, Channel: f.number, Data: data})
	return err
}
