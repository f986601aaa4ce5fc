// Command idp is the company's identity provider of the demo and of the stories: Dex, in one process, in memory, on
// loopback, with a real login form and people who have groups.
//
// It prints its issuer URL as one line when it is ready and serves until it is told to end by SIGTERM or SIGINT, or by
// the end of its standard input when that is a pipe. Everything it knows is gone then. It is no part of the product:
// its module is apart, so that nothing of Dex is linked into the binaries.
//
//	idp -listen 127.0.0.1:5556 -redirect https://127.0.0.1:8443/login/callback -client-secret-file secret \
//	    -user 'mei@example.com:password:sre' -user 'ken@example.com:password:dev' -user 'hana@example.com:password:leads'
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if info, err := os.Stdin.Stat(); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	err := run(ctx, os.Args[1:], os.Stdout, log)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "idp:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, out io.Writer, log *slog.Logger) error {
	cfg, err := parseArgs(args)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer ln.Close()
	issuer := "http://" + ln.Addr().String()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	handler, err := newDex(ctx, cfg, issuer, log)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	if err := announce(cfg.Ready, issuer, out); err != nil {
		return err
	}
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	ending, done := context.WithTimeout(context.Background(), 2*time.Second)
	defer done()
	if err := srv.Shutdown(ending); err != nil {
		return srv.Close()
	}
	return nil
}

// announce says the issuer URL on out, and in the ready file, which appears whole or not at all.
func announce(ready, issuer string, out io.Writer) error {
	if ready != "" {
		if err := os.WriteFile(ready+".new", []byte(issuer+"\n"), 0o644); err != nil {
			return fmt.Errorf("write ready file: %w", err)
		}
		if err := os.Rename(ready+".new", ready); err != nil {
			return fmt.Errorf("write ready file: %w", err)
		}
	}
	_, err := fmt.Fprintln(out, issuer)
	return err
}
