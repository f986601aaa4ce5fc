package gateway_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// Whoever comes without a token takes the same walk, and the log says how they came.
func TestWaysIn(t *testing.T) {
	onEveryWay(t, func(t *testing.T, in wayIn) {
		for _, principal := range []string{"gateway", "gateway:root:db1", "root:db1"} {
			w := newWays(t)
			c, err := in.come(w, w.client(in.user, &terminal{}, w.holder("mei@example.com", []string{principal})))
			if err != nil {
				t.Fatalf("%s: %v", principal, err)
			}
			w.echoes(c)
			c.Close()
			if got := w.tape.said(recording.Exec); got != "echo hi" {
				t.Errorf("%s: recorded %q", principal, got)
			}
			ev := w.only(sekisho.EventSessionStarted, in.around)
			if ev.Actor != "mei@example.com" || ev.Login != "root" || ev.Target != "db1" || ev.ClientAddress != "127.0.0.1" ||
				ev.Detail["way"] != string(in.way) || ev.Detail["door"] != "audit" || ev.Detail["recording"] != "strict" {
				t.Errorf("%s: noted %+v", principal, ev)
			}
			if in.way == sekisho.WayJump && (ev.Detail["parent"] == "" || ev.Detail["parent"] != w.one(sekisho.EventVisit).Session) {
				t.Errorf("parent is %q", ev.Detail["parent"])
			}
			if in.way == sekisho.WayForward && ev.Detail["parent"] != w.noted(sekisho.EventSessionStarted)[0].Session {
				t.Errorf("parent is %q", ev.Detail["parent"])
			}
		}
	})
}

// Where the limits ask for no audit the gateway ends the SSH all the same, nothing is recorded, and the log says so.
func TestUnrecordedAtThePort(t *testing.T) {
	w := newWays(t)
	w.decision.Limits.Audit = sekisho.AuditNone
	c, err := w.atPort(w.client("root%db1", &terminal{}, w.mei()))
	if err != nil {
		t.Fatal(err)
	}
	w.echoes(c)
	c.Close()
	want(t, w.awaitEvent(sekisho.EventSessionStarted), "door", "audit", "recording", "none")
	if got := w.tape.said(recording.Exec); got != "" {
		t.Errorf("recorded %q", got)
	}
}

// mallory has a certificate, and it is not the right one.
func TestMalloryAtEveryWay(t *testing.T) {
	onEveryWay(t, func(t *testing.T, in wayIn) {
		from := func(list string) func(*ssh.Certificate) {
			return func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"source-address": list} }
		}
		for name, c := range map[string]struct {
			principals []string
			change     func(*ssh.Certificate)
			hears      string
			good       bool
		}{
			"right":           {principals: []string{"gateway"}, good: true},
			"own address":     {principals: []string{"gateway"}, change: from("127.0.0.0/8"), good: true},
			"other target":    {principals: []string{"gateway:root:web1", "root:web1"}, hears: "for another place"},
			"other login":     {principals: []string{"gateway:mei:db1", "mei:db1"}, hears: "for another place"},
			"looks like it":   {principals: []string{"gateway:", "Gateway", "gateway ", "root", "db1", "root%db1", "*"}, hears: "for another place"},
			"anybody":         {hears: "for another place"},
			"expired":         {principals: []string{"gateway"}, change: func(c *ssh.Certificate) { c.ValidBefore = uint64(time.Now().Unix()) }, hears: "has expired"},
			"not yet":         {principals: []string{"gateway"}, change: func(c *ssh.Certificate) { c.ValidAfter = uint64(time.Now().Add(time.Hour).Unix()) }, hears: "None of your keys is"},
			"host":            {principals: []string{"gateway"}, change: func(c *ssh.Certificate) { c.CertType = ssh.HostCert }, hears: "None of your keys is"},
			"option":          {principals: []string{"gateway"}, change: func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"force-command": "true"} }, hears: "None of your keys is"},
			"other address":   {principals: []string{"gateway"}, change: from("192.0.2.0/24"), hears: "from another address"},
			"bad address":     {principals: []string{"gateway"}, change: from("127.0.0.1/99"), hears: "from another address"},
			"no address":      {principals: []string{"gateway"}, change: from(""), hears: "from another address"},
			"revoked":         {principals: []string{"gateway"}, change: func(c *ssh.Certificate) { c.Serial = 7 }, hears: "is revoked"},
			"address in IPv6": {principals: []string{"gateway"}, change: from("::ffff:127.0.0.1"), hears: "from another address"},
		} {
			w := newWays(t)
			w.revoked.Store(new(uint64(7)))
			shows := &terminal{}
			change := c.change
			if change == nil {
				change = func(*ssh.Certificate) {}
			}
			_, err := in.come(w, w.client(in.user, shows, w.holder("mallory@example.com", c.principals, change)))
			if (err == nil) != c.good {
				t.Errorf("%s: %v", name, err)
			}
			if !strings.Contains(shows.String(), c.hears) || c.hears == "" && shows.String() != "" {
				t.Errorf("%s: hears %q", name, shows)
			}
		}
		t.Run("foreign CA", func(t *testing.T) {
			w := newWays(t)
			w.signs = newKey(t)
			if _, err := in.come(w, w.client(in.user, &terminal{}, w.mei())); err == nil {
				t.Error("let in")
			}
		})
		t.Run("bare key", func(t *testing.T) {
			w := newWays(t)
			if _, err := in.come(w, w.client(in.user, &terminal{}, newKey(t))); err == nil {
				t.Error("let in")
			}
		})
		t.Run("tampered", func(t *testing.T) {
			w := newWays(t)
			key := newKey(t)
			c := certify(t, w.userCA, key.PublicKey(), ssh.UserCert, []string{"root:web1"})
			c.ValidPrincipals = []string{"gateway"}
			if _, err := in.come(w, w.client(in.user, &terminal{}, certSigner(t, c, key))); err == nil {
				t.Error("let in")
			}
		})
	})
}

// A user name leads where the way in lets it, and nowhere else.
func TestUserNames(t *testing.T) {
	onEveryWay(t, func(t *testing.T, in wayIn) {
		for user, good := range map[string]bool{
			in.user: true, "root%db1": true, "root%DB1.Example.Internal.": true, "root%10.0.0.5": true,
			"%db1": false, "root%": false, "root%../db1": false, "Root%db1": false, "root%db1%web1": false, "root:db1": false,
			"root%web1": in.way == sekisho.WayPort, "": false, strings.Repeat("r", 300): false,
		} {
			if in.way == sekisho.WayPort && !strings.Contains(user, "%") {
				continue // a visit
			}
			w := newWays(t)
			shows := &terminal{}
			_, err := in.come(w, w.client(user, shows, w.mei()))
			if user == "root%web1" && in.way == sekisho.WayPort {
				// The target of this test lets nobody in for web1: the walk has gone there, and that is noted.
				if ev := w.one(sekisho.EventSessionStarted); ev.Target != "web1" {
					t.Errorf("%q leads to %s", user, ev.Target)
				}
				continue
			}
			if (err == nil) != good {
				t.Errorf("%q: %v", user, err)
			}
			if !good && shows.String() == "" {
				t.Errorf("%q is told nothing", user)
			}
		}
	})
}

// Who may not go there hears why, and the log does as well.
func TestRefusedAtEveryWay(t *testing.T) {
	onEveryWay(t, func(t *testing.T, in wayIn) {
		w := newWays(t)
		w.decision = sekisho.Decision{Effect: sekisho.Deny, Reason: "No policy lets you.", Next: "Ask."}
		shows := &terminal{}
		if _, err := in.come(w, w.client(in.user, shows, w.mei())); err == nil {
			t.Fatal("let in")
		}
		if got := shows.String(); got != "No policy lets you. Ask.\r\n" {
			t.Errorf("hears %q", got)
		}
		if ev := w.one(sekisho.EventSessionRefused); ev.Actor != "mei@example.com" || ev.Detail["way"] != string(in.way) {
			t.Errorf("noted %+v", ev)
		}
		if len(w.questions()) != 0 {
			t.Error("was asked to prove themselves, which would not help")
		}
	})
}

// mallory offers an administrator's certificate, whose key she does not have, and signs with her own. Whoever believed
// the key that was offered would take her for the administrator. Stock ssh does it with an agent that lies.
func TestOfferedIsNotProved(t *testing.T) {
	w := newWays(t)
	admin := w.holder("admin@example.com", []string{"gateway"})
	lies := &liar{Agent: w.agentOf("mallory@example.com"), shows: admin.PublicKey()}
	out, err := w.stockSSH(lies, "root%db1", "echo hi")
	if err != nil || !strings.Contains(string(out), "hi\n") {
		t.Fatalf("%v: %s", err, out)
	}
	if lies.refused == 0 {
		t.Error("the administrator's key was never to be proved: this test shows nothing")
	}
	if ev := w.one(sekisho.EventSessionStarted); ev.Actor != "mallory@example.com" {
		t.Errorf("taken for %s", ev.Actor)
	}
}

// liar is an agent that shows a certificate whose key it does not have, before those that it holds.
type liar struct {
	agent.Agent
	shows   ssh.PublicKey
	refused int
}

// agentOf is an ssh-agent as `sekisho login --agent` leaves it.
func (w *ways) agentOf(subject string) agent.Agent {
	w.t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		w.t.Fatal(err)
	}
	c := certify(w.t, w.userCA, public, ssh.UserCert, []string{"gateway"}, func(c *ssh.Certificate) { c.KeyId = subject })
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: private, Certificate: c}); err != nil {
		w.t.Fatal(err)
	}
	return keys
}

func (l *liar) List() ([]*agent.Key, error) {
	own, err := l.Agent.List()
	if l.shows != nil {
		own = append([]*agent.Key{{Format: l.shows.Type(), Blob: l.shows.Marshal(), Comment: "admin"}}, own...)
	}
	return own, err
}

func (l *liar) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	if l.shows != nil && bytes.Equal(key.Marshal(), l.shows.Marshal()) {
		l.refused++
		return nil, errors.New("it is not mine")
	}
	return l.Agent.Sign(key, data)
}

// stockSSH runs OpenSSH's ssh at the SSH port with an agent.
func (w *ways) stockSSH(keys agent.Agent, user string, args ...string) ([]byte, error) {
	w.t.Helper()
	socket := filepath.Join(w.t.TempDir(), "agent")
	agents, err := net.Listen("unix", socket)
	if err != nil {
		w.t.Fatal(err)
	}
	defer agents.Close()
	go func() {
		for {
			conn, err := agents.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				agent.ServeAgent(keys, conn)
			}()
		}
	}()
	l := listen(w.t)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go w.gateway.ServeSSH(w.t.Context(), conn)
		}
	}()
	cmd := exec.Command("ssh", append([]string{"-F", "none", "-p", strconv.Itoa(l.Addr().(*net.TCPAddr).Port), "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "IdentityAgent=" + socket, "-o", "IdentityFile=none", user + "@127.0.0.1"}, args...)...)
	return cmd.CombinedOutput()
}
