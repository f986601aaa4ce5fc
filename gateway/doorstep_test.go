package gateway_test

import (
	"bufio"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sekisho/sekisho/gateway"
)

func TestDoorstep(t *testing.T) {
	d := gateway.NewDoorstep(10, 10, 3)
	at := netip.MustParseAddr
	var leaves []func()
	for i, c := range []struct {
		from string
		ok   bool
	}{
		{"192.0.2.1", true}, {"192.0.2.1", true}, {"::ffff:192.0.2.1", true}, {"192.0.2.1", false}, {"192.0.2.2", true},
		{"2001:db8::1", true}, {"2001:db8::2", true}, {"2001:db8:0:0:ffff::3", true}, {"2001:db8::4", false}, {"2001:db8:0:1::1", true},
		{"fe80::1%eth0", true}, {"fe80::2%eth1", true}, // 10 in all
		{"198.51.100.1", false},
	} {
		leave, ok := d.Step(at(c.from))
		if ok != c.ok {
			t.Errorf("%d: %s: %v", i, c.from, ok)
		}
		if ok {
			leaves = append(leaves, leave)
		}
	}
	leaves[0]()
	leaves[0]() // once is enough
	if _, ok := d.Step(at("198.51.100.1")); !ok {
		t.Error("no room where somebody left")
	}
	if _, ok := d.Step(at("198.51.100.1")); ok {
		t.Error("room for two where one left")
	}
}

// The fuller it is, the fewer are let on; never more than fit, and all while it is empty.
func TestDoorstepFills(t *testing.T) {
	d := gateway.NewDoorstep(100, 20, 100)
	on, tries := 0, 0
	for ; on < 100 && tries < 1_000_000; tries++ {
		if _, ok := d.Step(netip.MustParseAddr(fmt.Sprintf("10.0.%d.%d", tries>>8&255, tries&255))); ok {
			on++
		} else if on < 20 {
			t.Fatalf("turned away at %d", on)
		}
	}
	if on != 100 || tries < 150 {
		t.Errorf("%d on after %d tries", on, tries)
	}
}

// Half-open handshakes by the hundred: who floods is turned away, and who is inside and who comes from elsewhere is not.
func TestHalfOpenFlood(t *testing.T) {
	w := newWays(t)
	inside := w.visit()
	turnedAway := 0
	for range 100 {
		line, _ := bufio.NewReader(w.connect(w.gateway.ServeSSH)).ReadString('\n')
		if strings.HasPrefix(line, "Too many connections") {
			turnedAway++
		} else if !strings.HasPrefix(line, "SSH-2.0-") {
			t.Fatalf("hears %q", line)
		}
	}
	if knocking, _ := w.gateway.Standing(); turnedAway != 36 || knocking != 64 {
		t.Errorf("%d turned away, %d knocking", turnedAway, knocking)
	}
	conn, err := inside.Dial("tcp", "db1:22")
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.shake(conn, "db1:22", w.client("root", &terminal{}, w.mei()))
	if err != nil {
		t.Fatal(err)
	}
	w.echoes(c)
}
