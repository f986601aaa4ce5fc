package e2e_test

import (
	"context"
	"errors"
	"os"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/client"
)

// tap watches a session as sekisho does and keeps what comes over the wire, to the end: "tap SESSION FILE".
func tap(p *traveller, args []string) error {
	c, err := client.Open(p.sekisho())
	if err != nil {
		return err
	}
	stream, err := c.Sessions().Watch(context.Background(), connect.NewRequest(&apiv1.WatchSessionRequest{Session: args[0]}))
	if err != nil {
		return err
	}
	defer stream.Close()
	for stream.Receive() {
		if err := keep(args[1], stream.Msg().Data); err != nil {
			return err
		}
	}
	return stream.Err()
}

// keep adds to a file.
func keep(name string, data []byte) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}
