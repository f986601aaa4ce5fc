package client

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

// trustHosts makes known_hosts say that the key in line vouches for hosts, and notes it in config. The patterns hold
// every host because ssh reads this file only for hosts that go through this client, under whatever names and ports the
// person has configured; the certificate itself names the host.
func (c *Client) trustHosts(line string, config *Config) error {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return unreachable(c.config.URL, fmt.Errorf("parse the host CA: %w", err))
	}
	config.HostCA = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	want := "@cert-authority " + vouchedHosts(config.SSHGateway) + " " + config.HostCA + "\n"
	got, err := c.home.read(knownHosts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if string(got) == want {
		return nil
	}
	return c.home.write(knownHosts, []byte(want))
}

// vouchedHosts are the hosts of the line in known_hosts. The gateway's SSH port is named where it is not 22, because
// golang.org/x/crypto/ssh/knownhosts, such as in rclone, takes * for hosts at port 22 alone, OpenSSH for all.
func vouchedHosts(gateway string) string {
	if _, port, err := net.SplitHostPort(gateway); err == nil && port != "22" {
		return "*,[*]:" + port
	}
	return "*"
}

// renewHostCA follows a host CA that control has changed since the last login. Control is trusted to do so: it is
// the one that says whom to connect to.
func (c *Client) renewHostCA(line string) error {
	if line == "" {
		return nil
	}
	config := c.config
	if err := c.trustHosts(line, &config); err != nil || config.HostCA == c.config.HostCA {
		return err
	}
	return c.remember(config)
}
