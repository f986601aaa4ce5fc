package e2e_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/client"
)

// patience is how long a story waits for something that takes a while.
const patience = 30 * time.Second

// ownHouse gives the story a house of its own: "house".
func ownHouse(ts *testscript.TestScript, _ bool, _ []string) {
	h, err := startHouse(filepath.Join(ts.Getenv("WORK"), "h"))
	ts.Check(err)
	ts.Defer(func() {
		if err := h.stop(); err != nil {
			ts.Logf("%v", err)
		}
		stayed.look(h.Dir)
	})
	h.describe(ts.Setenv)
}

// stayed are the processes that stories with a house of their own left behind.
var stayed leavings

type leavings struct {
	mu   sync.Mutex
	errs []error
}

// look waits a little until nothing is left.
func (l *leavings) look(dir string) {
	err := noneLeft(dir)
	for begun := time.Now(); err != nil && time.Since(begun) < 5*time.Second; err = noneLeft(dir) {
		time.Sleep(100 * time.Millisecond)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

func (l *leavings) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

// policies puts a file into the policies of the story's house, or takes it away: "policies FILE", "! policies FILE".
func policies(ts *testscript.TestScript, neg bool, args []string) {
	h := owned(ts)
	path := filepath.Join(h.Policies, filepath.Base(args[0]))
	if neg {
		ts.Check(os.Remove(path))
		return
	}
	ts.Check(os.WriteFile(path+".new", []byte(ts.ReadFile(args[0])), 0o644))
	ts.Check(os.Rename(path+".new", path))
}

// owned is the story's house, which must be its own.
func owned(ts *testscript.TestScript) *house {
	h, err := readHouse(ts.Getenv("HOUSE"))
	ts.Check(err)
	if h.Dir == shared.Dir {
		ts.Fatalf("this house belongs to all: begin the story with \"house\"")
	}
	return h
}

var signals = map[string]syscall.Signal{"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "HUP": syscall.SIGHUP, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT}

// send sends a signal to a process of the story's house, which will start it again if it ends: "send KILL sekishod".
// "send TERM sekishod gone" waits until it has ended.
func send(ts *testscript.TestScript, _ bool, args []string) {
	h := owned(ts)
	p, ok := h.Processes[args[1]]
	if !ok || signals[args[0]] == 0 {
		ts.Fatalf("send %v: no such signal or process", args)
	}
	ts.Check(syscall.Kill(p.PID, signals[args[0]]))
	if len(args) == 3 && args[2] == "gone" {
		begun := time.Now()
		for syscall.Kill(p.PID, 0) == nil {
			if time.Since(begun) > patience {
				ts.Fatalf("%s does not end", args[1])
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// findSession finds the person's last session on a target, waits until all was written about it, and says in $SESSION
// which it was: "session mei db1". "session mei db1 open" is one that still runs.
func findSession(ts *testscript.TestScript, _ bool, args []string) {
	open := len(args) == 3 && args[2] == "open"
	home, err := client.OpenHome(filepath.Join(ts.Getenv("WORK"), args[0], "sekisho"))
	ts.Check(err)
	signIn, err := home.SignIn()
	ts.Check(err)
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(50 * time.Millisecond) {
		session, ended, err := lastSession(ts, args[1], signIn.ID)
		ts.Check(err)
		if session != "" && ended != open {
			ts.Setenv("SESSION", session)
			return
		}
	}
	ts.Fatalf("%s has no such session on %s", args[0], args[1])
}

// lastSession asks the audit log, as hana, who may read it.
func lastSession(ts *testscript.TestScript, target, signIn string) (id string, ended bool, err error) {
	h, err := readHouse(ts.Getenv("HOUSE"))
	if err != nil {
		return "", false, err
	}
	lines, err := h.events("--target", target)
	if err != nil {
		return "", false, err
	}
	over := map[string]bool{}
	for _, ev := range lines {
		switch {
		case ev.SignIn != signIn:
		case ev.Kind == sekisho.EventSessionEnded || ev.Kind == sekisho.EventRecordingCut:
			over[ev.Session] = true
		case ev.Kind == sekisho.EventSessionStarted:
			return ev.Session, over[ev.Session], nil
		}
	}
	return "", false, nil
}

// events lists the audit log, newest first, as hana.
func (h *house) events(args ...string) ([]sekisho.Event, error) {
	hana := h.People["hana"]
	env := append(os.Environ(), "SEKISHO_HOME="+hana.Home, "SEKISHO_BROWSER="+hana.Browser)
	run := func(args ...string) (string, error) {
		cmd := exec.Command(filepath.Join(h.Bin, "sekisho"), args...)
		cmd.Env = env
		out, err := cmd.Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("sekisho %v: %w: %s", args, err, exit.Stderr)
		}
		return string(out), err
	}
	if _, err := os.Stat(filepath.Join(hana.Home, "signin.json")); err != nil {
		if _, err := run("login", h.URL, "--ca-file", h.CAFile); err != nil {
			return nil, err
		}
	}
	text, err := run(append([]string{"audit", "list", "--json", "--limit", "1000"}, args...)...)
	if err != nil {
		return nil, err
	}
	var all []sekisho.Event
	for line := range strings.Lines(text) {
		var ev sekisho.Event
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			return nil, err
		}
		all = append(all, ev)
	}
	return all, nil
}

// eventually tries a program again until it succeeds, or with a ! until it fails: "eventually mei ssh web1 true".
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	neg := args[0] == "!"
	if neg {
		args = args[1:]
	}
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(100 * time.Millisecond) {
		if err := ts.Exec(args[0], args[1:]...); (err == nil) != neg {
			return
		}
	}
	ts.Fatalf("it never came to that in %s", patience)
}

// exits runs a program that is to end with that code: "exits 7 mei ssh db1 'exit 7'".
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("ended with %d, not %d", code, want)
	}
}

// database changes the database of the story's house behind its back: "database 'UPDATE …'".
func database(ts *testscript.TestScript, _ bool, args []string) {
	h := owned(ts)
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: h.Database}).EscapedPath()+"?_pragma=busy_timeout(10000)")
	ts.Check(err)
	defer db.Close()
	res, err := db.Exec(args[0])
	ts.Check(err)
	n, err := res.RowsAffected()
	ts.Check(err)
	if n == 0 {
		ts.Fatalf("that changed nothing")
	}
}

// tmpfs mounts a file system in memory over a folder until the story ends: "tmpfs FOLDER SIZE".
func tmpfs(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(syscall.Mount("tmpfs", args[0], "tmpfs", 0, "mode=0700,size="+args[1]))
	ts.Defer(func() { syscall.Unmount(args[0], syscall.MNT_DETACH) })
}
