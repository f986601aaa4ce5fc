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
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho/api"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
)

const (
	callTime  = 30 * time.Second
	maxAnswer = 32 << 20 // bytes of one answer of control's
	maxToken  = 4 << 10  // bytes of a join token
)

type joinCommand struct {
	TokenFile string `placeholder:"FILE" help:"File with the one-time token; - is standard input. Or set SEKISHO_JOIN_TOKEN."`
	Name      string `help:"What people will call this connector; by default this host's name."`
}

// Run redeems the token. The token never is an argument, which every user of the host could read.
func (j *joinCommand) Run(ctx context.Context, c *cli, std stdio) error {
	cfg, err := LoadConfig(c.Config, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(cfg.Data, identityFile)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: this connector has joined already; remove %s to join anew", errUsage, filepath.Join(cfg.Data, identityFile))
	}
	token, err := j.token(std.in)
	if err != nil {
		return err
	}
	if j.Name == "" {
		if j.Name, err = os.Hostname(); err != nil {
			return err
		}
	}
	key, err := makeKey(cfg.Data)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	id, err := join(ctx, cfg, key, token, j.Name)
	if err != nil {
		return err
	}
	if err := id.save(cfg.Data); err != nil {
		return fmt.Errorf("keep what joining gave: %w", err)
	}
	fmt.Fprintf(std.out, "Joined as %s for %s.\n", id.Connector, strings.Join(id.Targets, ", "))
	for _, name := range id.Targets {
		if !slices.ContainsFunc(cfg.Targets, func(t TargetConfig) bool { return t.Name == name }) {
			fmt.Fprintf(std.err, "Target %s is not in %s yet: add it, with its address.\n", name, c.Config)
		}
	}
	return nil
}

func (j *joinCommand) token(stdin io.Reader) (string, error) {
	var text []byte
	var err error
	switch j.TokenFile {
	case "":
		text = []byte(os.Getenv("SEKISHO_JOIN_TOKEN"))
	case "-":
		text, err = io.ReadAll(io.LimitReader(stdin, maxToken))
	default:
		text, err = os.ReadFile(j.TokenFile)
	}
	if err != nil {
		return "", fmt.Errorf("read join token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(token) >= maxToken {
		return "", fmt.Errorf("%w: no join token: give --token-file, or SEKISHO_JOIN_TOKEN", errUsage)
	}
	return token, nil
}

func join(ctx context.Context, cfg *Config, key *ecdsa.PrivateKey, token, name string) (*identity, error) {
	client, closeIdle, err := newClient(cfg, key, "")
	if err != nil {
		return nil, err
	}
	defer closeIdle()
	csr, err := request(key)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	res, err := client.Join(ctx, connect.NewRequest(&apiv1.JoinRequest{Token: token, Name: strings.ToLower(name), Csr: csr}))
	if err != nil {
		return nil, fmt.Errorf("join: %w", spoken(err))
	}
	id := &identity{
		Connector: res.Msg.Connector, Token: res.Msg.Token, Targets: res.Msg.Targets, LinkCertificate: res.Msg.LinkCertificate,
	}
	if _, err := id.certificate(key); err != nil {
		return nil, err
	}
	return id, nil
}

// spoken is control's sentence for the person without the protocol's words around it.
func spoken(err error) error {
	if c := new(connect.Error); errors.As(err, &c) && c.Message() != "" {
		return errors.New(c.Message())
	}
	return err
}

// newClient makes the client for control, which proves the key on every call, and what closes its idle connections.
func newClient(cfg *Config, key *ecdsa.PrivateKey, token string) (apiv1connect.ConnectorServiceClient, func(), error) {
	prover, err := api.NewProver(key)
	if err != nil {
		return nil, nil, err
	}
	base := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: cfg.roots, MinVersion: tls.VersionTLS13},
		TLSHandshakeTimeout: callTime,
		IdleConnTimeout:     callTime,
	}
	clients := api.NewClients(&api.Transport{
		Base: base, Prover: prover, Origin: cfg.origin(), Token: func() string { return token },
	}, connect.WithReadMaxBytes(maxAnswer))
	return clients.Connector, base.CloseIdleConnections, nil
}
