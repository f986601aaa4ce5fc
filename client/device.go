package client

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/mdp/qrterminal/v3"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

// loginElsewhere shows a URL and a code for a browser on any machine, and asks control until the person is done
// (in the manner of RFC 8628).
func (c *Client) loginElsewhere(ctx context.Context, o LoginOptions, verifier string) (*apiv1.FinishResponse, error) {
	begun, err := c.begin(ctx, &apiv1.BeginRequest{CodeChallenge: challenge(verifier), Fresh: o.Fresh})
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.untilExpires(ctx, begun)
	defer cancel()
	fmt.Fprintf(o.Out, "To sign in, open this page in any browser:\n\n  %s\n\n", begun.Url)
	if o.Terminal {
		qrterminal.GenerateHalfBlock(begun.Url, qrterminal.L, o.Out)
	}
	fmt.Fprintf(o.Out, "and check that it shows this code:\n\n  %s\n\n", begun.UserCode)
	interval := min(max(time.Duration(begun.IntervalSeconds)*time.Second, time.Second), time.Minute)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, tooLate(ctx, ctx.Err())
		case <-tick.C:
		}
		res, err := c.open.SignIn.Finish(ctx, connect.NewRequest(&apiv1.FinishRequest{
			Request: begun.Request, CodeVerifier: verifier,
		}))
		switch {
		case err == nil && !res.Msg.Pending:
			return res.Msg, nil
		case err == nil, connect.CodeOf(err) == connect.CodeUnavailable, connect.CodeOf(err) == connect.CodeResourceExhausted:
			// not yet, no network, or a busy control: the next tick asks again
		default:
			return nil, tooLate(ctx, err)
		}
	}
}
