package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// Global requests for remote forwards (RFC 4254, section 7.1; OpenSSH's PROTOCOL, section 2.4).
const (
	listenTCP    = "tcpip-forward"
	cancelTCP    = "cancel-tcpip-forward"
	listenSocket = "streamlocal-forward@openssh.com"
	cancelSocket = "cancel-streamlocal-forward@openssh.com"
)

// listening is where the target listens for the user.
type listening struct {
	// mu is held while the target is asked and the user is answered: a connection that comes in at once waits for it, so
	// that it is known here, and by the user's client, what it belongs to.
	mu     sync.Mutex
	places []endpoint
}

// granted reports whether the target listens at a place that a connection to at can have come to.
func (l *listening) granted(at endpoint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.places, func(e endpoint) bool { return e.takes(at) })
}

// listen has the target listen for the user, if the limits allow it.
func (r *relay) listen(ctx context.Context, req *ssh.Request) {
	l := &r.listening
	l.mu.Lock()
	defer l.mu.Unlock()
	where, err := parseListen(req.Type == listenSocket, req.Payload)
	why := ""
	switch {
	case err != nil:
		why = err.Error()
	case !where.mayListen(r.decision.Limits.Listen):
		why = notAllowed
	case len(l.places) >= maxListens:
		why = fmt.Sprintf("more than %d at once", maxListens)
	}
	if why != "" {
		r.refuseListen(req, where, why)
		return
	}
	ok, reply, err := r.askTarget(req)
	if err != nil {
		return // the target is gone
	}
	if where.socket != "" || where.port != 0 {
		reply = nil
	} else if ok {
		where.port, ok = allocated(reply)
	}
	if !ok {
		r.refuseListen(req, where, "the target does not")
		return
	}
	if !r.noteListen(ctx, req.Type, where, "open") {
		return
	}
	l.places = append(l.places, where)
	req.Reply(true, reply)
}

// answerTime is how long a target may take to answer a global request. Everything that the user asks of the connection
// after it waits for the answer.
const answerTime = 30 * time.Second

var errSilent = errors.New("the target does not answer")

// askTarget passes a global request on; the session of a target that does not answer ends.
func (r *relay) askTarget(req *ssh.Request) (ok bool, reply []byte, err error) {
	defer time.AfterFunc(answerTime, func() { r.end(errSilent) }).Stop()
	return r.far.conn.SendRequest(req.Type, true, req.Payload)
}

// allocated reads the port that the target chose.
func allocated(reply []byte) (port uint16, ok bool) {
	if len(reply) != 4 {
		return 0, false
	}
	n := binary.BigEndian.Uint32(reply)
	return uint16(n), n > 0 && n <= math.MaxUint16
}

// unlisten has the target listen no more where it listened for the user.
func (r *relay) unlisten(ctx context.Context, req *ssh.Request) {
	l := &r.listening
	l.mu.Lock()
	defer l.mu.Unlock()
	where, err := parseListen(req.Type == cancelSocket, req.Payload)
	i := slices.Index(l.places, where)
	if err != nil || i < 0 {
		r.refuseListen(req, where, "the target does not listen there for this session")
		return
	}
	ok, _, err := r.askTarget(req)
	if err != nil {
		return // the target is gone
	}
	if ok {
		if !r.noteListen(ctx, req.Type, where, "closed") {
			return
		}
		l.places = slices.Delete(l.places, i, i+1)
	}
	req.Reply(ok, nil)
}

// refuseListen answers no, which is all that can be said to a global request, and notes why.
func (r *relay) refuseListen(req *ssh.Request, where endpoint, why string) {
	detail := map[string]string{"type": req.Type, "why": why}
	if where != (endpoint{}) {
		detail["destination"] = where.String()
	}
	r.noteRefusal(detail)
	req.Reply(false, nil)
}

// noteListen notes that the target listens, or does no more; the session ends if that cannot be noted.
func (r *relay) noteListen(ctx context.Context, kind string, where endpoint, state string) bool {
	ev := r.event(sekisho.EventListen)
	ev.Detail = map[string]string{"type": kind, "address": where.String(), "state": state}
	err := r.gateway.cfg.Note(ctx, ev)
	if err != nil {
		r.end(fmt.Errorf("note listening: %w", err))
	}
	return err == nil
}

// every reports whether a bind address means more than one address of its machine (RFC 4254, section 7.1), and
// addresses that stand for all it means.
func (e endpoint) every() (means []string, every bool) {
	switch {
	case e.socket != "":
	case e.host == "" || e.host == "*":
		return []string{"0.0.0.0", "::"}, true
	case e.host == "0.0.0.0" || e.host == "::":
		return []string{e.host}, true
	}
	return nil, false
}

// mayListen reports whether the entries let the target listen at e. "" and "*", which mean every address, are held where
// 0.0.0.0 and :: are: by "*", or by an entry for each of the two. Everything else is held as it was said, so that
// localhost is held by localhost and by "*", and not by 127.0.0.1. Port 0 leaves the choice to the target: that is held
// by entries for any port only. Where the target's sshd listens in the end is also a matter of its GatewayPorts.
func (e endpoint) mayListen(list []sekisho.Destination) bool {
	hosts, every := e.every()
	if !every {
		hosts = []string{e.host}
	}
	for _, host := range hosts {
		if !(endpoint{host: host, port: e.port, socket: e.socket}).listens(list) {
			return false
		}
	}
	return true
}

func (e endpoint) listens(list []sekisho.Destination) bool {
	if e.socket != "" || e.port != 0 {
		return e.in(list)
	}
	for _, d := range list {
		if d.Holds(e.host, 0) && d.Holds(e.host, math.MaxUint16) {
			return true
		}
	}
	return false
}

// takes reports whether a connection that the target says came to at can have come to the listening place e: same socket,
// or same port and an address that e stands for.
func (e endpoint) takes(at endpoint) bool {
	if e.socket != "" || at.socket != "" || e.host == at.host {
		return e == at
	}
	if e.port != at.port {
		return false
	}
	if _, every := e.every(); every {
		return true
	}
	address, err := netip.ParseAddr(at.host)
	return e.host == "localhost" && err == nil && address.IsLoopback()
}
