package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// sniffed carries what src says until it is clear that this is not SSH. over says that SSH was found, in either direction;
// first is then what src has said of which nothing was delivered.
func (f *forward) sniffed(src, dst *side) (first []byte, over bool, err error) {
	buf := make([]byte, idleBuffer)
	for !src.sniff.clear() {
		held := banner[:src.sniff.matched]
		n, err := src.Read(buf)
		src.sent.Add(int64(n))
		deliver, found, over := f.look(src, buf[:n], err != nil)
		if len(deliver) > 0 {
			_, werr := dst.Write(deliver)
			err = errors.Join(err, werr)
		}
		if found {
			close(f.nested)
		}
		if over {
			return append([]byte(held), buf[:n]...), true, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	return nil, false, nil
}

// look has a side's sniffer see what the side said, last of all where it says no more, and gives what may be delivered.
func (f *forward) look(src *side, p []byte, last bool) (deliver []byte, found, over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return nil, false, true
	}
	deliver, f.over = src.sniff.feed(p)
	if last && !f.over {
		deliver = append(deliver, src.sniff.rest()...)
		src.sniff.lines = 0
	}
	return deliver, f.over, f.over
}

func (f *forward) foundSSH() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

// settle ends a forward in which SSH was found at the target's side, and has the gateway take its place there, as a
// session of its own, where the limits say so and where that can be.
func (f *forward) settle(ctx context.Context) (why string) {
	f.server.channel.Close()
	host, target, why := f.inner(ctx)
	if why != "" {
		f.noteRefusal(map[string]string{
			"channel": fmt.Sprint(f.number), "type": f.kind, "destination": f.destination, "why": why})
		f.opener.channel.Close()
		close(f.taken)
		return why
	}
	f.opener.take()
	client, _ := netip.ParseAddr(f.ClientAddress)
	conn := newChannelConn(voice{f.opener.channel, f.server.total}, client, &f.server.sent)
	f.taken <- conn
	f.gateway.arrive(ctx, conn, arrival{way: sekisho.WayForward, parent: f.ID, client: client, target: target, names: []string{host, target}})
	conn.Close()
	return "SSH, ended at the gateway as a session of its own"
}

// inner finds the target that SSH inside a forward is for, or says why it is refused. Only what the user opened to a host
// can be taken over, and only from its first byte.
func (f *forward) inner(ctx context.Context) (host, target, why string) {
	const refused = "SSH inside a forward"
	switch {
	case f.decision.Limits.Nested != sekisho.NestedRecord:
		return "", "", refused
	case f.kind != directTCP:
		return "", "", refused + " of a kind that cannot be recorded"
	case f.opener.sniff.clear():
		return "", "", refused + ", answering what is not SSH"
	}
	host, err := readHost(f.host)
	if err == nil {
		target, err = f.gateway.cfg.Find(ctx, host)
	}
	if err == nil {
		return host, target, ""
	}
	if !errors.Is(err, sekisho.ErrNotFound) {
		f.gateway.cfg.Log.Error("find target of nested SSH", "session", f.ID, "error", err)
	}
	return "", "", refused + " to what is no target"
}

// voice is a channel on which the gateway speaks itself; what it says counts for the session.
type voice struct {
	ssh.Channel
	total interface{ Add(int64) int64 }
}

func (v voice) Write(p []byte) (int, error) {
	n, err := v.Channel.Write(p)
	v.total.Add(int64(n))
	return n, err
}
