package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

const (
	// completeTime is how long a server may take to say what can follow on the command line.
	completeTime = time.Second
	// maxCompleted is how many sessions are offered, the newest.
	maxCompleted = 100
)

// sessionsIDsCmd prints the sessions that run, for completion.
type sessionsIDsCmd struct {
	To string `arg:"" enum:"watch,end" help:"What is to be done with them."`
}

func (cmd *sessionsIDsCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, completeTime)
	defer cancel()
	all, _, err := a.during(ctx).liveSessions(&apiv1.ListSessionsRequest{Limit: maxCompleted})
	if err != nil {
		return nil // nothing is offered: whoever presses Tab has no use for a sentence in the middle of the line
	}
	for _, s := range all {
		if cmd.To == "watch" && s.MayWatch || cmd.To == "end" && s.MayEnd {
			a.offer(s.Session, fmt.Sprintf("%s as %s on %s, idle %s", s.Person, s.Login, s.Target, span(s.Idle)))
		}
	}
	return nil
}

// recordingsIDsCmd prints the newest recorded sessions, for completion.
type recordingsIDsCmd struct{}

func (*recordingsIDsCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, completeTime)
	defer cancel()
	all, err := a.during(ctx).listRecordings(&apiv1.ListRecordingsRequest{Limit: maxCompleted})
	if err != nil {
		return nil
	}
	for _, r := range all {
		a.offer(r.Session, fmt.Sprintf("%s as %s on %s, %s", r.Person, r.Login, r.Target, local(r.Started)))
	}
	return nil
}

// keysIDsCmd prints the published keys that may be withdrawn, for completion.
type keysIDsCmd struct{}

func (*keysIDsCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, completeTime)
	defer cancel()
	all, _, err := a.during(ctx).publishedKeys(&apiv1.ListPublishedKeysRequest{Limit: maxCompleted})
	if err != nil {
		return nil
	}
	for _, k := range all {
		if k.MayWithdraw {
			a.offer(k.ID, fmt.Sprintf("%s on %s, until %s: %s", k.Login, k.places(), local(k.Expires), k.Reason))
		}
	}
	return nil
}

// caNamesCmd prints the issuers that may be asked, for completion.
type caNamesCmd struct{}

func (*caNamesCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, completeTime)
	defer cancel()
	all, err := a.during(ctx).issuers()
	if err != nil {
		return nil
	}
	for _, i := range all {
		if i.May && i.Name != "people" && issuerName.MatchString(i.Name) {
			fmt.Fprintf(a.out, "%s\tfor %s\n", i.Name, plain(strings.Join(i.Principals, ", ")))
		}
	}
	return nil
}

// issuerName is what an issuer is called, and nothing that a shell would expand.
var issuerName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// during is the app for as long as ctx lasts.
func (a *app) during(ctx context.Context) *app {
	during := *a
	during.ctx = ctx
	return &during
}

// offer prints a word that can follow and, after a tab, what it stands for. bash expands what it is offered, so nothing
// that a server says may be a word unless it is an ID.
func (a *app) offer(id, means string) {
	if isSession(id) || sekisho.CheckID("pub", id) {
		fmt.Fprintf(a.out, "%s\t%s\n", id, plain(means))
	}
}

// caIDsCmd prints the names of the CAs, for completion.
type caIDsCmd struct{}

func (*caIDsCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, completeTime)
	defer cancel()
	all, err := a.during(ctx).cas("")
	if err != nil {
		return nil
	}
	for _, c := range all {
		if issuerName.MatchString(c.Name) { // CAs are called as issuers are
			fmt.Fprintf(a.out, "%s\t%s certificates\n", c.Name, plain(c.Type))
		}
	}
	return nil
}
