package gateway

import (
	"net/netip"
	"time"
)

// Route is route.
var Route = route

// Discard is discard.
var Discard = discard

// SetVisitIdle changes how long visits may be idle.
func (g *Gateway) SetVisitIdle(d time.Duration) { g.visitIdle = d }

// SetVisitPatience changes how long a visit's channel is waited for.
func (g *Gateway) SetVisitPatience(d time.Duration) { g.visitPatience = d }

// SetMaxOwn changes how many sessions and visits one person may have.
func (g *Gateway) SetMaxOwn(n int) { g.maxOwn = n }

// Standing says how many stand at the listeners and how many wait for somebody to prove themselves.
func (g *Gateway) Standing() (knocking, waiting int) {
	return g.knocking.count(), g.waiting.count()
}

func (d *doorstep) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all
}

// Visits says how many visits there are.
func (g *Gateway) Visits() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.visits)
}

// Doorstep is doorstep.
type Doorstep struct{ *doorstep }

// NewDoorstep is newDoorstep.
func NewDoorstep(most, early, near int) Doorstep { return Doorstep{newDoorstep(most, early, near)} }

// Step is step.
func (d Doorstep) Step(from netip.Addr) (leave func(), ok bool) { return d.step(from) }

// SetOpenPatience is for how long a session waits for its recording to be opened.
func (g *Gateway) SetOpenPatience(d time.Duration) { g.openPatience = d }
