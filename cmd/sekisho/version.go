package main

import (
	"fmt"
	"runtime"

	"github.com/sekisho/sekisho"
)

type versionCmd struct{}

func (*versionCmd) Run(a *app) error {
	_, err := fmt.Fprintf(a.out, "sekisho %s %s/%s %s\n", sekisho.Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
	return err
}
