package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/host"
)

// Bounds of the time between two syncs.
const (
	shortest = 5 * time.Second
	longest  = time.Hour
	retry    = 2 * time.Second // after the first failure; doubles from there on
)

// keepInStep syncs at the start, when the link comes up, after every change, and as often as control says.
func (c *Connector) keepInStep(ctx context.Context) {
	failures := 0
	interval := time.Minute
	for {
		var wait time.Duration
		changed, err := c.sync(ctx, &interval)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.log.Warn("hosts are not in step", "error", err)
			wait = min(interval, retry<<min(failures, 6))
			failures++
		case changed: // tell control soon what is trusted now, but never in a tight loop
			wait, failures = shortest, 0
		default:
			wait, failures = interval, 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.up:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// sync reports what the hosts have and applies what they should have.
func (c *Connector) sync(ctx context.Context, interval *time.Duration) (changed bool, err error) {
	req := &apiv1.SyncRequest{}
	for i := range c.cfg.Targets {
		req.Targets = append(req.Targets, c.report(ctx, &c.cfg.Targets[i]))
	}
	if c.renewalDue(time.Now()) {
		if req.Csr, err = request(c.key); err != nil {
			return false, err
		}
	}
	call, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	res, err := c.control.Sync(call, connect.NewRequest(req))
	if err != nil {
		return false, fmt.Errorf("sync: %w", spoken(err))
	}
	*interval = min(max(time.Duration(res.Msg.IntervalSeconds)*time.Second, shortest), longest)
	errs := []error{c.renew(res.Msg.LinkCertificate)}
	for _, state := range res.Msg.Targets {
		did, err := c.apply(ctx, state, res.Msg.Revocations)
		changed = changed || did
		errs = append(errs, err)
	}
	return changed, errors.Join(errs...)
}

// report says what a target's host has.
func (c *Connector) report(ctx context.Context, t *TargetConfig) *apiv1.HostReport {
	r := &apiv1.HostReport{Name: t.Name, Error: c.trouble[t.Name], Managed: t.host != nil}
	var err error
	switch {
	case t.host != nil:
		r.Managed = true
		var trusts []string
		if r.HostKey, err = t.host.HostKey(); err == nil {
			trusts, err = t.host.Trusts(ctx)
			r.Trusts = strings.Join(trusts, " ")
		}
		if err == nil {
			r.CertificateCa, err = t.host.CertificateCA(ctx)
		}
		if err == nil {
			r.Revocations, err = t.host.Revocations(ctx)
		}
	case t.HostKey != "":
		var line []byte
		if line, err = os.ReadFile(t.HostKey); err == nil {
			r.HostKey = strings.TrimSpace(string(line))
		}
	}
	if err != nil && r.Error == "" {
		r.Error = err.Error()
	}
	return r
}

// apply brings one host in step, and remembers why not.
func (c *Connector) apply(ctx context.Context, state *apiv1.HostState, revocations []byte) (bool, error) {
	for _, t := range c.cfg.Targets {
		if t.Name != state.Name || t.host == nil {
			continue
		}
		principals := make(map[string][]string, len(state.Principals))
		for login, p := range state.Principals {
			principals[login] = p.GetPrincipals()
		}
		changed, err := t.host.Apply(ctx, host.State{
			TrustedUserCA: state.TrustedUserCa, Principals: principals, HostCertificate: state.HostCertificate,
			Published: publishedKeys(state.Published), Revocations: revocations,
		})
		delete(c.trouble, t.Name)
		if err != nil {
			c.trouble[t.Name] = err.Error()
			return changed, fmt.Errorf("target %s: %w", t.Name, err)
		}
		return changed, nil
	}
	return false, nil
}

func publishedKeys(all map[string]*apiv1.PublishedKeys) map[string][]host.PublishedKey {
	out := make(map[string][]host.PublishedKey, len(all))
	for login, keys := range all {
		for _, k := range keys.GetKeys() {
			out[login] = append(out[login], host.PublishedKey{ID: k.Id, Key: k.Key, Expires: k.Expires.AsTime(), Allow: k.Allow, From: k.From})
		}
	}
	return out
}

// renewalDue says whether less than a third of the link certificate's life is left.
func (c *Connector) renewalDue(now time.Time) bool {
	leaf := c.certificate.Load().Leaf
	return leaf.NotAfter.Sub(now) < leaf.NotAfter.Sub(leaf.NotBefore)/3
}

// renew takes over a new link certificate; nil is none.
func (c *Connector) renew(der []byte) error {
	if len(der) == 0 {
		return nil
	}
	next := *c.id
	next.LinkCertificate = der
	cert, err := next.certificate(c.key)
	if err != nil {
		return err
	}
	if err := next.save(c.cfg.Data); err != nil {
		return fmt.Errorf("keep link certificate: %w", err)
	}
	c.id = &next
	c.certificate.Store(cert)
	c.log.Info("link certificate is renewed", "valid_until", cert.Leaf.NotAfter)
	c.link.Renew()
	return nil
}
