package main

import (
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

// maxInside is how many events of a kind are looked through for those that came through a session.
const maxInside = 10_000

// tellInside says on stderr how to see the sessions that came through a session or visit. They have IDs of their own and
// only their first event names what they came through, so those that began meanwhile are looked through.
func (a *app) tellInside(id string) error {
	if id == "" {
		return nil
	}
	meanwhile, err := a.meanwhile(id)
	if err != nil || meanwhile == nil {
		return err
	}
	for _, kind := range []string{sekisho.EventSessionStarted, sekisho.EventSessionRefused} {
		lines, err := a.events(&apiv1.ListEventsRequest{Kind: kind, Since: meanwhile.Since, Before: meanwhile.Before}, maxInside)
		if err != nil {
			return err
		}
		for _, line := range lines {
			ev, err := parseEvent(line)
			if err != nil {
				return err
			}
			if ev.Detail["parent"] == id {
				fmt.Fprintf(a.err, "Through it came %s to %s: sekisho audit list --session %s\n",
					cell(ev.Actor), cell(ev.Login+"@"+ev.Target), cell(ev.Session))
			}
		}
		if len(lines) == maxInside {
			fmt.Fprintf(a.err, "Of %s, only the last %d events were looked through for what came through it.\n", kind, maxInside)
		}
	}
	return nil
}

// meanwhile asks for what happened from the first event of a session or visit to its end, if it has one; nil where there is no such.
func (a *app) meanwhile(id string) (*apiv1.ListEventsRequest, error) {
	start, err := a.lastEvent(id, sekisho.EventSessionStarted)
	if err == nil && start == nil {
		start, err = a.lastEvent(id, sekisho.EventVisit)
	}
	if err != nil || start == nil {
		return nil, err
	}
	req := &apiv1.ListEventsRequest{Since: timestamppb.New(start.Time)}
	end, err := a.lastEvent(id, sekisho.EventSessionEnded)
	if end != nil {
		req.Before = end.Seq
	}
	return req, err
}

// lastEvent is a session's newest event of a kind, nil if there is none.
func (a *app) lastEvent(id, kind string) (*sekisho.Event, error) {
	lines, err := a.events(&apiv1.ListEventsRequest{Session: id, Kind: kind}, 1)
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	return parseEvent(lines[0])
}
