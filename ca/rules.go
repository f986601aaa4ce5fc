package ca

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// rules are what every issuer's orders go through, in this order. A rule refuses, or completes the order.
var rules = []struct {
	name  string
	check func(*Authority, *Issuer, *order) *breach
}{
	{"rate", rateRule},
	{"from", fromRule},
	{"proof", proofRule},
	{"key", keyRule},
	{"ttl", ttlRule},
	{"principals", principalsRule},
	{"match", matchRule},
	{"extensions", extensionsRule},
	{"options", optionsRule},
}

// breach is what a rule refuses, in a clause that goes on from "The issuer refuses this:", and what to do.
type breach struct {
	why, do string
	silent  bool // told in the audit log already
	cause   error
}

func refuse(format string, args ...any) *breach { return &breach{why: fmt.Sprintf(format, args...)} }

func (b *breach) next(do string) *breach { b.do = do; return b }

// Refused is a refusal by one rule of an issuer.
type Refused struct {
	Issuer, Rule string
	*sekisho.Refusal
}

// Unwrap gives the refusal, with its two voices.
func (r *Refused) Unwrap() error { return r.Refusal }

// check takes an order through its issuer's rules. What is refused is noted, and handed out nevertheless if that fails: the
// answer is no in any case.
func (a *Authority) check(ctx context.Context, i *Issuer, o *order) error {
	for _, r := range rules {
		b := r.check(a, i, o)
		if b == nil {
			continue
		}
		err := &Refused{i.Name, r.name, &sekisho.Refusal{
			Sentence: fmt.Sprintf("The issuer %s refuses this (rule %s): %s.", i.Name, r.name, b.why), Next: b.do, Cause: b.cause,
		}}
		if b.silent || i.Type == TypeHost && !a.hosts.due(o.id.Subject+" "+r.name, a.now()) {
			return err
		}
		return errors.Join(err, a.noteRefusal(ctx, o, err))
	}
	return nil
}

// hourly remembers of which hosts a refusal was noted lately: connectors ask every minute, whatever the answer was.
type hourly struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (h *hourly) due(what string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if last, ok := h.last[what]; ok && now.Sub(last) < time.Hour && !now.Before(last) {
		return false
	}
	if h.last == nil || len(h.last) >= maxLimited {
		h.last = make(map[string]time.Time)
	}
	h.last[what] = now
	return true
}

func (a *Authority) noteRefusal(ctx context.Context, o *order, r *Refused) error {
	ev := *o.event
	ev.Kind, ev.Error = sekisho.EventCertificateRefused, r.Error()
	ev.Detail = map[string]string{"issuer": r.Issuer, "rule": r.Rule}
	if o.print != "" {
		ev.Detail["key"] = o.print
	}
	if err := a.note(ctx, &ev); err != nil {
		return fmt.Errorf("note refusal: %w", err)
	}
	return nil
}

func rateRule(a *Authority, i *Issuer, o *order) *breach {
	if i.limiter == nil {
		return nil
	}
	ok, note := i.limiter.allow(o.id.Subject, a.now())
	if ok {
		return nil
	}
	b := refuse("that were more than %s", i.Rate).next("Wait a minute, then try again.")
	b.silent = !note
	return b
}

func fromRule(_ *Authority, i *Issuer, o *order) *breach {
	if len(i.From) == 0 || o.address.IsValid() && within(netip.PrefixFrom(o.address, o.address.BitLen()), i.From) {
		return nil
	}
	where := "an address that is not known"
	if o.address.IsValid() {
		where = o.address.String()
	}
	return refuse("you ask from %s", where).next("Ask from one of its networks, or ask an administrator which these are.")
}

// proofRule wants the key to be certified proven, unless whoever called has: connections by their signature over the
// connection's own text, hosts by a key exchange.
func proofRule(a *Authority, i *Issuer, o *order) *breach {
	if i.builtIn {
		return nil
	}
	if o.signed == nil {
		return refuse("nothing proves that the key is yours").next("Sign with the key, as sekisho ca sign does.")
	}
	if _, err := certifiable(o.key); err != nil {
		return nil // what is no key is for the next rule to refuse, which asks the same
	}
	err := o.signed.check(i, o.key, a.now())
	if err == nil {
		err = a.taken.take(o.signed.text(i.Name), o.key, o.signed.Time, a.now())
	}
	if err == nil {
		return nil
	}
	b := refuse("the proof that the key is yours was not accepted: %s", err).next("Make a new one and try again; look whether your clock is right.")
	b.cause = err
	return b
}

func ttlRule(a *Authority, i *Issuer, o *order) *breach {
	switch {
	case o.ttl == 0 && !i.builtIn:
		o.ttl = i.TTL
	case o.ttl < 0:
		return refuse("a time of less than nothing is asked for").next("Leave the time out.")
	case o.ttl > i.MaxTTL && !i.builtIn:
		return refuse("%s is longer than %s, the most that it gives", sekisho.Span(o.ttl), sekisho.Span(i.MaxTTL)).next("Ask for less, or leave the time out.")
	}
	// What rests on a sign-in, or on a token, ends with it.
	if o.ttl = min(o.ttl, i.MaxTTL); !o.until.IsZero() {
		o.ttl = min(o.ttl, o.until.Sub(a.now()))
	}
	if o.ttl < time.Second {
		return refuse("no time would be left of it").next("Ask for a second at the least, or sign in anew.")
	}
	return nil
}

// principalsRule composes the principals: those of the issuer, or of these the ones that are asked for. Where the issuer has
// none of its own, match says which a token may ask for.
func principalsRule(_ *Authority, i *Issuer, o *order) *breach {
	templates := i.principals
	if i.builtIn {
		templates = o.templates
	}
	var own []string
	for _, t := range templates {
		p, err := t.expand(o.value)
		if err != nil {
			b := refuse("a principal would have a part %s", err)
			return b.next("Ask an administrator: the principal is not meant for your address.")
		}
		own = append(own, p)
	}
	if len(o.principals) == 0 {
		o.principals = own
	} else if b := asked(o.principals, own, templates == nil); b != nil {
		return b
	}
	if len(o.principals) == 0 { // OpenSSH takes a certificate without principals as good for every name
		return refuse("it would have no principal").next("Say which principals you want.")
	}
	for _, p := range o.principals {
		if o.certType == ssh.HostCert {
			continue // names of hosts have a form of their own, checked before
		}
		if err := checkPrincipal(p); err != nil {
			return refuse("the principal %.80q %s", p, err).next("Ask for another one.")
		}
	}
	return nil
}

// asked compares what is asked for with what may be had.
func asked(wanted, own []string, free bool) *breach {
	if len(wanted) > maxTemplates {
		return refuse("%d principals are too many", len(wanted)).next(fmt.Sprintf("Ask for %d at most.", maxTemplates))
	}
	for n, p := range wanted {
		if slices.Contains(wanted[:n], p) {
			return refuse("the principal %.80q is there twice", p).next("Ask for it once.")
		}
		if !free && !slices.Contains(own, p) {
			return refuse("the principal %.80q is not one of yours", p).next("Leave the principals out to get all of yours.")
		}
	}
	return nil
}

func matchRule(_ *Authority, i *Issuer, o *order) *breach {
	if i.match == nil {
		return nil
	}
	for _, p := range o.principals {
		if !i.match.MatchString(p) {
			return refuse("the principal %.80q does not match %s", p, i.Match).next("Ask for another one, or ask an administrator.")
		}
	}
	return nil
}
