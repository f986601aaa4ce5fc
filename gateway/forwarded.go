package gateway

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/crypto/ssh"
)

// granted is what the user asked for, and the target said yes to, that lets the target open channels.
type granted struct {
	mu      sync.Mutex
	agent   bool
	x11     bool
	x11Once int // connections that may still come, one for each request that asked for a single one
}

// grantAgent lets the target open channels to the user's agent.
func (r *relay) grantAgent() {
	r.granted.mu.Lock()
	defer r.granted.mu.Unlock()
	r.granted.agent = true
}

// grantX11 lets the target open channels to the user's display, or a single one (RFC 4254, section 6.3.1).
func (r *relay) grantX11(single bool) {
	r.granted.mu.Lock()
	defer r.granted.mu.Unlock()
	if single {
		r.granted.x11Once++
	} else {
		r.granted.x11 = true
	}
}

// takeAgent and takeX11 report whether the target may open one more such channel.
func (g *granted) takeAgent() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.agent
}

func (g *granted) takeX11() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.x11 && g.x11Once > 0 {
		g.x11Once--
		return true
	}
	return g.x11
}

// acceptFar takes the channels that the target opens, each of which must be one that the user asked for.
func (r *relay) acceptFar(ctx context.Context) {
	for ch := range r.far.channels {
		switch kind := ch.ChannelType(); kind {
		case forwardedTCP, forwardedSocket:
			r.acceptForward(ctx, ch, r.judgeForwarded)
		case x11Channel:
			r.acceptForward(ctx, ch, r.judgeX11)
		case agentChannel:
			r.acceptForward(ctx, ch, r.judgeAgent)
		default:
			r.refuseChannel(ch, unknownChannel(kind))
		}
	}
	r.far.over()
}

// judgeForwarded judges a connection that came to where the target listens, or says that it does.
func (r *relay) judgeForwarded(ch ssh.NewChannel) (*forward, *refusal) {
	at, origin, err := parseForwarded(ch.ChannelType(), ch.ExtraData())
	if err != nil {
		return nil, unasked(err.Error())
	}
	if !r.listening.granted(at) {
		no := unasked("the target does not listen there for this session")
		no.destination = at.String()
		return nil, no
	}
	return &forward{destination: at.String(), origin: origin}, nil
}

// judgeX11 judges a connection to the user's display.
func (r *relay) judgeX11(ch ssh.NewChannel) (*forward, *refusal) {
	var open struct {
		Origin string
		Port   uint32
	}
	if ssh.Unmarshal(ch.ExtraData(), &open) != nil {
		return nil, unasked(malformed)
	}
	if !r.granted.takeX11() {
		return nil, unasked("the user did not ask for it")
	}
	return &forward{origin: originator(open.Origin, open.Port)}, nil
}

// judgeAgent judges a connection to the user's agent.
func (r *relay) judgeAgent(ch ssh.NewChannel) (*forward, *refusal) {
	if len(ch.ExtraData()) > 0 {
		return nil, unasked(malformed)
	}
	if !r.granted.takeAgent() {
		return nil, unasked("the user did not ask for it")
	}
	return &forward{}, nil
}

// unasked refuses a channel of the target.
func unasked(why string) *refusal {
	return &refusal{reason: ssh.Prohibited, why: why, sentence: "Nobody asked for this channel."}
}

// unknownChannel refuses a type of channel that is not relayed.
func unknownChannel(kind string) refusal {
	no := refusal{reason: ssh.UnknownChannelType, why: "unknown", sentence: fmt.Sprintf("%s is not a type of channel that is known here.", printable(kind))}
	if knownChannel(kind) {
		no.reason, no.why = ssh.Prohibited, "not relayed from this side"
		no.sentence = fmt.Sprintf("%s channels are not relayed from this side.", kind)
	}
	return no
}

// knownChannel reports whether a type of channel has a meaning, somewhere.
func knownChannel(kind string) bool {
	switch kind {
	case "session", directTCP, directSocket, forwardedTCP, forwardedSocket, x11Channel, agentChannel, "tun@openssh.com":
		return true
	}
	return false
}
