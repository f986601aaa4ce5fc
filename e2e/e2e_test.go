// Package e2e_test tells the stories of the house, and plays them with real parts: our own programs as people get
// them, OpenSSH's ssh, scp, sftp and sshd, rsync, and Dex as the IdP.
//
// A story is a script in testdata. The people in it are programs: "mei ssh web1" runs ssh with mei's configuration,
// "mei status" runs sekisho with mei's folder, and a browser that signs in by itself stands behind them. mallory is a
// person, too, with a folder and no account, and with tools of her own (mallory_test.go). Each story has folders of
// its own for its people. Most live in one house that is started once; a story that breaks or restarts something
// begins with "house" and gets one for itself.
//
// Nothing of it touches the home folder of whoever runs the tests, and nothing is left behind.
package e2e_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(&village{m: m}, map[string]func(){
		"mei":       person("mei"),
		"ken":       person("ken"),
		"hana":      person("hana"),
		"mallory":   person("mallory"),
		"browser":   browser,
		"phone":     phone,
		"terminal":  terminal,
		"street":    liveInStreet,
		"neighbour": neighbour,
		"call":      call,
		"window":    window,
		"free-port": freePort,
	})
}

// shared is the house of the stories that have none of their own.
var shared *house

// parallel is how many stories are told at once, or one for each core, unless go test -parallel says another number:
// most of what they do is waiting.
const parallel = 6

// village builds the programs, starts the shared house, runs the tests and ends everything.
type village struct{ m *testing.M }

func (v *village) Run() int {
	code, err := v.run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return code
}

func (v *village) run() (code int, err error) {
	// Short, because a socket's path holds 107 bytes.
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "bin")
	if err := build(bin); err != nil {
		return 0, err
	}
	os.Setenv("PATH", bin+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if shared, err = startHouse(filepath.Join(dir, "h")); err != nil {
		return 0, err
	}
	if _, err := shared.events(); err != nil { // hana signs in, who looks things up for the stories
		return 0, errors.Join(err, shared.stop())
	}
	if err := flag.Set("test.parallel", strconv.Itoa(max(runtime.GOMAXPROCS(0), parallel))); err != nil {
		return 0, errors.Join(err, shared.stop())
	}
	code = v.m.Run()
	if err := shared.stop(); err != nil {
		return 0, err
	}
	return code, errors.Join(stayed.err(), noneLeft(dir))
}

func build(bin string) error {
	for folder, args := range map[string][]string{
		"..":         {"build", "-o", bin + "/", "./cmd/...", "./dev/demo"},
		"../dev/idp": {"build", "-o", bin + "/idp", "."},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build in %s: %w\n%s", folder, err, out)
		}
	}
	return nil
}

func TestStories(t *testing.T) {
	t.Parallel()
	testscript.Run(t, stories("testdata"))
}

// TestLong tells what takes longest. It is a test of its own so that nobody waits for it alone at the end.
func TestLong(t *testing.T) {
	t.Parallel()
	testscript.Run(t, stories("testdata/long"))
}

func stories(dir string) testscript.Params {
	return testscript.Params{
		Dir:                dir,
		RequireUniqueNames: true,
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("no such condition: %s", name)
			}
			return os.Getuid() == 0, nil
		},
		Setup: func(env *testscript.Env) error {
			shared.describe(env.Setenv)
			env.Setenv("SESSION", "")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"house":      ownHouse,
			"policies":   policies,
			"send":       send,
			"session":    findSession,
			"eventually": eventually,
			"exits":      exits,
			"database":   database,
			"s3":         s3,
			"tmpfs":      tmpfs,
		},
	}
}
