package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// config says who is served. The JSON file of -config has these keys; flags given beside it win or add.
type config struct {
	// Listen is a loopback address and port; port 0 picks a free one.
	Listen string `json:"listen"`
	// Redirects are the redirect URIs of the one client.
	Redirects []string `json:"redirects"`
	ClientID  string   `json:"client_id"`
	// ClientSecretFile holds the client's secret; white space around it does not count.
	ClientSecretFile string   `json:"client_secret_file"`
	Users            []person `json:"users"`
	// Ready is a file that is written, with the issuer URL, when logins can begin.
	Ready string `json:"ready"`

	secret string
}

type person struct {
	Email    string   `json:"email"`
	Name     string   `json:"name"`
	Password string   `json:"password"`
	Groups   []string `json:"groups"`
	// Unverified makes the ID token say "email_verified": false.
	Unverified bool `json:"unverified"`
}

func parseArgs(args []string) (*config, error) {
	cfg := &config{Listen: "127.0.0.1:0", ClientID: "sekisho"}
	fs := flag.NewFlagSet("idp", flag.ContinueOnError)
	fs.Func("config", "JSON `file` with all of this; put it first, flags after it win or add", func(name string) error {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, cfg)
	})
	fs.StringVar(&cfg.Listen, "listen", cfg.Listen, "loopback `address` and port")
	fs.StringVar(&cfg.ClientID, "client-id", cfg.ClientID, "client `ID`")
	fs.StringVar(&cfg.ClientSecretFile, "client-secret-file", "", "`file` with the client's secret")
	fs.StringVar(&cfg.Ready, "ready", "", "`file` to write when ready")
	fs.Func("redirect", "redirect `URIs` of the client, comma between them", func(s string) error {
		cfg.Redirects = append(cfg.Redirects, strings.Split(s, ",")...)
		return nil
	})
	fs.Func("user", "`EMAIL:PASSWORD:GROUP,GROUP`, may be given often", func(s string) error {
		p, err := parsePerson(s)
		cfg.Users = append(cfg.Users, p)
		return err
	})
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	return cfg, cfg.check()
}

func parsePerson(s string) (person, error) {
	email, rest, ok := strings.Cut(s, ":")
	i := strings.LastIndex(rest, ":")
	if !ok || i < 1 || !strings.Contains(email, "@") {
		return person{}, errors.New("want EMAIL:PASSWORD:GROUP,GROUP")
	}
	p := person{Email: email, Password: rest[:i]}
	if groups := rest[i+1:]; groups != "" {
		p.Groups = strings.Split(groups, ",")
	}
	return p, nil
}

func (c *config) check() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("listen: %s is not a loopback address, and this speaks plain HTTP", host)
	}
	if len(c.Redirects) == 0 || len(c.Users) == 0 || c.ClientSecretFile == "" {
		return errors.New("-redirect, -user and -client-secret-file are needed")
	}
	for _, r := range c.Redirects {
		if u, err := url.Parse(r); err != nil || u.Host == "" {
			return fmt.Errorf("redirect %q is not a URL", r)
		}
	}
	secret, err := os.ReadFile(c.ClientSecretFile)
	if err != nil {
		return fmt.Errorf("read client secret: %w", err)
	}
	if c.secret = strings.TrimSpace(string(secret)); c.secret == "" {
		return errors.New("read client secret: the file is empty")
	}
	return nil
}
