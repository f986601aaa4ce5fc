package e2e_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/client"
)

// stepAtOnce forces the step of an announced CA key five times at once, each from the same look at it: "step CA".
func stepAtOnce(p *traveller, args []string) error {
	c, err := client.Open(p.sekisho())
	if err != nil {
		return err
	}
	if _, err := c.EnsureSignIn(context.Background(), "", nil); err != nil {
		return err
	}
	var stepped, told atomic.Int32
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			_, err := c.CAs().Rotate(context.Background(), connect.NewRequest(&apiv1.RotateCARequest{
				Name: args[0], Force: true, Reason: "all at once", From: "announced",
			}))
			switch {
			case err == nil:
				stepped.Add(1)
			case connect.CodeOf(err) == connect.CodeAborted:
				told.Add(1)
			default:
				fmt.Println(err)
			}
		})
	}
	all.Wait()
	fmt.Printf("%d stepped, %d were told\n", stepped.Load(), told.Load())
	return nil
}
