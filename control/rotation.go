package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
)

// reportTime is how old a host's report may be: one that is older counts as none.
const reportTime = 10 * time.Minute

// RotationConfig is what Rotation is made of. Everything must be set.
type RotationConfig struct {
	CA    CAKeys
	Store HostReports
	// Events reads the audit log: when the certificates expire that a key has signed.
	Events Events
	Now    func() time.Time
	Log    *slog.Logger
}

// CAKeys is what it needs of ca.Authority.
type CAKeys interface {
	CAs() []*sekisho.CA
	CA(name string) (*sekisho.CA, error)
	Create(ctx context.Context, name, kind, store, keyKind string, o ca.Order) (*sekisho.CA, error)
	Announce(ctx context.Context, seen *sekisho.CA, store, keyKind string, o ca.Order) (*sekisho.CA, error)
	Step(ctx context.Context, seen *sekisho.CA, s ca.Step, f ca.Facts, o ca.Order) (*sekisho.CA, error)
	Expiry(name, fingerprint string) time.Time
	Trouble(name, fingerprint string) error
	CheckKeys(ctx context.Context) error
}

// HostReports is what it needs kept.
type HostReports interface {
	Targets(ctx context.Context) ([]*sekisho.Target, error)
	HostReports(ctx context.Context) ([]*sekisho.HostReport, error)
}

// Rotation takes CAs from one key to the next: by itself where a step follows from what hosts report and from what has
// expired, else when somebody asks. What the steps are stands in ca/rotation.go.
type Rotation struct {
	RotationConfig
	due      atomic.Bool // hosts have reported since the last look
	mu       sync.Mutex  // held during a look
	last     time.Time
	checked  time.Time
	expiries sync.Map // by fingerprint: when the last certificate of a key that retires expires, as the log says
}

// NewRotation makes a Rotation.
func NewRotation(cfg RotationConfig) (*Rotation, error) {
	if cfg.CA == nil || cfg.Store == nil || cfg.Events == nil || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("rotation: CAs, reports, audit log, clock and log are all needed")
	}
	return &Rotation{RotationConfig: cfg}, nil
}

const (
	// lookPause is the time between two looks where nobody has reported.
	lookPause = 10 * time.Second
	// checkPause is the time between two questions to key stores whether they can sign.
	checkPause = 30 * time.Second
)

// Tick is to be called every second or so. It looks for steps if hosts have reported, or if the last look is a while ago,
// and asks key stores now and then whether they can sign.
func (r *Rotation) Tick(ctx context.Context) {
	now := r.Now()
	r.mu.Lock()
	look := r.due.Swap(false) || now.Sub(r.last) >= lookPause || now.Before(r.last)
	check := now.Sub(r.checked) >= checkPause || now.Before(r.checked)
	if look {
		r.last = now
	}
	if check {
		r.checked = now
	}
	r.mu.Unlock()
	if look {
		if err := r.Advance(ctx); err != nil && ctx.Err() == nil {
			r.Log.Error("look for steps of CA keys", "error", err)
		}
	}
	if check {
		if err := r.CA.CheckKeys(ctx); err != nil && ctx.Err() == nil {
			r.Log.Error("a CA key cannot sign", "error", err)
		}
	}
}

// Advance takes the steps that follow from facts alone.
func (r *Rotation) Advance(ctx context.Context) error {
	var errs []error
	for _, c := range r.CA.CAs() {
		s, ok := ca.Next(c)
		if !ok || s.Decision {
			continue
		}
		at, err := r.survey(ctx)
		if err != nil {
			return err
		}
		f, err := r.facts(ctx, at, c)
		if err == nil && ca.Waits(c, s, f) == "" {
			_, err = r.CA.Step(ctx, c, s, f, ca.Order{Actor: "control"})
		}
		switch {
		case errors.Is(err, sekisho.ErrTaken): // somebody was faster
		case err != nil:
			errs = append(errs, fmt.Errorf("CA %s: %w", c.Name, err))
		case ca.Waits(c, s, f) == "":
			r.Log.Info("CA key has stepped", "ca", c.Name, "key", s.Key, "state", s.To)
		}
	}
	return errors.Join(errs...)
}

// waits reports whether the rotation of a CA waits for what hosts report.
func (r *Rotation) waits() bool {
	return slices.ContainsFunc(r.CA.CAs(), func(c *sekisho.CA) bool {
		s, ok := ca.Next(c)
		return ok && (s.To == sekisho.CAKeyTrusted && ours(c.Name) || s.To == sekisho.CAKeyRetired && c.Name == ca.HostCA)
	})
}

// survey is what is known of hosts at one moment.
type survey struct {
	targets []*sekisho.Target
	reports map[string]*sekisho.HostReport
	now     time.Time
}

func (r *Rotation) survey(ctx context.Context) (*survey, error) {
	targets, err := r.Store.Targets(ctx)
	if err != nil {
		return nil, fmt.Errorf("list targets: %w", err)
	}
	reports, err := r.Store.HostReports(ctx)
	if err != nil {
		return nil, err
	}
	at := &survey{targets: targets, reports: make(map[string]*sekisho.HostReport, len(reports)), now: r.Now()}
	for _, h := range reports {
		at.reports[h.Target] = h
	}
	return at, nil
}

// lag is a host that is behind, and why, in a clause.
type lag struct {
	target   *sekisho.Target
	report   *sekisho.HostReport // nil: none, ever
	why      string
	reported bool // lately
}

// needs reports whether a target's host is to trust what a CA signs. Clients and gateways, who are to trust the host CA, get
// its lines with every connection and never lag.
func needs(c string, t *sekisho.Target) bool {
	return c == ca.GatewayCA || c == ca.UserCA && !t.Audited
}

// report gives what a host has said lately, or why it counts as nothing.
func (at *survey) report(t *sekisho.Target) (h *sekisho.HostReport, why string) {
	h = at.reports[t.Name]
	switch {
	case t.Connector == "":
		return h, "does not report: no connector has joined for it"
	case h == nil:
		return nil, "does not report: its connector has not said anything of it yet"
	case at.now.Sub(h.At) > reportTime:
		return h, "does not report: its connector was last heard more than ten minutes ago"
	}
	return h, ""
}

// distrust lists the hosts that are to trust a key and do not, as far as is known, and how many are to.
func (at *survey) distrust(c *sekisho.CA, fingerprint string) (lagging []lag, hosts int) {
	for _, t := range at.targets {
		if !needs(c.Name, t) {
			continue
		}
		hosts++
		h, why := at.report(t)
		l := lag{target: t, report: h, why: why, reported: why == ""}
		switch {
		case why != "":
		case !h.Managed:
			l.why = "its connector does not manage its sshd, so nobody can tell"
		case slices.Contains(h.Trusts, fingerprint):
			continue
		case h.Error != "" && len(h.Trusts) == 0:
			l.why = "cannot say what it trusts: " + h.Error
		case h.Error != "":
			l.why = "does not trust it yet: " + h.Error
		default:
			l.why = "does not trust it yet"
		}
		lagging = append(lagging, l)
	}
	return lagging, hosts
}

// shows lists the hosts that may show a certificate that a host CA's key has signed.
func (at *survey) shows(fingerprint string) (lagging []lag, hosts int) {
	for _, t := range at.targets {
		if t.HostKey == "" { // no certificate was ever made for it
			continue
		}
		hosts++
		h, why := at.report(t)
		l := lag{target: t, report: h, why: why, reported: why == ""}
		switch {
		case why != "":
		case h.Managed && h.CertificateCA == "" && h.Error != "":
			l.why = "cannot say what it shows: " + h.Error
		case !h.Managed || h.CertificateCA != fingerprint: // certificates are put where connectors manage sshd, and nowhere else
			continue
		case h.Error != "":
			l.why = "shows a certificate of it: " + h.Error
		default:
			l.why = "shows a certificate of it"
		}
		lagging = append(lagging, l)
	}
	return lagging, hosts
}

// awaited lists the hosts that the next step of a CA's rotation waits for.
func (at *survey) awaited(c *sekisho.CA, s ca.Step) []lag {
	var lagging []lag
	switch {
	case s.To != sekisho.CAKeyRetired:
		lagging, _ = at.distrust(c, s.Key)
	case c.Name == ca.HostCA:
		lagging, _ = at.shows(s.Key)
	}
	return lagging
}

// ours reports whether a CA's certificates are for hosts and gateways of this house, so that they are known.
func ours(name string) bool { return name == ca.UserCA || name == ca.GatewayCA || name == ca.HostCA }

// facts are what the next step of a CA goes by.
func (r *Rotation) facts(ctx context.Context, at *survey, c *sekisho.CA) (ca.Facts, error) {
	f := ca.Facts{Now: at.now, Unknown: !ours(c.Name)}
	s, ok := ca.Next(c)
	if !ok {
		return f, nil
	}
	waiting := len(at.awaited(c, s))
	var err error
	switch s.To {
	case sekisho.CAKeyTrusted:
		f.Lagging = waiting
	case sekisho.CAKeyIssuing:
		f.Lagging = waiting
		for _, k := range c.Keys {
			if k.State == sekisho.CAKeyIssuing {
				f.LastExpiry, err = r.expiry(ctx, c, k, at.now)
			}
		}
	case sekisho.CAKeyRetired:
		f.Showing = waiting
		for _, k := range c.Keys {
			if k.Fingerprint == s.Key {
				f.LastExpiry, err = r.lastExpiry(ctx, c, k, at.now)
			}
		}
	}
	return f, err
}

// lastExpiry is when the last certificate expires of a key that signs no more.
func (r *Rotation) lastExpiry(ctx context.Context, c *sekisho.CA, k sekisho.CAKey, now time.Time) (time.Time, error) {
	logged, known := r.expiries.Load(k.Fingerprint)
	if !known {
		// Anew, and not as the row has it: what was being signed in the moment of the step is in the log by now.
		found, err := r.expiry(ctx, c, k, k.Retiring)
		if err != nil {
			return time.Time{}, err
		}
		logged = found
		r.expiries.Store(k.Fingerprint, found)
	}
	return latest(logged.(time.Time), k.LastExpiry, r.CA.Expiry(c.Name, k.Fingerprint)), nil
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// maxLines bounds how much of the audit log is read for one key, in lines.
const maxLines = 5_000_000

// expiry is when the last certificate expires that a key has signed, as the audit log says. It looks back from now as far as
// a certificate of it can be valid.
func (r *Rotation) expiry(ctx context.Context, c *sekisho.CA, k sekisho.CAKey, now time.Time) (time.Time, error) {
	life := ca.MaxTTL
	if c.Type == ca.TypeHost {
		life = ca.MaxHostTTL
	}
	q := sekisho.EventQuery{Kind: sekisho.EventCertificate, Since: latest(now.Add(-life), k.Issuing), Limit: maxList}
	last := latest(now.Add(-time.Nanosecond), r.CA.Expiry(c.Name, k.Fingerprint)) // where there is no certificate: it is over
	for read := 0; ; {
		lines, err := r.Events.Query(ctx, q)
		if err != nil {
			return time.Time{}, fmt.Errorf("read certificates from the audit log: %w", err)
		}
		for _, line := range lines {
			var ev sekisho.Event
			if err := json.Unmarshal(line, &ev); err != nil {
				return time.Time{}, fmt.Errorf("read certificate from the audit log: %w", err)
			}
			q.Before = ev.Seq
			if bytes.Contains(line, []byte(k.Fingerprint)) && ev.Certificate != nil && ev.Certificate.CA == k.Fingerprint {
				last = latest(last, ev.Certificate.ValidBefore)
			}
		}
		if read += len(lines); len(lines) < q.Limit || q.Before <= 0 {
			return last, nil
		}
		if read >= maxLines {
			return latest(last, now.Add(life)), nil // later than that none of them expires
		}
	}
}
