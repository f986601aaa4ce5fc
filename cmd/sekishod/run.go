package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/gateway"
	"github.com/sekisho/sekisho/policy"
	"github.com/sekisho/sekisho/tunnel"
)

// drainTime is how long open sessions may go on after SIGTERM.
const drainTime = 5 * time.Second

// readTime is how long a whole request may take to arrive, its body included.
const readTime = 30 * time.Second

type runCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration file (YAML)."`
	Check  bool   `help:"Check configuration and policies, then exit."`
}

// Run serves until ctx is done.
func (c *runCommand) Run(ctx context.Context) error {
	cfg, err := LoadConfig(c.Config)
	if err != nil {
		return err
	}
	if c.Check {
		return check(cfg)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.level}))
	h, err := openHouse(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer h.close()
	lock, err := lockData(cfg.Data)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := h.furnish(ctx); err != nil {
		return err
	}
	return h.serve(ctx)
}

func check(cfg *Config) error {
	files, err := readPolicies(cfg.Policies)
	if err != nil {
		return err
	}
	set, err := policy.Load(files)
	if err != nil {
		return err
	}
	readers := newRecipients(cfg)
	keys, err := readers.read()
	if err != nil {
		return err
	}
	readers.keys.Store(&keys)
	if told := readers.strangers(set); len(told) > 0 {
		return errors.New(strings.Join(told, "\n"))
	}
	switch n := len(set.Policies()); n {
	case 1:
		fmt.Println("configuration and 1 policy are good")
	default:
		fmt.Printf("configuration and %d policies are good\n", n)
	}
	if len(set.Policies()) == 0 {
		fmt.Printf("without a policy nobody may do anything: put .cedar files into %s\n", cfg.Policies)
	}
	return nil
}

// serve opens the listeners and holds the house open until ctx is done, then drains.
func (h *house) serve(ctx context.Context) error {
	config, err := h.tls()
	if err != nil {
		return err
	}
	https, err := net.Listen("tcp", h.cfg.Listen)
	if err != nil {
		return err
	}
	defer https.Close()
	server := &http.Server{
		Handler: h.mux(), TLSConfig: config, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		// Until somebody takes charge of the deadline: control once it has the request, the gateway with the connection.
		ReadTimeout: readTime,
		ErrorLog:    slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){
			tunnel.ALPN: func(_ *http.Server, conn *tls.Conn, _ http.Handler) { h.registry.Serve(conn) },
		},
		Protocols: protocols(),
	}
	figures, scrapes, err := h.openMetrics()
	if err != nil {
		return err
	}
	if figures != nil {
		defer figures.Close()
	}
	failed := make(chan error, 4)
	var work sync.WaitGroup
	doors, err := h.openSSH(ctx)
	if err != nil {
		return err
	}
	defer doors.close()
	work.Go(func() { failed <- server.ServeTLS(https, "", "") })
	if figures != nil {
		work.Go(func() { failed <- scrapes.Serve(figures) })
	}
	for _, d := range doors {
		work.Go(func() { failed <- h.serveSSH(ctx, d) })
	}
	watching, stop := context.WithCancel(ctx)
	work.Go(func() { h.policies.watch(watching) })
	work.Go(func() { h.readers.watch(watching) })
	work.Go(func() { h.watchSessions(watching) })
	work.Go(func() { h.watchRevocations(watching) })
	work.Go(func() { h.recorder.sweep(watching) })
	work.Go(func() { every(watching, time.Second, func() { h.rotation.Tick(watching) }) })
	work.Go(func() { h.keepInventory(watching) })
	h.log.Info("serving", "url", h.cfg.URL, "listen", https.Addr().String(), "ssh", h.cfg.SSHListen)
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
	}
	stop()
	doors.close()
	h.drain(server)
	if figures != nil {
		scrapes.Close()
	}
	work.Wait()
	return err
}

// lastTime is how long HTTP calls may go on after the last session.
const lastTime = 2 * time.Second

// drain ends the house: no new sessions, time for the open ones, then who watched them, then the links.
func (h *house) drain(server *http.Server) {
	live, _ := h.gateway.Sessions()
	h.log.Info("draining", "sessions", len(live))
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	h.gateway.Shutdown(ctx)
	close(h.closing)
	h.registry.Close()
	ctx, cancel = context.WithTimeout(context.Background(), lastTime)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		server.Close()
	}
}

func (h *house) mux() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(streamPath, h.gateway)
	mux.Handle("/", h.control)
	return mux
}

// protocols: HTTP/2 for the API's streams, HTTP/1.1 because a client's stream upgrades its connection.
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	return p
}

func (h *house) tls() (*tls.Config, error) {
	base := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}
	if h.cfg.TLS != nil {
		certificate, err := tls.LoadX509KeyPair(h.cfg.TLS.Certificate, h.cfg.TLS.Key)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		base.Certificates = []tls.Certificate{certificate}
	} else {
		own, err := ca.OpenTLS(filepath.Join(h.cfg.Data, "tls"), []string{h.url.Hostname()}, time.Now)
		if err != nil {
			return nil, err
		}
		base.GetCertificate = own.GetCertificate
	}
	return tunnel.ServerTLS(base, h.links.Pool()), nil
}

// sshDoor is a listener for SSH connections.
type sshDoor struct {
	net.Listener
	serve func(context.Context, net.Conn)
}

type sshDoors []sshDoor

func (all sshDoors) close() {
	for _, d := range all {
		d.Close()
	}
}

// openSSH opens the listeners that the configuration names.
func (h *house) openSSH(ctx context.Context) (doors sshDoors, err error) {
	defer func() {
		if err != nil {
			doors.close()
		}
	}()
	if h.cfg.SSHListen != "" {
		l, err := net.Listen("tcp", h.cfg.SSHListen)
		if err != nil {
			return doors, err
		}
		doors = append(doors, sshDoor{l, func(ctx context.Context, conn net.Conn) { h.gateway.ServeSSH(ctx, tunnel.Prompt(conn)) }})
	}
	if h.cfg.Transparent != nil {
		l, err := gateway.ListenTransparent(ctx, h.cfg.Transparent.Listen, h.cfg.Transparent.Mode)
		if err != nil {
			return doors, err
		}
		doors = append(doors, sshDoor{l, h.redirected(l)})
	}
	return doors, nil
}

// redirected serves a connection as the one that its client meant to make.
func (h *house) redirected(l *gateway.Transparent) func(context.Context, net.Conn) {
	return func(ctx context.Context, conn net.Conn) {
		to, err := l.Original(conn)
		if err != nil {
			h.log.Warn("redirected connection", "client", conn.RemoteAddr().String(), "error", err)
			conn.Close()
			return
		}
		h.gateway.ServeOriginal(ctx, tunnel.Prompt(conn), to.Addr())
	}
}

// serveSSH takes connections at a listener; the gateway bounds them.
func (h *house) serveSSH(ctx context.Context, d sshDoor) error {
	for {
		conn, err := accept(d, h.log)
		if err != nil {
			return nil // closed: the house goes down
		}
		go d.serve(context.WithoutCancel(ctx), conn) // drain ends it
	}
}

// every calls again and again, with the pause between, until ctx is done.
func every(ctx context.Context, pause time.Duration, call func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			call()
		}
	}
}
