package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sekisho/sekisho"
)

// maxUser is the longest user name: a login, a %, a host name.
const maxUser = 32 + 1 + 255

// place is where a user name leads.
type place struct {
	login  string // empty: a visit
	target string
	asked  string // the target as the user called it
}

// visits: somebody came to the SSH port without saying where to.
func (p place) visits() bool { return p.login == "" }

// where says where a user name leads on this way in.
func (t *traveller) where(ctx context.Context, user string) (place, error) {
	login, host, err := route(user, t.target == "")
	if err != nil {
		return place{}, &sekisho.Refusal{Sentence: "This user name leads nowhere.",
			Next: "Write the user as login%target, such as root%db1.", Cause: err}
	}
	if host == "" {
		return place{login: login, target: t.target, asked: t.calledAs()}, nil
	}
	target, err := t.gateway.cfg.Find(ctx, host)
	if errors.Is(err, sekisho.ErrNotFound) {
		target, err = host, nil // the decision says that there is none, to whom it may
	}
	if err != nil {
		return place{}, fmt.Errorf("find %s: %w", host, err)
	}
	if t.target != "" && target != t.target {
		return place{}, &sekisho.Refusal{Sentence: fmt.Sprintf("The user name says %s, but this connection leads to %s.", host, t.target),
			Next: "Leave the % and what follows it away."}
	}
	return place{login: login, target: target, asked: host}, nil
}

// calledAs is what the user called the target, as far as that is known.
func (a *arrival) calledAs() string {
	if a.target != "" && len(a.names) > 0 {
		return a.names[0]
	}
	return a.target
}

// route splits login%host. At the SSH port (atPort) a user name without % is a visitor's, and login is empty; elsewhere it
// is the login. The host is a name in lower case, or an IP address; whether there is such a target is not looked at.
func route(user string, atPort bool) (login, host string, err error) {
	if len(user) > maxUser {
		return "", "", fmt.Errorf("user name has %d bytes, at most %d", len(user), maxUser)
	}
	login, host, named := strings.Cut(user, "%")
	if !named && atPort {
		return "", "", nil
	}
	if err := sekisho.CheckLogin(login); err != nil {
		return "", "", err
	}
	if !named {
		return login, "", nil
	}
	host, err = readHost(host)
	return login, host, err
}

// readHost brings a host as somebody typed it into one form: a name in lower case without a dot at the end, or an IP
// address.
func readHost(s string) (string, error) {
	if address, err := netip.ParseAddr(s); err == nil && address.Zone() == "" {
		return address.Unmap().String(), nil
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if err := sekisho.CheckTargetName(s); err != nil {
		return "", err
	}
	return s, nil
}
