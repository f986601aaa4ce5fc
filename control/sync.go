package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	all, err := d.Store.Targets(ctx)
	if err != nil {
		return nil, fmt.Errorf("list targets: %w", err)
	}
	reports := make(map[string]*apiv1.HostReport, len(req.Msg.Targets))
	for _, r := range req.Msg.Targets {
		reports[r.Name] = r
	}
	res := &apiv1.SyncResponse{IntervalSeconds: int32(syncEvery.Seconds())}
	if res.Revocations, err = d.missedRevocations(ctx, c, all, reports); err != nil {
		return nil, err
	}
	for _, t := range all {
		if t.Connector != c.ID {
			continue
		}
		state, err := d.state(ctx, c, t, reports[t.Name])
		if err != nil {
			return nil, err
		}
		res.Targets = append(res.Targets, state)
		delete(reports, t.Name)
	}
	for name := range reports { // what is left is not this connector's: nothing is taken from it, nothing given
		d.alarm(ctx, c, addressOf(req.Peer().Addr), fmt.Errorf("reports on target %.140q, which it does not serve", name))
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
func (d connectors) missedRevocations(ctx context.Context, c *sekisho.Connector, all []*sekisho.Target, reports map[string]*apiv1.HostReport) ([]byte, error) {
	list, err := d.Revoked.Users(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if r := reports[t.Name]; t.Connector == c.ID && (r == nil || r.Revocations == 0 || r.Revocations < list.Number) {
			return list.KRL, nil
		}
	}
	return nil, nil
}

// state is what one of the connector's own targets should have. report is nil when the connector has none.
func (d connectors) state(ctx context.Context, c *sekisho.Connector, t *sekisho.Target, report *apiv1.HostReport) (*apiv1.HostState, error) {
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
	if report == nil {
		return state, nil
	}
	if report.Error != "" {
		trouble := report.Error[:min(len(report.Error), maxTrouble)]
		d.Log.Warn("connector could not bring its host in step", "connector", c.ID, "target", t.Name, "error", trouble)
	}
	if report.HostKey == "" {
		return state, nil
	}
	cert, err := d.hostCertificate(ctx, c, t, report.HostKey)
	if refusal(err) { // one bad key must not hold up the connector's other targets
		d.Log.Warn("host key not certified", "connector", c.ID, "target", t.Name, "error", err)
		return state, nil
	}
	if err != nil {
		return nil, err
	}
	state.HostCertificate = cert
	return state, nil
}

// hostCertificate learns the host key that the target's own connector reports, and certifies it.
func (d connectors) hostCertificate(ctx context.Context, c *sekisho.Connector, t *sekisho.Target, line string) (string, error) {
	key, err := readKey(line)
	if err != nil {
		return "", malformed(fmt.Errorf("host key of %s: %w", t.Name, err))
	}
	names := []string{t.Name}
	if d.Domain != "" {
		names = append(names, t.Name+"."+strings.ToLower(d.Domain))
	}
	actor := "connector:" + c.Name
	cert, err := d.hosts.certificate(ctx, d.door, ca.HostRequest{Names: names, Key: key, TTL: hostTTL, Actor: actor})
	if err != nil {
		return "", err
	}
	if line := ca.Line(key); line != t.HostKey {
		if err := d.learn(ctx, c, t.Name, key); err != nil {
			return "", err
		}
	}
	return cert, nil
}

// learn keeps a target's host key, and notes when it is another one than before.
func (d connectors) learn(ctx context.Context, c *sekisho.Connector, name string, key ssh.PublicKey) error {
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
