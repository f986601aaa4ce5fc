// Command demo runs the whole house on loopback: an IdP, sekishod, and two targets, each a real sshd behind a
// connector that dials out.
//
//	demo            start it, print what to type next, end it all on Ctrl-C
//	demo -check     start it, take the whole journey without a person, end it
//	demo -fill URL  be the browser: sign in at URL as -person and follow the redirects
//
// With -with-parent it also ends when its standard input does, so that it never outlives whoever started it.
//
// DEMO_DIR names its folder (else a new temporary one), DEMO_PORT_BASE the first of its ports (else free ones),
// DEMO_CONFIG a file that is added to sekishod's configuration.
// It writes demo.json there: all that an outside script needs to drive it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	withParent := flag.Bool("with-parent", false, "end when standard input ends")
	check := flag.Bool("check", false, "take the whole journey, then end")
	fill := flag.String("fill", "", "sign in at this `URL` as a browser would")
	person := flag.String("person", "", "with -fill: who")
	file := flag.String("demo", "", "with -fill: the demo.json")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if *withParent {
		signal.Ignore(syscall.SIGPIPE) // the parent that is gone read our output, too
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	filling := false
	flag.Visit(func(f *flag.Flag) { filling = filling || f.Name == "fill" })
	err := errors.New("unexpected arguments")
	switch {
	case filling && *fill == "":
		err = errors.New("-fill: which URL?")
	case filling:
		err = fillForms(ctx, *file, *person, *fill)
	case flag.NArg() == 0:
		err = run(ctx, *check)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, check bool) error {
	dir, temporary, err := folder()
	if err != nil {
		return err
	}
	h, err := newHouse(dir)
	if err != nil {
		return err
	}
	defer func() {
		h.stop()
		if temporary {
			os.RemoveAll(dir)
		}
	}()
	if err := h.start(ctx); err != nil {
		return err
	}
	if check {
		return h.journey(ctx)
	}
	h.explain(os.Stdout)
	<-ctx.Done()
	fmt.Println("\nending everything")
	return nil
}

func folder() (dir string, temporary bool, err error) {
	if dir = os.Getenv("DEMO_DIR"); dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", false, err
		}
		dir, err = filepath.Abs(dir)
		return dir, false, err
	}
	dir, err = os.MkdirTemp("", "sekisho-demo-")
	return dir, true, err
}
