package client

import (
	"context"
	"errors"
	"io/fs"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

// Logout ends the sign-in at control, or all of the person's sign-ins, and forgets it here with the key it was bound
// to, here and in the person's agent. It forgets also when control cannot be told, and returns that as a refusal. ended
// counts the sign-ins.
func (c *Client) Logout(ctx context.Context, everywhere bool) (ended int, err error) {
	unlock, err := c.home.lockContext(ctx, "login")
	if err != nil {
		return 0, err
	}
	defer unlock()
	c.forgetAgent(ctx)
	if _, err := c.home.SignIn(); errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	res, err := c.SignIns().End(ctx, connect.NewRequest(&apiv1.EndRequest{Everywhere: everywhere}))
	if rerr := c.home.remove(signInFile, keyFile); rerr != nil {
		return 0, rerr
	}
	switch {
	case err == nil:
		return int(res.Msg.Ended), nil
	case connect.CodeOf(err) == connect.CodeUnauthenticated:
		return 0, nil // it had ended already
	default:
		return 0, &sekisho.Refusal{
			Sentence: "This machine has forgotten the sign-in, but the server could not be told: it lasts there until it expires.",
			Next:     "If that matters, log in again and run: sekisho logout --everywhere", Cause: err,
		}
	}
}
