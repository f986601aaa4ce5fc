package gateway

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/crypto/ssh"
)

// sourceAddress is the critical option that binds a certificate to addresses (PROTOCOL.certkeys).
const sourceAddress = "source-address"

// checkSource reports why a certificate may not be used from that address. The list holds addresses and CIDR
// ranges, separated by commas; one that cannot be read fits nothing.
func checkSource(certificate *ssh.Certificate, from netip.Addr) error {
	list, bound := certificate.CriticalOptions[sourceAddress]
	if !bound {
		return nil
	}
	for item := range strings.SplitSeq(list, ",") {
		prefix, err := netip.ParsePrefix(item)
		if err != nil {
			one, err := netip.ParseAddr(item)
			if err != nil {
				return fmt.Errorf("source-address %q: %w", list, err)
			}
			prefix = netip.PrefixFrom(one, one.BitLen())
		}
		if prefix.Contains(from) {
			return nil
		}
	}
	return fmt.Errorf("certificate is bound to %s, not %s", list, from)
}
