package sekisho_test

import (
	"cmp"
	"testing"

	"github.com/sekisho/sekisho"
)

func TestDestination(t *testing.T) {
	for _, c := range []struct {
		list, host string
		port       uint16
		want       bool
	}{
		{"db2:5432", "db2", 5432, true},
		{"db2:5432", "DB2.", 5432, true},
		{"db2:5432", "db2", 5433, false},
		{"db2:5432", "db2.internal", 5432, false},
		{"*.internal:80-90", "a.b.internal", 85, true},
		{"*.internal:80-90", "internal", 85, false},
		{"*.internal:80-90", ".internal", 85, false},
		{"*.internal:80-90", "evilinternal", 85, false},
		{"*.internal:80-90", "a.internal", 91, false},
		{"10.0.0.0/8:*", "10.1.2.3", 1, true},
		{"10.0.0.0/8:*", "::ffff:10.1.2.3", 1, true},
		{"10.0.0.0/8:*", "11.1.2.3", 1, false},
		{"10.0.0.0/8:*", "10.1", 1, false},        // what a resolver would make of it is not known here
		{"127.0.0.1:22", "2130706433", 22, false}, // nor of this
		{"127.0.0.1:22", "0x7f000001", 22, false}, // nor of this
		{"127.0.0.1:22", "localhost", 22, false},  // a name is a name
		{"localhost:22", "127.0.0.1", 22, false},  // and an address an address
		{"[fd00::/8]:443", "fd12::1", 443, true},
		{"[fd00::/8]:443", "fd12::1%eth0", 443, false},
		{"[fd00::/8]:443", "fe80::1", 443, false},
		{"[::1]:*", "::1", 5, true},
		{"*:*", "anything", 0, true},
		{"*:*", "192.0.2.1", 65535, true},
		{"*:443", "192.0.2.1", 444, false},
		{"/run/*.sock", "/run/a.sock", 0, false},
	} {
		d, err := sekisho.ParseDestination(c.list)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Holds(c.host, c.port); got != c.want {
			t.Errorf("%s holds %s:%d = %v", c.list, c.host, c.port, got)
		}
		if d.String() != c.list {
			t.Errorf("%s is written %s", c.list, d)
		}
	}
}

func TestDestinationSocket(t *testing.T) {
	d, err := sekisho.ParseDestination("/run/app/*.sock")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"/run/app/a.sock": true, "/run/app/../docker.sock": false, "/run/app/b/a.sock": false, "/run/app/.sock": true,
		"/run//app/a.sock": false, "run/app/a.sock": false, "": false, "/run/app/x/../a.sock": false,
	} {
		if got := d.HoldsSocket(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestDestinationRefused(t *testing.T) {
	for _, s := range []string{"", ":", "db2", "db2:", "db2:65536", "db2:9-8", "db2:-1", "fd00::1:22", "[fd00::1:22", "10.0.0.1/8:22",
		"a b:22", "*x:22", "*.*.x:22", "/run/../x", "/run/[", "-x:1", "fe80::1%eth0:22", "[fe80::1%eth0]:22"} {
		if d, err := sekisho.ParseDestination(s); err == nil {
			t.Errorf("%q is taken as %s", s, d)
		}
	}
}

func TestDestinationCompare(t *testing.T) {
	sorted := []string{"/run/a.sock", "/run/b.sock", "10.0.0.0/8:1-2", "10.0.0.0/9:1-2", "[fd00::/8]:443", "*:*", "*.internal:80", "db2:80", "db2:80-90", "db2:81"}
	for i, a := range sorted {
		for j, b := range sorted {
			d, err := sekisho.ParseDestination(a)
			e, err2 := sekisho.ParseDestination(b)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			if got, want := d.Compare(e), cmp.Compare(i, j); got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

func FuzzDestination(f *testing.F) {
	for _, s := range []string{"db2:5432", "*.internal:80-90", "10.0.0.0/8:*", "[fd00::/8]:443", "/run/app/*.sock", "*:*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := sekisho.ParseDestination(s)
		if err != nil {
			return
		}
		again, err := sekisho.ParseDestination(d.String())
		if err != nil || again != d {
			t.Errorf("%q is written %q, which is %v (%v)", s, d, again, err)
		}
	})
}
