package client

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

// maxHostCAs is how many host CA keys known_hosts takes: two are in force at once.
const maxHostCAs = 16

// trustHosts makes known_hosts say that the keys in lines, one under the other, vouch for hosts, and notes them in config.
// The patterns hold every host because ssh reads this file only for hosts that go through this client, under whatever names
// and ports the person has configured; the certificate itself names the host.
func (c *Client) trustHosts(lines string, config *Config) error {
	keys, err := hostCAs(lines)
	if err != nil {
		return unreachable(c.config.URL, err)
	}
	config.HostCA = strings.Join(keys, "\n")
	var want strings.Builder
	for _, key := range keys {
		want.WriteString("@cert-authority " + vouchedHosts(config.SSHGateway) + " " + key + "\n")
	}
	got, err := c.home.read(knownHosts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if string(got) == want.String() {
		return nil
	}
	return c.home.write(knownHosts, []byte(want.String()))
}

// hostCAs reads public key lines and writes them anew, without comments.
func hostCAs(lines string) ([]string, error) {
	var keys []string
	for rest := []byte(lines); len(bytes.TrimSpace(rest)) > 0; {
		key, _, options, after, err := ssh.ParseAuthorizedKey(rest)
		if err == nil && len(options) > 0 {
			err = errors.New("it has options")
		}
		if err != nil {
			return nil, fmt.Errorf("parse the host CA: %w", err)
		}
		if rest = after; len(keys) == maxHostCAs {
			return nil, fmt.Errorf("more than %d host CA keys", maxHostCAs)
		}
		keys = append(keys, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))))
	}
	if len(keys) == 0 {
		return nil, errors.New("no host CA key")
	}
	return keys, nil
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
func (c *Client) renewHostCA(lines string) error {
	if lines == "" {
		return nil
	}
	config := c.config
	if err := c.trustHosts(lines, &config); err != nil || config.HostCA == c.config.HostCA {
		return err
	}
	return c.remember(config)
}
