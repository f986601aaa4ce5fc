package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// delay measures the audit door for a user who is far away: connecting, and bytes both ways. Sizes are such that TCP
// and SSH find their speed; nothing is set that the kernel would not choose by itself.
func delay(ctx context.Context, s *street, p plan) error {
	p = p.or(plan{rounds: 2, n: 5, mb: 64})
	const oneWay = 50 * time.Millisecond
	l, err := openLink(ctx, oneWay)
	if err != nil {
		return err
	}
	defer l.close()
	trip, err := l.roundTrip(s.house.SSHPort)
	if err != nil {
		return err
	}
	rate, err := l.download(int64(p.mb) * 1e6)
	if err != nil {
		return err
	}
	fmt.Printf("\nThe user is %.1f ms away from all servers (%s, %s each way). %d MB by TCP alone: %.0f MB/s (%s).\n",
		ms(trip), l.how, oneWay, p.mb, rate/1e6, tcpSettings())
	hops, err := s.hops(ctx)
	if err == nil {
		hops, err = each(audited(hops), s.dir, curve25519, gcm)
	}
	if err != nil {
		return err
	}
	for i := range hops {
		hops[i].from = l.user
	}
	if err := compareConnecting(ctx, "ssh host true, 100 ms away", hops, p.n); err != nil {
		return err
	}
	for _, m := range moves {
		if err := s.compareMoving(ctx, p, m.title+", 100 ms away, AES-GCM", hops, m); err != nil {
			return err
		}
	}
	return nil
}

// tcpSettings are the limits of TCP's windows in bytes, and who governs them.
func tcpSettings() string {
	read := func(name string) string {
		text, _ := os.ReadFile("/proc/sys/net/ipv4/" + name)
		return strings.Join(strings.Fields(string(text)), " ")
	}
	return fmt.Sprintf("tcp_rmem %s, tcp_wmem %s, %s", read("tcp_rmem"), read("tcp_wmem"), read("tcp_congestion_control"))
}
