package e2e_test

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sekisho/sekisho"
)

// TestClients plays the stories of testdata/clients. Each has one SSH client that Debian packages, in mei's hands: it
// runs commands, moves files both ways, and does what else it is known for, and the audit log must tell of it. They
// share one house, whose policies let mei forward what editors need. docs/clients.md says how it went.
func TestClients(t *testing.T) {
	t.Parallel()
	h := clientsHouse(t)
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/clients",
		RequireUniqueNames: true,
		Setup:              h.settle,
		Condition:          condition,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"session":    findSession,
			"eventually": eventually,
			"exits":      exits,
			"atlast":     atLast,
			"logged":     logged,
			"ran":        ran,
		},
	})
}

// condition knows [fuse]: file systems can be mounted here.
func condition(name string) (bool, error) {
	if name != "fuse" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return false, nil
	}
	return true, f.Close()
}

func clientsHouse(t *testing.T) *house {
	dir, err := os.MkdirTemp("", "e2e-") // short, because a socket's path holds 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h, err := startHouse(filepath.Join(dir, "h"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
	if _, err := h.events(); err != nil { // hana signs in, who looks things up for the stories
		t.Fatal(err)
	}
	if err := h.change(); err != nil {
		t.Fatal(err)
	}
	return h
}

// editors is what editors that work on another machine, and ssh -A and -R, need at the audit door.
const editors = `@id("sre-editors")
@audit("strict")
@forward("localhost:* 127.0.0.1:* %[1]s")
@listen("localhost:* 127.0.0.1:* %[1]s")
@agent("allow")
@x11("allow")
permit (principal in Group::"sre", action == Action::"connect", resource)
when { resource.labels.contains("env:prod") && resource.logins.contains(context.login) };
`

// change adds a policy, lets clients in that know no certificates, and waits until sekishod serves with both.
func (h *house) change() error {
	sockets := filepath.Join(os.TempDir(), "*", "*", "*") // in the stories' folders
	if err := os.WriteFile(filepath.Join(h.Policies, "editors.cedar"), fmt.Appendf(nil, editors, sockets), 0o644); err != nil {
		return err
	}
	config, err := os.OpenFile(h.Config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = config.WriteString("ssh_without_certificate: true\n")
	if err := errors.Join(err, config.Close(), syscall.Kill(h.Processes["sekishod"].PID, syscall.SIGTERM)); err != nil {
		return err
	}
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(50 * time.Millisecond) {
		links, err := h.events("--kind", sekisho.EventConnectorConnected) // fails while there is no sekishod
		if err == nil && len(links) == 2*len(h.Targets) {
			return nil
		}
	}
	return errors.New("sekishod does not serve again, or has no links")
}

// bigSize is more than one SSH channel's window at either end, and no round number.
const bigSize = 3<<20 + 7

// settle makes a story's folder mei's home, with a file to carry around, and an ssh-agent of her own.
func (h *house) settle(env *testscript.Env) error {
	h.describe(env.Setenv)
	env.Setenv("SESSION", "")
	home := filepath.Join(env.WorkDir, "mei")
	env.Setenv("HOME", home)
	env.Setenv("SEKISHO_HOME", filepath.Join(home, "sekisho"))
	env.Setenv("SEKISHO_BROWSER", "browser mei")
	env.Setenv("SSH_CONFIG", filepath.Join(home, "ssh_config"))
	env.Setenv("SSH_AUTH_SOCK", filepath.Join(env.WorkDir, "agent"))
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	big := make([]byte, bigSize)
	rand.Read(big)
	if err := os.WriteFile(filepath.Join(env.WorkDir, "big"), big, 0o600); err != nil {
		return err
	}
	env.Setenv("SUM", fmt.Sprintf("%x", sha256.Sum256(big)))
	env.Defer(func() { nothingLeft(env) })
	return startAgent(env)
}

func startAgent(env *testscript.Env) error {
	agent := exec.Command("ssh-agent", "-D", "-a", env.Getenv("SSH_AUTH_SOCK"))
	if err := agent.Start(); err != nil {
		return err
	}
	env.Defer(func() {
		agent.Process.Kill()
		agent.Wait()
	})
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(env.Getenv("SSH_AUTH_SOCK")); err == nil {
			return nil
		}
	}
	return fmt.Errorf("ssh-agent makes no socket")
}

// nothingLeft fails a story after which something still runs in its folder.
func nothingLeft(env *testscript.Env) {
	var err error
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(20 * time.Millisecond) {
		if err = noneLeft(env.WorkDir); err == nil {
			return
		}
	}
	env.T().Log(err)
	env.T().FailNow()
}

// atLast runs a program when the story is over, however it ended: "atlast fusermount3 -u mnt".
func atLast(ts *testscript.TestScript, _ bool, args []string) {
	ts.Defer(func() {
		if err := ts.Exec(args[0], args[1:]...); err != nil {
			ts.Logf("%v: %v", args, err)
		}
	})
}

// ran says in $SESSION in which session a command ran that no other story has: "ran 'echo lines only'".
func ran(ts *testscript.TestScript, _ bool, args []string) {
	h, err := readHouse(ts.Getenv("HOUSE"))
	ts.Check(err)
	events, err := h.events("--kind", sekisho.EventChannel)
	ts.Check(err)
	at := slices.IndexFunc(events, func(ev sekisho.Event) bool { return ev.Detail["command"] == args[0] })
	if at < 0 {
		ts.Fatalf("nobody ran %q", args[0])
	}
	ts.Setenv("SESSION", events[at].Session)
}

// logged waits until the audit log has an event of the session in $SESSION with that kind and those details:
// "logged session.channel command=id". With a ! there must be none now.
func logged(ts *testscript.TestScript, neg bool, args []string) {
	h, err := readHouse(ts.Getenv("HOUSE"))
	ts.Check(err)
	var events []sekisho.Event
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(100 * time.Millisecond) {
		events, err = h.events("--session", ts.Getenv("SESSION"))
		ts.Check(err)
		found := slices.ContainsFunc(events, func(ev sekisho.Event) bool { return tells(ev, args) })
		if found != neg {
			return
		}
		if neg {
			break
		}
	}
	for _, ev := range events {
		ts.Logf("%s %v", ev.Kind, ev.Detail)
	}
	ts.Fatalf("session %s: logged is not as wanted: %q", ts.Getenv("SESSION"), args)
}

// tells reports whether an event has that kind and those details; a * at the end of a value stands for anything.
func tells(ev sekisho.Event, want []string) bool {
	if ev.Kind != want[0] {
		return false
	}
	for _, w := range want[1:] {
		name, value, _ := strings.Cut(w, "=")
		start, open := strings.CutSuffix(value, "*")
		if has := ev.Detail[name]; has != value && !(open && strings.HasPrefix(has, start)) {
			return false
		}
	}
	return true
}
