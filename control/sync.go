package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/ca"
)

const (
	// syncEvery is how often a connector should ask.
	syncEvery = time.Minute
	// syncSoon is the same while a host waits for its certificate.
	syncSoon = 5 * time.Second
	// syncRotating is the same while a CA's rotation waits for hosts.
	syncRotating = 15 * time.Second
	// maxReports is how many targets one connector may report on.
	maxReports = 1000
	maxTrouble = 500 // bytes of a report's error that get into the log
)

func (d connectors) Sync(ctx context.Context, req *connect.Request[apiv1.SyncRequest]) (*connect.Response[apiv1.SyncResponse], error) {
	c, err := d.connector(ctx, req)
	if err != nil {
		return nil, err
	}
	if len(req.Msg.Targets) > maxReports {
		return nil, malformed(fmt.Errorf("%d reports: want %d at most", len(req.Msg.Targets), maxReports))
	}
	own, err := d.served(ctx, c)
	if err != nil {
		return nil, err
	}
	reports := make(map[string]*apiv1.HostReport, len(req.Msg.Targets))
	for _, r := range req.Msg.Targets {
		reports[r.Name] = r
	}
	if err := d.heard(ctx, c, own, reports, addressOf(req.Peer().Addr)); err != nil {
		return nil, err
	}
	certificates, again, err := d.certifyHosts(ctx, c, own, reports)
	if err != nil {
		return nil, err
	}
	res := &apiv1.SyncResponse{IntervalSeconds: int32(syncEvery.Seconds())}
	switch {
	case again:
		res.IntervalSeconds = int32(syncSoon.Seconds())
	case d.Rotation.waits():
		res.IntervalSeconds = int32(syncRotating.Seconds())
	}
	if res.Revocations, err = d.missedRevocations(ctx, own, reports); err != nil {
		// What else hosts get must not wait for it: a CA key that is trusted no more, a key that was withdrawn. They go by the
		// list that they have, and its number says so. One that has none is not set up without.
		if slices.ContainsFunc(own, func(t *sekisho.Target) bool {
			return reports[t.Name].GetManaged() && reports[t.Name].GetRevocations() == 0
		}) {
			return nil, err
		}
		d.Log.Error("hosts get no revocation list", "connector", c.ID, "error", err)
	}
	for _, t := range own {
		state, err := d.state(ctx, t)
		if err != nil {
			return nil, err
		}
		state.HostCertificate = certificates[t.Name]
		res.Targets = append(res.Targets, state)
	}
	if len(req.Msg.Csr) > 0 {
		link, err := d.Links.Sign(ca.LinkRequest{CSR: req.Msg.Csr, Thumbprint: c.Thumbprint, Connector: c.ID, Name: c.Name})
		if err != nil {
			return nil, as(connect.CodeInvalidArgument, err)
		}
		res.LinkCertificate = link
	}
	return connect.NewResponse(res), nil
}

// missedRevocations is the revocation list where one of the connector's targets has an older one, or none.
func (d connectors) missedRevocations(ctx context.Context, own []*sekisho.Target, reports map[string]*apiv1.HostReport) ([]byte, error) {
	list, err := d.Revoked.Users(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range own {
		if r := reports[t.Name]; r != nil && r.Managed && (r.Revocations == 0 || r.Revocations < list.Number) {
			return list.KRL, nil
		}
	}
	return nil, nil
}

// served lists the targets that are the connector's.
func (d connectors) served(ctx context.Context, c *sekisho.Connector) ([]*sekisho.Target, error) {
	all, err := d.Store.Targets(ctx)
	if err != nil {
		return nil, fmt.Errorf("list targets: %w", err)
	}
	return slices.DeleteFunc(all, func(t *sekisho.Target) bool { return t.Connector != c.ID }), nil
}

// heard keeps what a connector says of its own targets. Of others nothing is taken, and it is noted that it tried.
func (d connectors) heard(ctx context.Context, c *sekisho.Connector, own []*sekisho.Target, reports map[string]*apiv1.HostReport, from netip.Addr) error {
	foreign := maps.Clone(reports)
	var said []*sekisho.HostReport
	for _, t := range own {
		report := reports[t.Name]
		if report == nil {
			continue
		}
		delete(foreign, t.Name)
		r := readReport(report, d.Now())
		if r.Error != "" {
			d.Log.Warn("connector could not bring its host in step", "connector", c.ID, "target", t.Name, "error", r.Error)
		}
		said = append(said, r)
	}
	for name := range foreign {
		d.alarm(ctx, c, from, fmt.Errorf("reports on target %.140q, which it does not serve", name))
	}
	return d.keep(ctx, said)
}

// state is what one of the connector's own targets should have.
func (d connectors) state(ctx context.Context, t *sekisho.Target) (*apiv1.HostState, error) {
	lines := d.CA.Lines()
	state := &apiv1.HostState{
		Name: t.Name,
		// Audited targets trust the gateway's CA alone: no certificate of a person opens them, whatever it says.
		TrustedUserCa: lines.Gateway,
		Principals:    make(map[string]*apiv1.Principals, len(t.Logins)),
	}
	if !t.Audited {
		state.TrustedUserCa = slices.Concat(lines.User, lines.Gateway)
	}
	for _, l := range t.Logins {
		if principals := t.Principals(l); len(principals) > 0 {
			state.Principals[l] = &apiv1.Principals{Principals: principals}
		}
	}
	var err error
	if state.Published, err = d.publishedOn(ctx, t); err != nil {
		return nil, err
	}
	return state, nil
}

// learn keeps a target's host key, and notes when it is another one than before.
func (d connectors) learn(ctx context.Context, c *sekisho.Connector, known *sekisho.Target, key ssh.PublicKey) error {
	if known.HostKey == ca.Line(key) {
		return nil
	}
	name := known.Name
	d.binding.Lock()
	defer d.binding.Unlock()
	t, err := d.Store.Target(ctx, name)
	if err != nil {
		return fmt.Errorf("read target %s: %w", name, err)
	}
	line := ca.Line(key)
	if t.Connector != c.ID || t.HostKey == line {
		return nil
	}
	ev := &sekisho.Event{
		Kind: sekisho.EventTargetHostKey, Actor: "connector:" + c.Name, Target: name,
		Detail: map[string]string{"key": ssh.FingerprintSHA256(key)},
	}
	if old, err := readKey(t.HostKey); err == nil {
		ev.Detail["before"] = ssh.FingerprintSHA256(old)
	}
	if err := d.Note(ctx, ev); err != nil {
		return fmt.Errorf("note host key: %w", err)
	}
	t.HostKey = line
	if err := d.Store.SaveTarget(ctx, t); err != nil {
		return errors.Join(fmt.Errorf("save target %s", name), err)
	}
	return nil
}
