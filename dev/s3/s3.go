// Command s3 is an S3 server for tests: versitygw over a folder, in one process, on loopback.
//
// It makes the bucket, prints its endpoint as one line when it serves, and serves until it is told to end by SIGTERM
// or SIGINT, or by the end of its standard input when that is a pipe. What it keeps stays in the folder, so that the
// same server can be stopped and started again. It is no part of the product: its module is apart, so that nothing of
// versitygw is linked into the binaries.
//
//	s3 -dir FOLDER -listen 127.0.0.1:7070 -bucket recordings -access KEY -secret SECRET [-certificate PEM -key PEM]
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// readyTime is how long the server may take to serve.
const readyTime = 30 * time.Second

const healthPath = "/healthz"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if info, err := os.Stdin.Stat(); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	out := os.Stdout
	os.Stdout = os.Stderr // the server says things there, too
	if err := run(ctx, os.Args[1:], out); err != nil {
		fmt.Fprintln(os.Stderr, "s3:", err)
		os.Exit(1)
	}
}

type config struct{ dir, listen, bucket, access, secret, certificate, key string }

func parseArgs(args []string) (*config, error) {
	cfg, flags := &config{}, flag.NewFlagSet("s3", flag.ContinueOnError)
	flags.StringVar(&cfg.dir, "dir", "", "the folder that holds everything")
	flags.StringVar(&cfg.listen, "listen", "", "address to serve at, with a port")
	flags.StringVar(&cfg.bucket, "bucket", "recordings", "the bucket to make")
	flags.StringVar(&cfg.access, "access", "", "access key ID")
	flags.StringVar(&cfg.secret, "secret", "", "secret access key")
	flags.StringVar(&cfg.certificate, "certificate", "", "PEM file; with it HTTPS is spoken")
	flags.StringVar(&cfg.key, "key", "", "PEM file of its private key")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if cfg.dir == "" || cfg.listen == "" || cfg.access == "" || cfg.secret == "" {
		return nil, errors.New("-dir, -listen, -access and -secret are needed")
	}
	return cfg, nil
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	cfg, err := parseArgs(args)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(cfg.dir)
	if err != nil {
		return err
	}
	buckets, attributes := filepath.Join(dir, "buckets"), filepath.Join(dir, "attributes")
	for _, folder := range []string{filepath.Join(buckets, cfg.bucket), attributes} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	beside, err := meta.NewSideCar(attributes)
	if err != nil {
		return err
	}
	store, err := posix.New(buckets, beside, posix.PosixOpts{SideCarDir: attributes, Concurrency: 100})
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	served := make(chan error, 1)
	go func() { served <- embedgw.RunVersityGW(ctx, store, cfg.gateway()) }()
	if err := announce(ctx, cfg, served, out); err != nil {
		return err
	}
	return <-served
}

func (c *config) gateway() *embedgw.Config {
	return &embedgw.Config{
		RootUserAccess: c.access, RootUserSecret: c.secret, Region: "us-east-1", Ports: []string{c.listen},
		MaxConnections: 1000, MaxRequests: 1000, MultipartMaxParts: 10000, CertFile: c.certificate, KeyFile: c.key,
		HealthPath: healthPath, Quiet: true, KeepAlive: true,
	}
}

// announce says the endpoint on out once requests are answered: ports are tried before they are served.
func announce(ctx context.Context, cfg *config, served <-chan error, out io.Writer) error {
	endpoint := "http://" + cfg.listen
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // ourselves
	defer client.CloseIdleConnections()
	if cfg.certificate != "" {
		endpoint = "https://" + cfg.listen
	}
	for begun := time.Now(); time.Since(begun) < readyTime; {
		if answer, err := client.Get(endpoint + healthPath); err == nil {
			answer.Body.Close()
			_, err = fmt.Fprintln(out, endpoint)
			return err
		}
		select {
		case err := <-served:
			return errors.Join(errors.New("the server ended"), err)
		case <-ctx.Done():
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("nothing serves at %s after %s", cfg.listen, readyTime)
}
