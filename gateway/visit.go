package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// Bounds on a visit.
const (
	maxVisitChannels = 16               // open at once
	maxPlaces        = 1000             // listed
	visitIdle        = 10 * time.Minute // without an open channel, then it ends
	visitPatience    = time.Minute      // for a channel to say what it is for, to take the list and to be closed, then the visit ends
)

// visit is a connection to the SSH port that says no target. It lists what one may reach (shell, exec) and lets ssh -J
// through (direct-tcpip): SSH inside such a channel is an arrival of its own, decided and recorded as any other. Nothing
// else is to be had of a visit, and no byte of it reaches a target by itself.
type visit struct {
	sekisho.Session // as events and those who end sessions see it; it has no target and no login
	gateway         *Gateway
	pass            *sekisho.Pass
	proof           *proof
	client          netip.Addr
	port            string // at which it came in
	ctx             context.Context
	cancel          context.CancelFunc

	mu      sync.Mutex
	idle    *time.Timer
	open    int
	ending  bool
	settled chan struct{} // closed once it is ending and no channel is open

	channels sync.WaitGroup
	refusals atomic.Int64
}

// receive registers and notes a visit.
func (g *Gateway) receive(ctx context.Context, t *traveller, pass *sekisho.Pass, c *claim) (*visit, error) {
	v := &visit{
		gateway: g, pass: pass, proof: t.proofOf(c, pass), client: t.client, port: portOf(t.conn.LocalAddr()),
		Session: sekisho.Session{
			ID: sekisho.NewID("vis"), SignIn: pass.SignIn, Identity: pass.Identity, ClientAddress: t.client.String(),
			Gateway: g.cfg.Name, Started: g.cfg.Now().UTC(), Way: t.way,
			Key: pass.Key, Request: pass.ID,
		},
	}
	if c.certificate != nil {
		v.Serial, v.CA = c.certificate.Serial, ssh.FingerprintSHA256(c.certificate.SignatureKey)
	}
	v.settled = make(chan struct{})
	v.ctx, v.cancel = context.WithCancel(ctx)
	v.idle = time.AfterFunc(g.visitIdle, v.cancel)
	if err := g.enterVisit(v); err != nil {
		v.cancel()
		return nil, err
	}
	context.AfterFunc(ctx, func() { g.leaveVisit(v) })
	if err := g.stillGood(c.certificate); err != nil {
		v.cancel()
		return nil, err
	}
	if err := g.cfg.Note(ctx, v.event(sekisho.EventVisit)); err != nil {
		v.cancel()
		return nil, fmt.Errorf("note visit: %w", err)
	}
	return v, nil
}

// run serves a visit until the client goes, nothing happens for visitIdle, or somebody ends it.
func (v *visit) run(end *sshEnd) {
	defer context.AfterFunc(v.ctx, func() {
		v.settle()
		end.conn.Close()
	})()
	go v.globalRequests(end.requests)
	for ch := range end.channels {
		v.accept(ch)
	}
	end.over()
	v.settle() // what came through it has lost its connection and ends by itself ...
	v.cancel() // ... or is ended
	v.channels.Wait()
}

// enter counts a channel; false says that there are too many, or that it is too late.
func (v *visit) enter() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open >= maxVisitChannels || v.ending {
		return false
	}
	v.open++
	v.idle.Stop()
	return true
}

func (v *visit) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open--
	switch {
	case v.open > 0:
	case v.ending:
		close(v.settled)
	case v.gateway.closing.Err() != nil:
		v.cancel()
	default:
		v.idle.Reset(v.gateway.visitIdle)
	}
}

// settle takes no more channels and waits for the open ones to end, within closeTime.
func (v *visit) settle() {
	v.mu.Lock()
	if !v.ending && v.open == 0 {
		close(v.settled)
	}
	v.ending = true
	v.idle.Stop()
	v.mu.Unlock()
	select {
	case <-v.settled:
	case <-time.After(closeTime):
	}
}

// retire ends the visit once no channel is open.
func (v *visit) retire() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open == 0 {
		v.cancel()
	}
}

func (v *visit) accept(ch ssh.NewChannel) {
	serve := v.list
	switch ch.ChannelType() {
	case "session":
	case directTCP:
		serve = v.jump
	default:
		v.refuse(ch, ssh.Prohibited, "", "not for a visit", "Say where to: ssh LOGIN%TARGET@GATEWAY.")
		return
	}
	switch {
	case v.gateway.closing.Err() != nil:
		ch.Reject(ssh.ConnectionFailed, sekisho.Say(errClosing))
	case !v.enter():
		v.refuse(ch, ssh.ResourceShortage, "", "too many channels", fmt.Sprintf("More than %d channels at once are refused.", maxVisitChannels))
	default:
		v.channels.Go(func() {
			defer v.leave()
			serve(ch)
		})
	}
}

// jump takes a connection to a target, whose SSH the gateway ends as well.
func (v *visit) jump(ch ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}
	if ssh.Unmarshal(ch.ExtraData(), &to) != nil {
		v.refuse(ch, ssh.ConnectionFailed, "", malformed, "This is not a destination.")
		return
	}
	destination := printable(net.JoinHostPort(to.Host, strconv.FormatUint(uint64(to.Port), 10)))
	host, err := readHost(to.Host)
	if err != nil {
		v.refuse(ch, ssh.ConnectionFailed, destination, err.Error(), "This is not the name of a target.")
		return
	}
	if to.Port != 22 {
		v.refuse(ch, ssh.Prohibited, destination, "not port 22", "Through here only port 22 is reached: a target is one name with one SSH server.")
		return
	}
	target, err := v.gateway.cfg.Find(v.ctx, host)
	if err != nil {
		if !errors.Is(err, sekisho.ErrNotFound) {
			v.gateway.cfg.Log.Error("find target", "host", host, "error", err)
		}
		v.refuse(ch, ssh.ConnectionFailed, destination, err.Error(), "There is no target called "+host+". Check the name: sekisho targets lists yours.")
		return
	}
	inner, requests, err := ch.Accept()
	if err != nil {
		return
	}
	defer v.await(discarded(requests))
	var in, out atomic.Int64
	conn := newChannelConn(inner, v.client, &out)
	v.channels.Go(func() { conn.feed(nil, inner, &in) })
	v.gateway.arrive(v.ctx, conn, arrival{way: sekisho.WayJump, parent: v.ID, client: v.client, target: target, names: []string{host, target}})
}

// list answers a session channel: whatever shell or command is asked for, there is a list of what one may reach, and no
// command is run. Who does not say what the channel is for, or does not take the list, ends the visit.
func (v *visit) list(ch ssh.NewChannel) {
	channel, requests, err := ch.Accept()
	if err != nil {
		return
	}
	defer func() {
		channel.Close()
		v.await(discarded(requests))
	}()
	defer time.AfterFunc(v.gateway.visitPatience, v.cancel).Stop()
	// What is said here goes nowhere, and is not held.
	go io.Copy(io.Discard, channel)
	go io.Copy(io.Discard, channel.Stderr())
	listed := make(chan struct{})
	go func() {
		defer close(listed)
		v.answer(channel, requests)
	}()
	select {
	case <-listed:
	case <-v.ctx.Done():
	}
}

// discarded answers all requests of a channel with no; what it gives is closed once the client has closed the channel.
func discarded(requests <-chan *ssh.Request) <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		ssh.DiscardRequests(requests)
	}()
	return gone
}

// await waits for the client to close a channel that has come to its end here; until then it counts. Who does not close
// it ends the visit.
func (v *visit) await(gone <-chan struct{}) {
	defer time.AfterFunc(v.gateway.visitPatience, v.cancel).Stop()
	select {
	case <-gone:
	case <-v.ctx.Done():
	}
}

// answer answers requests until the list was asked for and shown.
func (v *visit) answer(channel ssh.Channel, requests <-chan *ssh.Request) {
	var out, errOut io.Writer = channel, channel.Stderr()
	for req := range requests {
		switch req.Type {
		case "shell", "exec":
			req.Reply(true, nil)
			go ssh.DiscardRequests(requests)
			status := v.listFor(req, out, errOut)
			channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			return
		case "pty-req":
			out, errOut = &returning{out}, &returning{errOut}
			req.Reply(true, nil)
		case "env", "window-change":
			req.Reply(false, nil)
		default:
			v.noteRefused(map[string]string{"type": printable(req.Type), "why": "not for a visit"})
			req.Reply(false, nil)
		}
	}
}

// listFor gives the list that a request gets, and the exit status. A command is not run, and a script must not take it for
// one that was.
func (v *visit) listFor(req *ssh.Request, out, errOut io.Writer) uint32 {
	switch {
	case wantsJSON(req):
		return v.show(out, errOut, true)
	case req.Type == "exec":
		io.WriteString(errOut, "No command was run: the user name names no target. Write LOGIN%TARGET as the user name.\n")
		v.show(errOut, errOut, false)
		return 1
	}
	return v.show(out, errOut, false)
}

// wantsJSON: `ssh GATEWAY json`; programs that are used to say --json may.
func wantsJSON(req *ssh.Request) bool {
	var command struct{ Line string }
	return req.Type == "exec" && ssh.Unmarshal(req.Payload, &command) == nil && strings.TrimPrefix(command.Line, "--") == "json"
}

// show writes the list and gives the exit status.
func (v *visit) show(out, errOut io.Writer, asJSON bool) uint32 {
	ctx, cancel := context.WithTimeout(v.ctx, closeTime)
	defer cancel()
	places, err := v.gateway.cfg.Reachable(ctx, v.pass, v.client)
	if err != nil {
		v.gateway.cfg.Log.Error("list what is reachable", "visit", v.ID, "error", err)
		fmt.Fprintln(errOut, sekisho.Say(err))
		return 1
	}
	more := max(len(places)-maxPlaces, 0)
	places = places[:len(places)-more]
	if asJSON {
		lines := json.NewEncoder(out)
		for _, p := range places {
			lines.Encode(p)
		}
		return 0
	}
	fmt.Fprintf(out, "Signed in as %s.\n", v.Identity.Subject)
	v.table(out, places)
	if more > 0 {
		fmt.Fprintf(out, "… and %d more.\n", more)
	}
	return 0
}

func (v *visit) table(out io.Writer, places []Place) {
	if len(places) == 0 {
		fmt.Fprintln(out, "No policy lets you reach any target from here.")
		return
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprint(w, "\nTARGET\tLINK\tLOGINS\tLIMITS\n")
	for _, p := range places {
		link := "down"
		if p.Linked {
			link = "up"
		}
		for _, a := range p.alike() {
			fmt.Fprintln(w, strings.TrimRight(strings.Join([]string{p.Target, link, strings.Join(a.logins, " "), a.limits}, "\t"), "\t"))
		}
	}
	w.Flush()
	flag := ""
	if v.port != "22" {
		flag = "-p " + v.port + " "
	}
	fmt.Fprintf(out, "\nTo go there:  ssh LOGIN%%TARGET@sekisho-gateway   (with the lines that sekisho ssh-config prints)\n"+
		"         or:  ssh %sLOGIN%%TARGET@%s   (without them; ssh asks about the host key)\n"+
		"         or:  ssh -J sekisho-gateway LOGIN@TARGET   (with those of sekisho ssh-config --agent)\n", flag, v.gateway.cfg.Host)
}

// alike are logins of a place with the same limits, in a few words.
type alike struct {
	logins []string
	limits string
}

func (p *Place) alike() (all []alike) {
	for i, login := range p.Logins {
		limits := p.Limits[i].Brief()
		if p.Limits[i].Audit != sekisho.AuditNone {
			limits = strings.TrimSuffix("recorded, "+limits, ", ")
		}
		at := slices.IndexFunc(all, func(a alike) bool { return a.limits == limits })
		if at < 0 {
			at, all = len(all), append(all, alike{limits: limits})
		}
		all[at].logins = append(all[at].logins, login)
	}
	return all
}

func (v *visit) globalRequests(requests <-chan *ssh.Request) {
	for req := range requests {
		switch req.Type {
		case "keepalive@openssh.com", "no-more-sessions@openssh.com":
		default:
			v.noteRefused(map[string]string{"type": printable(req.Type), "why": "not for a visit"})
		}
		req.Reply(false, nil)
	}
}

// refuse refuses a channel with a sentence and an event.
func (v *visit) refuse(ch ssh.NewChannel, reason ssh.RejectionReason, destination, why, sentence string) {
	detail := map[string]string{"type": printable(ch.ChannelType()), "why": why}
	if destination != "" {
		detail["destination"] = destination
	}
	v.noteRefused(detail)
	ch.Reject(reason, sentence)
}

// noteRefused notes the first maxRefusals of a visit. A visit whose refusals cannot be noted ends.
func (v *visit) noteRefused(detail map[string]string) {
	if v.refusals.Add(1) > maxRefusals {
		return
	}
	ev := v.event(sekisho.EventChannelRefused)
	ev.Detail = detail
	if err := v.gateway.cfg.Note(v.ctx, ev); err != nil && v.ctx.Err() == nil {
		v.gateway.cfg.Log.Error("note refusal", "visit", v.ID, "error", err)
		v.cancel()
	}
}

func (v *visit) event(kind string) *sekisho.Event {
	return &sekisho.Event{Kind: kind, Actor: v.Identity.Subject, SignIn: v.SignIn, Session: v.ID, ClientAddress: v.ClientAddress}
}

// returning writes line ends as a terminal in raw mode wants them.
type returning struct{ w io.Writer }

func (r *returning) Write(p []byte) (int, error) {
	if _, err := io.WriteString(r.w, strings.ReplaceAll(string(p), "\n", "\r\n")); err != nil {
		return 0, err
	}
	return len(p), nil
}

func portOf(a net.Addr) string {
	if ap, err := netip.ParseAddrPort(a.String()); err == nil {
		return strconv.Itoa(int(ap.Port()))
	}
	return "22"
}
