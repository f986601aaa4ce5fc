package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/host"
)

// Config is sekisho-connector's file. Unknown keys are refused. Relative paths start at the file's own folder.
type Config struct {
	// Control is where the house is: https://host[:port], without a path. The link goes to the same address.
	Control string `yaml:"control"`
	// CAFile holds the CA certificates (PEM) that control's certificate must chain to; without it the system's.
	CAFile string `yaml:"ca_file"`
	// Data is the connector's own folder, for its key and what it got by joining; made when missing.
	Data string `yaml:"data"`
	// Targets are all that this connector will ever dial.
	Targets []TargetConfig `yaml:"targets"`
	// Spare is how many connections are kept ready for streams; 2 by default, at most 64.
	Spare int `yaml:"spare"`
	// MaxStreams is how many sessions are carried at once, to all targets together; 4,096 by default, at most 10,000.
	MaxStreams int `yaml:"max_streams"`
	// LogLevel is debug, info (the default), warn or error.
	LogLevel string `yaml:"log_level"`

	control *url.URL
	roots   *x509.CertPool
	level   slog.Level
}

// TargetConfig is one target.
type TargetConfig struct {
	// Name is the target's name in Sekisho.
	Name string `yaml:"name"`
	// Address is its SSH server, host:port.
	Address string `yaml:"address"`
	// SSHD says where that server's files are when it runs on this host. Absent: nothing is written there.
	SSHD *SSHDConfig `yaml:"sshd"`
	// HostKey is a file with the server's public host key, for a target without sshd (elsewhere on the network).
	HostKey string `yaml:"host_key"`

	host *host.Host
}

// SSHDConfig says where an sshd's files are. sshd must include the drop-in before any line it sets.
type SSHDConfig struct {
	// Config is sshd's configuration file, such as /etc/ssh/sshd_config.
	Config string `yaml:"config"`
	// DropIn is written, such as /etc/ssh/sshd_config.d/50-sekisho.conf.
	DropIn string `yaml:"drop_in"`
	// Dir is written, such as /etc/ssh/sekisho: CA keys, principals, host certificate.
	Dir string `yaml:"dir"`
	// HostKey is the public key that the host certificate is for, such as /etc/ssh/ssh_host_ed25519_key.pub.
	HostKey string `yaml:"host_key"`
	// Binary is sshd itself; /usr/sbin/sshd by default.
	Binary string `yaml:"binary"`
	// Find is the program by which sshd gets published keys; /usr/bin/find by default.
	Find string `yaml:"find"`
	// Reload is the command that makes sshd read its configuration anew, such as [systemctl, reload, ssh]. Or:
	Reload []string `yaml:"reload"`
	// PIDFile names the file with sshd's process ID, which then gets a SIGHUP.
	PIDFile string `yaml:"pid_file"`
}

// LoadConfig reads and checks the file. Its errors are errUsage.
func LoadConfig(path string, log *slog.Logger) (*Config, error) {
	cfg, err := readConfig(path, log)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errConfig, err)
	}
	return cfg, nil
}

// errConfig is an errUsage with a better name.
var errConfig error = configError{}

type configError struct{}

func (configError) Error() string { return "configuration" }
func (configError) Unwrap() error { return errUsage }

func readConfig(path string, log *slog.Logger) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cfg := &Config{LogLevel: "info"}
	if err := yaml.UnmarshalWithOptions(text, cfg, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s:\n%s", path, strings.TrimRight(yaml.FormatError(err, false, true), "\n "))
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	cfg.locate(dir)
	if err := errors.Join(cfg.check(), cfg.checkTargets(log)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cfg, nil
}

func (c *Config) locate(dir string) {
	paths := []*string{&c.CAFile, &c.Data}
	for i := range c.Targets {
		t := &c.Targets[i]
		paths = append(paths, &t.HostKey)
		if s := t.SSHD; s != nil {
			paths = append(paths, &s.Config, &s.DropIn, &s.Dir, &s.HostKey, &s.Binary, &s.Find, &s.PIDFile)
		}
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

func (c *Config) check() error {
	var errs []error
	u, err := url.Parse(c.Control)
	if err != nil || u.Scheme != "https" || u.Host == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil {
		errs = append(errs, fmt.Errorf("control %q: want https://host[:port]", c.Control))
	}
	c.control = u
	if c.Data == "" {
		errs = append(errs, errors.New("data is missing"))
	}
	if err := c.level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		errs = append(errs, fmt.Errorf("log_level %q: want debug, info, warn or error", c.LogLevel))
	}
	if c.Spare < 0 || c.Spare > 64 {
		errs = append(errs, fmt.Errorf("spare %d: want at most 64", c.Spare))
	}
	if c.MaxStreams < 0 || c.MaxStreams > 10_000 {
		errs = append(errs, fmt.Errorf("max_streams %d: want at most 10000", c.MaxStreams))
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		c.roots = x509.NewCertPool()
		if err == nil && !c.roots.AppendCertsFromPEM(pem) {
			err = fmt.Errorf("%s holds no certificate", c.CAFile)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("ca_file: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) checkTargets(log *slog.Logger) error {
	var errs []error
	if len(c.Targets) == 0 {
		errs = append(errs, errors.New("targets: want at least one"))
	}
	seen := make(map[string]bool)
	for i := range c.Targets {
		t := &c.Targets[i]
		if seen[t.Name] {
			errs = append(errs, fmt.Errorf("target %s is there twice", t.Name))
		}
		seen[t.Name] = true
		if err := t.check(log); err != nil {
			errs = append(errs, fmt.Errorf("target %q: %w", t.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (t *TargetConfig) check(log *slog.Logger) error {
	if err := sekisho.CheckTargetName(t.Name); err != nil {
		return err
	}
	if _, port, err := net.SplitHostPort(t.Address); err != nil || port == "" {
		return fmt.Errorf("address %q: want host:port", t.Address)
	}
	if t.SSHD == nil {
		return nil
	}
	if t.HostKey != "" {
		return errors.New("host_key: name it in sshd")
	}
	s := t.SSHD
	var err error
	t.host, err = host.New(host.Layout{
		Dir: s.Dir, DropIn: s.DropIn, SSHDConfig: s.Config, SSHD: s.Binary, Find: s.Find, HostKey: s.HostKey, Reload: s.Reload, PIDFile: s.PIDFile,
	}, log.With("target", t.Name))
	return err
}

// address is control's host and port, which the link goes to.
func (c *Config) address() string {
	if c.control.Port() != "" {
		return c.control.Host
	}
	return net.JoinHostPort(c.control.Hostname(), "443")
}

func (c *Config) origin() string { return "https://" + c.control.Host }
