package gateway_test

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/sekisho/sekisho/gateway"
)

// What is made to the listener itself was going nowhere else. What is redirected is tried in e2e, where there are rules.
func TestDirectIsNotRedirected(t *testing.T) {
	for _, mode := range []string{gateway.Redirect, gateway.TProxy} {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
			l, err := gateway.ListenTransparent(t.Context(), address, mode)
			if errors.Is(err, syscall.EPERM) && os.Getuid() != 0 {
				continue // TPROXY is for who has CAP_NET_ADMIN
			}
			if errors.Is(err, syscall.EADDRNOTAVAIL) {
				continue // a machine without IPv6
			}
			if err != nil {
				t.Fatalf("%s at %s: %v", mode, address, err)
			}
			client, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if to, err := l.Original(conn); err == nil {
				t.Errorf("%s at %s: was going to %s", mode, address, to)
			}
			client.Close()
			conn.Close()
			l.Close()
		}
	}
	if _, err := gateway.ListenTransparent(t.Context(), "127.0.0.1:0", "dnat"); err == nil {
		t.Error("a mode that is none")
	}
}
