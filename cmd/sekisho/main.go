// Command sekisho is for people: it signs in, stands behind plain ssh as its ProxyCommand, and reads what the house
// has recorded. Every command is a struct with a Run(*app) method in the file of its name; this file only picks one.
//
// Exit codes: 0 done, 1 refused or failed (one sentence on stderr says why), 2 used wrongly.
// recordings search goes by grep's: 1 nothing found, 2 failed. An interrupted command exits with 130.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// ssh ends its ProxyCommand with SIGHUP, and a pipe that ssh has closed must end in an error, not in a signal:
	// either way the agent's socket is taken away before the process goes.
	signal.Ignore(syscall.SIGPIPE)
	// x/crypto/ssh/agent logs what it refuses; the person behind ssh has no use for that.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	a := newApp(ctx, os.Stdin, os.Stdout, os.Stderr)
	code := a.main(os.Args[1:])
	stop()
	os.Exit(code)
}
