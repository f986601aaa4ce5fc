package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/sekisho/sekisho/gateway"
	"github.com/sekisho/sekisho/recording"
)

// Config is sekishod's file. Unknown keys are refused. Relative paths start at the file's own folder.
type Config struct {
	// Name is the organisation's name for this installation, shown to people.
	Name string `yaml:"name"`
	// URL is where people, connectors and clients reach this house: https://host[:port], without a path.
	URL string `yaml:"url"`
	// Listen is the address of the HTTPS listener: API, sign-in pages, links and client streams.
	Listen string `yaml:"listen"`
	// SSHListen is the address of the SSH port; empty closes it.
	SSHListen string `yaml:"ssh_listen"`
	// SSHWithoutCertificate lets people in at the SSH port, and where they are redirected, who show no certificate but prove
	// themselves in a browser while the connection waits. For clients that know no certificates.
	SSHWithoutCertificate bool `yaml:"ssh_without_certificate"`
	// Transparent takes SSH connections that the packet filter's rules send here instead of to their target.
	Transparent *TransparentConfig `yaml:"transparent"`
	// Data is the folder for database, keys and recordings; made when missing.
	Data string `yaml:"data"`
	// Policies is the folder of *.cedar files. Changes are taken over within seconds.
	Policies string `yaml:"policies"`
	// TLS names the certificate of the HTTPS listener; without it a CA of our own is made in data/tls.
	TLS *TLSConfig `yaml:"tls"`
	// OIDC is the organisation's IdP.
	OIDC OIDCConfig `yaml:"oidc"`
	// SignIn bounds sign-ins.
	SignIn SignInConfig `yaml:"sign_in"`
	// Domain lets targets be written with it: with example.internal, db1.example.internal is db1.
	Domain string `yaml:"domain"`
	// SSHHosts are the patterns for people's ssh_config: target names and wildcards.
	SSHHosts []string `yaml:"ssh_hosts"`
	// Recording says who can open recordings.
	Recording RecordingConfig `yaml:"recording"`
	// CA says who gets which certificates, and where the keys are that sign them.
	CA CAConfig `yaml:"ca"`
	// FIPS takes only recipients whose kind of key is of FIPS 140 algorithms.
	FIPS bool `yaml:"fips"`
	// MetricsListen is the address at which Prometheus may read figures, without encryption and for everybody who reaches
	// it; empty closes it.
	MetricsListen string `yaml:"metrics_listen"`
	// LogLevel is debug, info (the default), warn or error.
	LogLevel string `yaml:"log_level"`
	level    slog.Level
}

// TLSConfig names PEM files.
type TLSConfig struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// TransparentConfig says how redirected connections come in.
type TransparentConfig struct {
	// Listen is the address that the rules redirect to.
	Listen string `yaml:"listen"`
	// Mode is redirect (the default), for REDIRECT and DNAT, or tproxy, for TPROXY.
	Mode string `yaml:"mode"`
}

// OIDCConfig is what the relying party needs.
type OIDCConfig struct {
	// Issuer is the issuer URL; discovery starts there.
	Issuer   string `yaml:"issuer"`
	ClientID string `yaml:"client_id"`
	// ClientSecretFile holds the client secret.
	ClientSecretFile string `yaml:"client_secret_file"`
	// Scopes asked for beside openid; by default email, profile and groups.
	Scopes []string `yaml:"scopes"`
	// GroupsClaim is the claim with the groups; by default "groups".
	GroupsClaim string `yaml:"groups_claim"`
	// AssumeVerified takes e-mail addresses without the claim email_verified for verified. Only for an IdP that
	// verifies every address and leaves the claim out.
	AssumeVerified bool `yaml:"assume_verified"`
}

// SignInConfig bounds sign-ins.
type SignInConfig struct {
	// Lifetime is how long a sign-in lives, such as 8h (the default); at most 24h.
	Lifetime string `yaml:"lifetime"`
	lifetime time.Duration
	// AgentCertificate is how long the certificate of `sekisho login --agent` is valid, such as 1h (the default), from 10s
	// to 24h; never longer than the sign-in.
	AgentCertificate string `yaml:"agent_certificate"`
	agentCertificate time.Duration
}

// RecordingConfig says who can open recordings, and where they are kept.
type RecordingConfig struct {
	// Recipients are public key lines of auditors, made by `sekisho keys generate`.
	Recipients []RecipientConfig `yaml:"recipients"`
	// RecipientsDir is a folder of *.pub files with more such lines. Changes are taken over within seconds.
	RecipientsDir string `yaml:"recipients_dir"`
	keys          []recipientKey
	// Store is where recordings stay.
	Store StoreConfig `yaml:"store"`
	// SegmentTime is how long a segment of a recording grows before it goes to the store, such as 5m (the default).
	SegmentTime string `yaml:"segment_time"`
	segmentTime time.Duration
	// SpoolLimit is how much may wait in data/spool for a store that takes nothing, such as 16GiB (the default). Beyond
	// it sessions that must be recorded end, and new ones are refused.
	SpoolLimit string `yaml:"spool_limit"`
	spoolLimit int64
	// MinFree is how much of the disk is kept for open sessions, such as 256MiB (the default): with less, new ones that
	// must be recorded are refused.
	MinFree string `yaml:"min_free"`
	minFree int64
}

// RecipientConfig is a recipient's line, or a line that recordings are sealed to only where a policy names it.
type RecipientConfig struct {
	Key string `yaml:"key"`
	// Default is true where it is not given: recordings are sealed to the key wherever no policy names a recipient.
	Default *bool `yaml:"default"`
}

// UnmarshalYAML takes the line by itself as well.
func (r *RecipientConfig) UnmarshalYAML(unmarshal func(any) error) error {
	var line string
	if unmarshal(&line) == nil {
		r.Key = line
		return nil
	}
	type plain RecipientConfig
	return unmarshal((*plain)(r))
}

// LoadConfig reads and checks the file.
func LoadConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cfg := &Config{Listen: ":8443", LogLevel: "info"}
	if err := yaml.UnmarshalWithOptions(text, cfg, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s:\n%s", path, yaml.FormatError(err, false, true))
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	cfg.locate(dir)
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cfg, nil
}

func (c *Config) locate(dir string) {
	paths := []*string{&c.Data, &c.Policies, &c.OIDC.ClientSecretFile, &c.Recording.RecipientsDir, &c.Recording.Store.Folder}
	if s := c.Recording.Store.S3; s != nil {
		paths = append(paths, &s.CredentialsFile, &s.CAFile)
	}
	if c.TLS != nil {
		paths = append(paths, &c.TLS.Certificate, &c.TLS.Key)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

func (c *Config) check() error {
	var errs []error
	need := func(key, value string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("%s is missing", key))
		}
	}
	need("name", c.Name)
	need("url", c.URL)
	need("data", c.Data)
	need("policies", c.Policies)
	need("oidc.issuer", c.OIDC.Issuer)
	need("oidc.client_id", c.OIDC.ClientID)
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" {
		errs = append(errs, fmt.Errorf("url %q: want https://host[:port]", c.URL))
	}
	if c.TLS != nil && (c.TLS.Certificate == "" || c.TLS.Key == "") {
		errs = append(errs, errors.New("tls: certificate and key go together"))
	}
	if err := c.level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		errs = append(errs, fmt.Errorf("log_level %q: want debug, info, warn or error", c.LogLevel))
	}
	for key, addr := range map[string]string{"listen": c.Listen, "ssh_listen": c.SSHListen, "metrics_listen": c.MetricsListen} {
		if err := checkListen(addr); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: %w", key, addr, err))
		}
	}
	return errors.Join(append(errs, c.checkSignIn(), c.checkRecipients(), c.checkStore(), c.checkTransparent(), c.CA.check())...)
}

func (c *Config) checkTransparent() error {
	t := c.Transparent
	if t == nil {
		return nil
	}
	if t.Mode == "" {
		t.Mode = gateway.Redirect
	}
	if t.Mode != gateway.Redirect && t.Mode != gateway.TProxy {
		return fmt.Errorf("transparent.mode %q: want redirect or tproxy", t.Mode)
	}
	if t.Listen == "" {
		return errors.New("transparent.listen is missing")
	}
	if err := checkListen(t.Listen); err != nil {
		return fmt.Errorf("transparent.listen %q: %w", t.Listen, err)
	}
	return nil
}

func checkListen(addr string) error {
	if addr == "" || addr[0] == ':' {
		return nil
	}
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return errors.New("want IP:PORT or :PORT")
	}
	return nil
}

func (c *Config) checkSignIn() error {
	s := &c.SignIn
	var first, second error
	s.lifetime, first = within("sign_in.lifetime", s.Lifetime, 8*time.Hour, time.Minute)
	s.agentCertificate, second = within("sign_in.agent_certificate", s.AgentCertificate, time.Hour, 10*time.Second)
	return errors.Join(first, second)
}

// within reads a duration from least to a day; usual is what nothing means.
func within(key, value string, usual, least time.Duration) (time.Duration, error) {
	if value == "" {
		return usual, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < least || d > 24*time.Hour {
		return 0, fmt.Errorf("%s %q: want a duration from %s to 24h", key, value, strings.Replace(least.String(), "m0s", "m", 1))
	}
	return d, nil
}

func (c *Config) checkRecipients() error {
	for i, line := range c.Recording.Recipients {
		r, err := recording.ParseRecipient(line.Key)
		if err != nil {
			return fmt.Errorf("recording.recipients[%d]: %w", i, err)
		}
		if slices.ContainsFunc(c.Recording.keys, func(k recipientKey) bool { return k.ID() == r.ID() }) {
			return fmt.Errorf("recording.recipients[%d]: key %s is named twice", i, r.ID())
		}
		c.Recording.keys = append(c.Recording.keys, recipientKey{r, line.Default == nil || *line.Default})
	}
	_, err := newRecipients(c).read()
	return err
}

// secret reads the client secret; a public client has none.
func (c *OIDCConfig) secret() (string, error) {
	if c.ClientSecretFile == "" {
		return "", nil
	}
	b, err := os.ReadFile(c.ClientSecretFile)
	if err != nil {
		return "", fmt.Errorf("oidc.client_secret_file: %w", err)
	}
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return string(b), nil
}
