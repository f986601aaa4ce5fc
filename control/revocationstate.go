package control

import (
	"context"
	"fmt"
	"time"

	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/ca"
)

// revocationStates tells where the lists stand and, to who may manage CAs, which hosts go by an older one. Clients and
// gateways never lag: the house's gateways ask what is revoked for each connection, clients get the list's number with it.
func (d *door) revocationStates(ctx context.Context, at *survey, inside bool) (users, hosts *apiv1.RevocationState, err error) {
	u, err := d.Revoked.Users(ctx)
	if err != nil {
		return nil, nil, err
	}
	h, err := d.Revoked.Hosts(ctx)
	if err != nil {
		return nil, nil, err
	}
	users, hosts = stateOf(u), stateOf(h)
	if inside {
		lagging := at.unrevoked(u)
		for _, l := range lagging[:min(len(lagging), maxLagging)] {
			users.Lagging = append(users.Lagging, l.tell())
		}
	}
	return users, hosts, nil
}

func stateOf(l *ca.RevocationList) *apiv1.RevocationState {
	return &apiv1.RevocationState{Number: l.Number, Generated: stamp(l.Generated), Entries: int32(l.Entries)}
}

// unrevoked lists the hosts that go by an older list, or by none as far as is known.
func (at *survey) unrevoked(list *ca.RevocationList) (lagging []lag) {
	for _, t := range at.targets {
		r, why := at.report(t)
		l := lag{target: t, report: r, why: why, reported: why == ""}
		switch {
		case why != "":
		case !r.Managed:
			l.why = "its connector does not manage its sshd, so nobody can tell"
		case r.Revocations >= list.Number:
			continue
		default:
			l.why = fmt.Sprintf("goes by list %d, which is behind since %s", r.Revocations, list.Generated.UTC().Format(time.RFC3339))
			if r.Error != "" {
				l.why += ": " + r.Error
			}
		}
		lagging = append(lagging, l)
	}
	return lagging
}
