package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sekisho/sekisho/api/v1/apiv1connect"
	"github.com/sekisho/sekisho/tunnel"
)

type runCommand struct {
	Check bool `help:"Check the configuration, ask each sshd whether it accepts its own, and exit."`
}

func (r *runCommand) Run(ctx context.Context, c *cli, std stdio) error {
	level := new(slog.LevelVar)
	log := slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: level}))
	cfg, err := LoadConfig(c.Config, log)
	if err != nil {
		return err
	}
	level.Set(cfg.level)
	if r.Check {
		return check(ctx, cfg, std.out)
	}
	con, err := New(cfg, log)
	if err != nil {
		return err
	}
	con.Run(ctx)
	return nil
}

// check says what is wrong before anything is at stake.
func check(ctx context.Context, cfg *Config, out io.Writer) error {
	for _, t := range cfg.Targets {
		if t.host == nil {
			continue
		}
		if _, err := t.host.HostKey(); err != nil {
			return fmt.Errorf("target %s: %w", t.Name, err)
		}
		trusts, err := t.host.Trusts(ctx)
		if err != nil {
			return fmt.Errorf("target %s: %w", t.Name, err)
		}
		line := fmt.Sprintf("Target %s: sshd trusts %d CAs", t.Name, len(trusts))
		if len(trusts) > 0 {
			line += ": " + strings.Join(trusts, " ")
		}
		fmt.Fprintln(out, line)
	}
	switch _, err := loadIdentity(cfg.Data); {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintln(out, "The configuration is good. The connector has not joined yet: sekisho-connector join.")
	case err != nil:
		return err
	default:
		fmt.Fprintln(out, "The configuration is good.")
	}
	return nil
}

// Connector is the running daemon: a link, and hosts kept in step.
type Connector struct {
	cfg     *Config
	log     *slog.Logger
	key     *ecdsa.PrivateKey
	id      *identity
	control apiv1connect.ConnectorServiceClient
	idle    func() // closes idle connections to control
	link    *tunnel.Link
	// certificate is the link's, replaced when renewed.
	certificate atomic.Pointer[tls.Certificate]
	up          chan struct{}     // the link came up
	trouble     map[string]string // by target: why its host is not in step
}

// New reads what joining left and makes the parts. It opens nothing.
func New(cfg *Config, log *slog.Logger) (*Connector, error) {
	id, err := loadIdentity(cfg.Data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: this connector has not joined: run sekisho-connector join first", errUsage)
	}
	if err != nil {
		return nil, err
	}
	c := &Connector{cfg: cfg, log: log, id: id, up: make(chan struct{}, 1), trouble: make(map[string]string)}
	if c.key, err = loadKey(cfg.Data); err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	cert, err := id.certificate(c.key)
	if err != nil {
		return nil, err
	}
	c.certificate.Store(cert)
	if c.control, c.idle, err = newClient(cfg, c.key, id.Token); err != nil {
		return nil, err
	}
	targets := make(map[string]string, len(cfg.Targets))
	for _, t := range cfg.Targets {
		targets[t.Name] = t.Address
	}
	c.link, err = tunnel.NewLink(tunnel.LinkConfig{
		Address: cfg.address(), Connector: id.Connector, Targets: targets, Log: log, Up: c.noticeUp,
		Spare: cfg.Spare, MaxStreams: cfg.MaxStreams,
		TLS: &tls.Config{
			RootCAs: cfg.roots,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return c.certificate.Load(), nil
			},
		},
	})
	return c, err
}

func (c *Connector) noticeUp() {
	select {
	case c.up <- struct{}{}:
	default:
	}
}

// Run keeps the link up and the hosts in step until ctx ends, then drains.
func (c *Connector) Run(ctx context.Context) {
	host, _ := os.Hostname()
	c.log.Info("start", "connector", c.id.Connector, "host", host, "control", c.cfg.origin(), "targets", len(c.cfg.Targets))
	var wg sync.WaitGroup
	wg.Go(func() { c.link.Run(ctx) })
	wg.Go(func() { c.keepInStep(ctx) })
	wg.Wait()
	c.idle()
	c.log.Info("end")
}
