package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

const (
	// keepEvery is how old a kept report may get while it says the same again. It is well below reportTime.
	keepEvery = 3 * time.Minute
	maxTrusts = 64 // CA fingerprints, a report
)

// reports remembers what was kept of hosts, so that those that say the same every minute cost no write each time.
type reports struct {
	mu   sync.Mutex
	kept map[string]*sekisho.HostReport
}

// keep keeps what a connector says of its own targets, and has the rotation look at it.
func (d connectors) keep(ctx context.Context, said []*sekisho.HostReport) error {
	d.reports.mu.Lock()
	due := slices.DeleteFunc(slices.Clone(said), func(r *sekisho.HostReport) bool { return sameReport(d.reports.kept[r.Target], r) })
	d.reports.mu.Unlock()
	if len(due) == 0 {
		return nil
	}
	if err := d.Store.SaveHostReports(ctx, due); err != nil {
		return fmt.Errorf("keep host reports: %w", err)
	}
	d.reports.mu.Lock()
	if d.reports.kept == nil {
		d.reports.kept = make(map[string]*sekisho.HostReport)
	}
	for _, r := range due {
		d.reports.kept[r.Target] = r
	}
	d.reports.mu.Unlock()
	d.Rotation.due.Store(true)
	return nil
}

// sameReport reports whether a new report says nothing that the kept one does not.
func sameReport(kept, r *sekisho.HostReport) bool {
	return kept != nil && r.At.Sub(kept.At) < keepEvery && !r.At.Before(kept.At) && kept.Managed == r.Managed &&
		slices.Equal(kept.Trusts, r.Trusts) && kept.Revocations == r.Revocations && kept.CertificateCA == r.CertificateCA && kept.Error == r.Error
}

// readReport takes from a connector's words what has the form of what it may say.
func readReport(m *apiv1.HostReport, now time.Time) *sekisho.HostReport {
	r := &sekisho.HostReport{
		Target: m.Name, At: now.UTC(), Managed: m.Managed, Revocations: m.Revocations, Error: m.Error[:min(len(m.Error), maxTrouble)],
	}
	r.Error = strings.ToValidUTF8(r.Error, "?")
	for f := range strings.FieldsSeq(m.Trusts) {
		if isFingerprint(f) && len(r.Trusts) < maxTrusts {
			r.Trusts = append(r.Trusts, f)
		}
	}
	slices.Sort(r.Trusts)
	if isFingerprint(m.CertificateCa) {
		r.CertificateCA = m.CertificateCa
	}
	return r
}

// isFingerprint: SHA256: and 43 characters of unpadded base64.
func isFingerprint(s string) bool {
	rest, ok := strings.CutPrefix(s, "SHA256:")
	return ok && len(rest) == 43 && !strings.ContainsFunc(rest, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '/')
	})
}
