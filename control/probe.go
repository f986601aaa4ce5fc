package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/ca"
)

const (
	// probeTime bounds all probes of one sync, probesAtOnce how many run beside each other.
	probeTime    = 10 * time.Second
	probesAtOnce = 8
)

// wanted is a host key that its connector reports, and what the host's certificate should be.
type wanted struct {
	target  *sekisho.Target
	request ca.HostRequest
	at      *ssh.Certificate // at hand, nil where there is none
	probed  error
}

// certifyHosts gives the certificates, as authorized_keys lines, for the host keys that a connector reports of its own
// targets. A new one is made only once the target's SSH server has proved that it holds the key; until then a host keeps the
// one that it has. again says that one is still due.
func (d connectors) certifyHosts(ctx context.Context, c *sekisho.Connector, own []*sekisho.Target, reports map[string]*apiv1.HostReport) (lines map[string]string, again bool, err error) {
	var due []*wanted
	lines = make(map[string]string, len(own))
	for _, t := range own {
		report := reports[t.Name]
		if report == nil || report.HostKey == "" {
			continue
		}
		w, err := d.want(ctx, c, t, report.HostKey)
		if err != nil { // one bad key must not hold up the connector's other targets
			d.Log.Warn("host key not certified", "connector", c.ID, "target", t.Name, "error", err)
			continue
		}
		trusted := d.CA.Lines().Host
		if w.at != nil && d.Revoked.Certificate(w.at) != nil {
			w.at = nil
		}
		if usable(w.at, w.request, trusted, d.Now()) {
			lines[t.Name] = ca.Line(w.at)
		}
		if !good(w.at, w.request, trusted, d.Now()) {
			due = append(due, w)
		} else if err := d.learn(ctx, c, t, w.request.Key); err != nil {
			return nil, false, err
		}
	}
	d.probe(ctx, due)
	for _, w := range due {
		line, err := d.certifyProved(ctx, c, w)
		switch {
		case err == nil:
			lines[w.target.Name] = line
			continue
		case !refusal(err) && w.probed == nil:
			return nil, false, err
		}
		again = again || !d.Linked(w.target.Name) || errors.Is(w.probed, context.DeadlineExceeded)
		d.Log.Warn("host key not certified", "connector", c.ID, "target", w.target.Name, "error", err)
	}
	return lines, again, nil
}

// want says what certificate a reported host key should have.
func (d connectors) want(ctx context.Context, c *sekisho.Connector, t *sekisho.Target, line string) (*wanted, error) {
	key, err := readKey(line)
	if err != nil {
		return nil, fmt.Errorf("host key of %s: %w", t.Name, err)
	}
	names := []string{t.Name}
	if d.Domain != "" {
		names = append(names, t.Name+"."+strings.ToLower(d.Domain))
	}
	return &wanted{
		target: t, at: d.hosts.atHand(ctx, d.door, t.Name),
		request: ca.HostRequest{Names: names, Key: key, TTL: hostTTL, Actor: "connector:" + c.Name},
	}, nil
}

// probe has each target prove its host key, a few at a time.
func (d connectors) probe(ctx context.Context, all []*wanted) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var work sync.WaitGroup
	turns := make(chan struct{}, probesAtOnce)
	for _, w := range all {
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
			w.probed = fmt.Errorf("no time was left for it: %w", ctx.Err())
			continue
		}
		work.Go(func() {
			defer func() { <-turns }()
			w.probed = d.prove(ctx, w)
		})
	}
	work.Wait()
}

// prove says why a target has not proved to hold the key; nil: it has.
func (d connectors) prove(ctx context.Context, w *wanted) error {
	shown, err := d.ProbeHostKey(ctx, w.target.Name, w.request.Key.Type())
	if err != nil {
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return fmt.Errorf("its SSH server did not prove the key that its connector reports: %w", err)
	}
	if string(shown.Marshal()) != string(w.request.Key.Marshal()) {
		return fmt.Errorf("its connector reports the key %s, and its SSH server has %s",
			ssh.FingerprintSHA256(w.request.Key), ssh.FingerprintSHA256(shown))
	}
	return nil
}

// certifyProved makes the certificate for a key that was proved, and keeps the key as the target's.
func (d connectors) certifyProved(ctx context.Context, c *sekisho.Connector, w *wanted) (string, error) {
	if w.probed != nil {
		return "", w.probed
	}
	cert, err := d.hosts.issue(ctx, d.door, w.request)
	if err != nil {
		return "", err
	}
	return ca.Line(cert), d.learn(ctx, c, w.target, w.request.Key)
}
