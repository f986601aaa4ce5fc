package gateway_test

import (
	"strings"
	"testing"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/gateway"
)

func FuzzRoute(f *testing.F) {
	for _, user := range []string{"root%db1", "root", "", "%", "root%", "%db1", "root%db1%web1", "root%DB1.example.internal.", "root%10.0.0.5",
		"root%fd00::1", "root%fe80::1%eth0", "root%::ffff:10.0.0.5", "mei@example.com", "root\x00%db1", "root:x%db1", "gateway:root%db1"} {
		f.Add(user)
	}
	f.Fuzz(func(t *testing.T, user string) {
		for _, atPort := range []bool{true, false} {
			login, host, err := gateway.Route(user, atPort)
			switch {
			case err != nil:
				if login != "" && host != "" {
					t.Errorf("%q: %q and %q beside an error", user, login, host)
				}
				continue
			case login == "" && host == "":
				if !atPort || strings.Contains(user, "%") {
					t.Errorf("%q is a visit", user)
				}
				continue
			}
			if err := sekisho.CheckLogin(login); err != nil {
				t.Errorf("%q leads to %v", user, err)
			}
			if !strings.HasPrefix(user, login) || strings.Contains(user, "%") != (host != "") {
				t.Errorf("%q leads to %q at %q", user, login, host)
			}
			if host == "" {
				continue
			}
			// What was read is read the same when written again.
			again, to, err := gateway.Route(login+"%"+host, atPort)
			if err != nil || again != login || to != host {
				t.Errorf("%q leads to %q at %q, and that to %q at %q (%v)", user, login, host, again, to, err)
			}
			if strings.ContainsAny(host, "% /,\n*") || host != strings.ToLower(host) {
				t.Errorf("%q leads to %q", user, host)
			}
		}
	})
}
