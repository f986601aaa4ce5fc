package gateway

import (
	"math/rand/v2"
	"net/netip"
	"sync"
)

// Bounds on those who have not proved who they are. They stand apart from sessions: however many knock, who is inside
// stays, and whoever knocks from one place leaves room for others.
const (
	// maxKnocking handshakes may be under way at the listeners at once, of which maxKnockingNear from one IPv4 address or
	// one IPv6 /64. From earlyKnocking on, newcomers are turned away at random, the more the fuller it is, so that an
	// honest one has a chance among many.
	maxKnocking, earlyKnocking, maxKnockingNear = 500, 200, 64
	// maxWaiting connections may wait for a person to prove themselves at once, of which maxWaitingNear from one address.
	maxWaiting, maxWaitingNear = 200, 20
)

// doorstep counts those who stand at a door, all of them and by where they come from.
type doorstep struct {
	most, early, near int // bounds; where early is most, nobody is turned away before

	mu    sync.Mutex
	all   int
	there map[netip.Prefix]int
}

func newDoorstep(most, early, near int) *doorstep {
	return &doorstep{most: most, early: early, near: near, there: map[netip.Prefix]int{}}
}

// step lets somebody onto the doorstep, unless it is too full. They leave it by leave, which may be called again.
func (d *doorstep) step(from netip.Addr) (leave func(), ok bool) {
	home := neighbourhood(from)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all >= d.most || d.there[home] >= d.near || d.all >= d.early && rand.IntN(d.most-d.early) < d.all-d.early {
		return nil, false
	}
	d.all++
	d.there[home]++
	return sync.OnceFunc(func() { d.leave(home) }), true
}

func (d *doorstep) leave(home netip.Prefix) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all--
	if d.there[home]--; d.there[home] == 0 {
		delete(d.there, home)
	}
}

// neighbourhood is what one party has by itself: an IPv4 address, an IPv6 /64.
func neighbourhood(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	if a.Is6() {
		p, _ := a.WithZone("").Prefix(64) // 64 bits it has
		return p
	}
	return netip.PrefixFrom(a, a.BitLen())
}
