package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"github.com/sekisho/sekisho/krl"
)

// revokedHosts is the file below the home folder that ssh's RevokedHostKeys names.
const revokedHosts = "revoked_hosts"

// Where control has its revocation lists, for everybody.
const (
	pathRevokedUsers = "/v1/ca/revoked-users.krl"
	pathRevokedHosts = "/v1/ca/revoked-hosts.krl"
)

// RevocationList gets the newest list, of hosts or of users, as an OpenSSH KRL. It has been read whole, and is one.
func (c *Client) RevocationList(ctx context.Context, hosts bool) ([]byte, *krl.List, error) {
	path := pathRevokedUsers
	if hosts {
		path = pathRevokedHosts
	}
	url := strings.TrimSuffix(c.config.URL, "/") + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	res, err := c.base.RoundTrip(req)
	if err != nil {
		return nil, nil, unreachable(c.config.URL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, krl.MaxSize+1))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", path, res.Status)
	}
	if err != nil {
		return nil, nil, unreachable(c.config.URL, err)
	}
	list, err := krl.Parse(body)
	if err != nil {
		return nil, nil, unreachable(c.config.URL, fmt.Errorf("read revocation list: %w", err))
	}
	return body, list, nil
}

// EnsureRevokedHosts makes a list that revokes nothing where there is none: ssh refuses every host while the file that its
// configuration names is missing.
func (h Home) EnsureRevokedHosts() error {
	_, err := h.readUpTo(revokedHosts, krl.MaxSize)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	empty, err := (&krl.List{}).Marshal()
	if err != nil {
		return err
	}
	return h.write(revokedHosts, empty)
}

// renewRevokedHosts gets the list of revoked hosts where the one that is here has a smaller number, or is broken. While it
// cannot be got there is no connection: the host may be the one that is revoked.
func (c *Client) renewRevokedHosts(ctx context.Context, number uint64) error {
	if err := c.home.EnsureRevokedHosts(); err != nil {
		return err
	}
	here, err := c.home.readUpTo(revokedHosts, krl.MaxSize)
	if err != nil {
		return err
	}
	if old, err := krl.Parse(here); err == nil && old.Number >= number {
		return nil
	}
	body, list, err := c.RevocationList(ctx, true)
	if err != nil {
		return err
	}
	if list.Number < number {
		return unreachable(c.config.URL, fmt.Errorf("revocation list %d is older than %d", list.Number, number))
	}
	return c.home.write(revokedHosts, body)
}
