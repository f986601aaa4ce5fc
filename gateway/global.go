package gateway

import (
	"context"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// globalRequests answers what the user's client asks of the connection as a whole, one after the other: answers carry no
// number, so they must come in the order of the questions (RFC 4254, section 4).
//
// What the target asks of its connection is answered with no, and goes no further: the target's host keys
// (hostkeys-00@openssh.com) are the gateway's to know, and it knows them by certificate.
func (r *relay) globalRequests(ctx context.Context) {
	for req := range r.near.requests {
		switch req.Type {
		case listenTCP, listenSocket:
			r.listen(ctx, req)
		case cancelTCP, cancelSocket:
			r.unlisten(ctx, req)
		case "no-more-sessions@openssh.com":
			r.sessionsDone()
			req.Reply(true, nil)
		case "keepalive@openssh.com":
			req.Reply(false, nil) // that there is an answer is what counts
		default:
			r.noteRefusal(map[string]string{"type": printable(req.Type), "why": "unknown"})
			req.Reply(false, nil)
		}
	}
}

// sessionsDone has new sessions refused, because the user asked for it: whoever gets hold of the connection later, such as
// through a flaw in the user's client, shall not start another (OpenSSH's PROTOCOL, section 2.2). The gateway sees to it;
// the target is not asked to.
func (r *relay) sessionsDone() {
	heard := make(chan struct{})
	select {
	case r.noMore <- heard:
		<-heard
	case <-r.hungUp:
	}
}

// acceptAll takes the channels that the user opens. Those opened before the user said that there will be no more
// sessions are waiting when that is heard, and are taken first.
func (r *relay) acceptAll(ctx context.Context) {
	defer close(r.hungUp)
	for {
		select {
		case ch, ok := <-r.near.channels:
			if !ok {
				return
			}
			r.accept(ctx, ch)
		case heard := <-r.noMore:
			for range len(r.near.channels) {
				if ch, ok := <-r.near.channels; ok {
					r.accept(ctx, ch)
				}
			}
			r.lastSession = true
			close(heard)
		}
	}
}

// refuseChannel refuses to open a channel with a sentence, and notes why.
func (r *relay) refuseChannel(ch ssh.NewChannel, no refusal) {
	detail := map[string]string{"type": printable(ch.ChannelType()), "why": no.why}
	if no.destination != "" {
		detail["destination"] = no.destination
	}
	r.noteRefusal(detail)
	ch.Reject(no.reason, no.sentence)
}

// refusal is why a channel is not opened.
type refusal struct {
	reason      ssh.RejectionReason
	destination string // where it was to lead; empty for none
	why         string // for the event
	sentence    string // for the person
}

// noteRefusal notes a refusal; the session ends if that cannot be noted.
func (r *relay) noteRefusal(detail map[string]string) {
	if err := r.noteRefused(context.Background(), detail); err != nil {
		r.end(fmt.Errorf("note refusal: %w", err))
	}
}
