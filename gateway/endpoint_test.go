package gateway

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// Whatever comes over the wire, what is made of it is bounded and can be shown.
func FuzzEndpoint(f *testing.F) {
	everywhere := []sekisho.Destination{}
	for _, text := range []string{"*:*", "/*", "/*/*"} {
		d, err := sekisho.ParseDestination(text)
		if err != nil {
			f.Fatal(err)
		}
		everywhere = append(everywhere, d)
	}
	f.Add(uint8(0), ssh.Marshal(tcpOpen{"db2", 5432, "127.0.0.1", 4022}))
	f.Add(uint8(1), ssh.Marshal(struct {
		Path, Reserved string
		Port           uint32
	}{"/run/x.sock", "", 0}))
	f.Add(uint8(2), ssh.Marshal(struct {
		Address string
		Port    uint32
	}{"", 0}))
	f.Add(uint8(3), ssh.Marshal(struct{ Path string }{"/run/x.sock"}))
	f.Add(uint8(4), ssh.Marshal(tcpOpen{"::", 1, "", 65536}))
	f.Add(uint8(5), ssh.Marshal(struct{ Path, Reserved string }{"/run/x.sock", ""}))
	f.Fuzz(func(t *testing.T, kind uint8, payload []byte) {
		var e endpoint
		var origin string
		var err error
		switch kind % 6 {
		case 0, 1:
			e, origin, err = parseDestination([]string{directTCP, directSocket}[kind%6], payload)
			if err == nil && e.socket == "" && (e.host == "" || e.port == 0) {
				t.Errorf("%+v is no destination", e)
			}
		case 2, 3:
			e, err = parseListen(kind%6 == 3, payload)
			e.mayListen(everywhere)
		case 4, 5:
			e, origin, err = parseForwarded([]string{forwardedTCP, forwardedSocket}[kind%6-4], payload)
		}
		if err != nil {
			return
		}
		for _, text := range []string{e.String(), origin} {
			if len(text) > maxSocket || strings.ContainsFunc(text, unicode.IsControl) {
				t.Errorf("%q cannot be shown", text)
			}
		}
		if (e.socket == "") != (kind%2 == 0) || !e.takes(e) {
			t.Errorf("%+v of %q", e, payload)
		}
	})
}
