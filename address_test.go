package sekisho_test

import (
	"testing"

	"github.com/sekisho/sekisho"
)

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "192.0.2.7/32": "192.0.2.7", "10.0.0.0/8": "10.0.0.0/8", "0.0.0.0/1": "",
		"2001:DB8::1": "2001:db8::1", "2001:db8::/32": "2001:db8::/32", "fe80::1": "fe80::1",
		"": "", "db1": "", "10.0.0.1/8": "", "10.0.0.0/33": "", "10.0.0.0/": "", "/8": "", "10.0.0": "", "0.0.0.0/0": "", "::/0": "",
		"::ffff:10.0.0.1": "", "::ffff:0:0/96": "", "fe80::1%eth0": "", "fe80::%eth0/64": "", "224.0.0.1": "", "ff02::/16": "", "::": "",
		"010.0.0.1": "", " 10.0.0.1": "", "10.0.0.1:22": "", "10.0.0.1-10.0.0.9": "",
	} {
		got, err := sekisho.ParseAddress(in)
		if want == "" {
			if err == nil {
				t.Errorf("%q is read as %s", in, got)
			}
			continue
		}
		if err != nil || sekisho.FormatAddress(got) != want {
			t.Errorf("%q is read as %s, %v", in, got, err)
		}
	}
}
