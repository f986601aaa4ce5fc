package gateway_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/gateway"
)

func (w *ways) visit() *ssh.Client {
	w.t.Helper()
	c, err := w.atPort(w.client("mei", &terminal{}, w.mei()))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestVisitLists(t *testing.T) {
	w := newWays(t)
	w.places = []gateway.Place{
		{"db1", []string{"postgres", "root", "files"}, true, []sekisho.Limits{
			{Audit: sekisho.AuditStrict, Shell: true, PTY: true, Exec: true, Subsystems: []string{"*"}},
			{Audit: sekisho.AuditStrict, Shell: true, PTY: true, Exec: true, Subsystems: []string{"*"}},
			{Audit: sekisho.AuditStrict, Subsystems: []string{"sftp"}, Files: []sekisho.FileLimit{{ReadOnly: true}}},
		}},
		{"web1", []string{"deploy"}, false, []sekisho.Limits{{Shell: true, PTY: true, Exec: true, Subsystems: []string{"*"}}}},
	}
	c := w.visit()
	const notRun = "No command was run: the user name names no target. Write LOGIN%TARGET as the user name.\n"
	for _, command := range []string{"", "rm -rf /", "targets"} {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		var out, errOut bytes.Buffer
		s.Stdout, s.Stderr = &out, &errOut
		s.Setenv("LANG", "C") // asked for by every client; not given, and no reason for anything
		if command == "" {
			if err := s.RequestPty("xterm", 24, 80, nil); err != nil {
				t.Fatal(err)
			}
			err = s.Shell()
			if err == nil {
				err = s.Wait()
			}
		} else {
			var exit *ssh.ExitError
			if err = s.Run(command); errors.As(err, &exit) && exit.ExitStatus() == 1 && out.Len() == 0 {
				err = nil
			} else {
				err = fmt.Errorf("taken for a command that ran: %w, %q", err, &out)
			}
		}
		if err != nil {
			t.Errorf("%q: %v", command, err)
		}
		text := out.String()
		if command != "" {
			var told bool
			if text, told = strings.CutPrefix(errOut.String(), notRun); !told {
				t.Errorf("%q: is told %q", command, text)
			}
		}
		if command == "" {
			if strings.Count(text, "\n") != strings.Count(text, "\r\n") {
				t.Errorf("a terminal is told %q", text)
			}
			text = strings.ReplaceAll(text, "\r", "")
		}
		for _, want := range []string{"Signed in as mei@example.com.\n", "TARGET  LINK  LOGINS         LIMITS\n" +
			"db1     up    postgres root  recorded\n" +
			"db1     up    files          recorded, no shell, no exec, subsystem sftp, files read-only\nweb1    down  deploy\n",
			"ssh LOGIN%TARGET@sekisho-gateway ", "LOGIN%TARGET@gw.example.com ", "ssh -J sekisho-gateway LOGIN@TARGET"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q: %q is not in\n%s", command, want, text)
			}
		}
	}
	ev := w.one(sekisho.EventVisit)
	if ev.Actor != "mei@example.com" || !sekisho.CheckID("vis", ev.Session) || ev.ClientAddress != "127.0.0.1" || ev.SignIn != "sin_mei@example.com" {
		t.Errorf("noted %+v", ev)
	}
	if refused := w.noted(sekisho.EventChannelRefused); len(refused) != 0 {
		t.Errorf("noted %+v", refused[0])
	}
}

func TestVisitListsJSON(t *testing.T) {
	w := newWays(t)
	for i := range 1500 {
		w.places = append(w.places, gateway.Place{Target: fmt.Sprintf("web%d", i), Logins: []string{"root"}, Linked: true, Limits: make([]sekisho.Limits, 1)})
	}
	c := w.visit()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Output("json")
	if err != nil {
		t.Fatal(err)
	}
	lines := json.NewDecoder(bytes.NewReader(out))
	n := 0
	for ; ; n++ {
		var p struct {
			Target string
			Logins []string
			Linked bool
			Limits []sekisho.Limits
		}
		if err := lines.Decode(&p); err == io.EOF {
			break
		} else if err != nil || p.Target != fmt.Sprintf("web%d", n) || p.Logins[0] != "root" || !p.Linked || len(p.Limits) != 1 {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	if n != 1000 {
		t.Errorf("%d places", n)
	}
	s, err = c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var list bytes.Buffer
	s.Stdout = &list
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil || !strings.Contains(list.String(), "… and 500 more.") {
		t.Errorf("%.100s, %v", &list, err)
	}
}

// A visit needs the certificate for any door, and a live sign-in.
func TestWhoMayVisit(t *testing.T) {
	for name, principal := range map[string]string{"no target": "gateway::", "nothing": ":", "one target": "gateway:root:db1", "direct": "root:db1", "login": "mei"} {
		w := newWays(t)
		shows := &terminal{}
		if _, err := w.atPort(w.client("mei", shows, w.holder("mei@example.com", []string{principal}))); err == nil {
			t.Errorf("%s: let in", name)
		}
		if !strings.Contains(shows.String(), "for another place") {
			t.Errorf("%s: hears %q", name, shows)
		}
	}
	w := newWays(t)
	w.recall = ended
	w.prove = proves("mei@example.com")
	shows := &terminal{}
	if _, err := w.atPort(w.client("mei", shows, w.mei())); err != nil {
		t.Errorf("%v: %s", err, shows)
	}
	if q := w.questions(); len(q) != 1 || q[0].Login != "" || q[0].Target != "" {
		t.Errorf("asked %+v", q)
	}
	w.noteErr = errors.New("log is gone")
	if _, err := w.atPort(w.client("mei", &terminal{}, w.mei())); err == nil {
		t.Error("a visit that nobody noted")
	}
	w.noteErr = nil
	w.callErr = nil
	w.recall = func(*ssh.Certificate) (*sekisho.Pass, error) { return nil, errors.New("database is gone") }
	if _, err := w.atPort(w.client("mei", &terminal{}, w.mei())); err == nil {
		t.Error("a visit of nobody")
	}
}

// Everything but listing and jumping is refused, and noted.
func TestVisitRefuses(t *testing.T) {
	w := newWays(t)
	c := w.visit()
	for _, kind := range []string{"forwarded-tcpip", "direct-streamlocal@openssh.com", "x11", "auth-agent@openssh.com", "tun@openssh.com", "odd"} {
		if _, _, err := c.OpenChannel(kind, nil); err == nil {
			t.Errorf("%s was opened", kind)
		}
	}
	for _, request := range []string{"tcpip-forward", "streamlocal-forward@openssh.com", "hostkeys-prove-00@openssh.com"} {
		if ok, _, _ := c.SendRequest(request, true, nil); ok {
			t.Errorf("%s was granted", request)
		}
	}
	ch, requests, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	for _, request := range []string{"subsystem", "x11-req", "auth-agent-req@openssh.com"} {
		if ok, _ := ch.SendRequest(request, true, ssh.Marshal(struct{ Name string }{"sftp"})); ok {
			t.Errorf("%s was granted", request)
		}
	}
	if n := len(w.noted(sekisho.EventChannelRefused)); n != 12 {
		t.Errorf("%d refusals noted, want 12", n)
	}
	for range 150 {
		c.OpenChannel("odd", nil)
	}
	if n := len(w.noted(sekisho.EventChannelRefused)); n != 100 {
		t.Errorf("%d refusals noted, want 100", n)
	}
}

func TestJump(t *testing.T) {
	w := newWays(t)
	c := w.visit()
	for host, good := range map[string]bool{"db1": true, "DB1.": true, "db1.example.internal": true, "10.0.0.5": true, "::ffff:10.0.0.5": true,
		"db2": false, "10.0.0.6": false, "localhost": false, "127.0.0.1": false, "": false, "../db1": false, "db1\x00": false, strings.Repeat("x", 5000): false} {
		conn, err := c.Dial("tcp", "["+host+"]:22")
		if (err == nil) != good {
			t.Errorf("%.30q: %v", host, err)
		}
		if err != nil {
			continue
		}
		// The host certificate is for the name that was asked for.
		asked := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "::ffff:"), "."))
		inner, err := w.shake(conn, asked+":22", w.client("root", &terminal{}, w.mei()))
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		w.echoes(inner)
		inner.Close()
	}
	for _, port := range []int{0, 23, 2222, 65535} {
		var refused *ssh.OpenChannelError
		if _, err := c.Dial("tcp", fmt.Sprintf("db1:%d", port)); !errors.As(err, &refused) || !strings.Contains(refused.Message, "port 22") {
			t.Errorf("port %d: %v", port, err)
		}
	}
	if _, _, err := c.OpenChannel("direct-tcpip", []byte("garbage")); err == nil {
		t.Error("garbage was opened")
	}
	waitFor(t, func() bool { return len(w.noted(sekisho.EventSessionEnded)) == 5 })
}

// What goes through a visit is judged by itself: mallory's own certificate, not the visitor's.
func TestJumpIsJudged(t *testing.T) {
	w := newWays(t)
	conn, err := w.visit().Dial("tcp", "db1:22")
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.shake(conn, "db1:22", w.client("root", &terminal{}, w.holder("ken@example.com", []string{"gateway"})))
	if err != nil {
		t.Fatal(err)
	}
	w.echoes(c)
	if ev := w.one(sekisho.EventSessionStarted); ev.Actor != "ken@example.com" {
		t.Errorf("taken for %s", ev.Actor)
	}
}

func TestVisitChannelsAreBounded(t *testing.T) {
	w := newWays(t)
	c := w.visit()
	for i := range 17 {
		_, requests, err := c.OpenChannel("session", nil)
		if (err == nil) != (i < 16) {
			t.Fatalf("channel %d: %v", i, err)
		}
		if err == nil {
			go ssh.DiscardRequests(requests)
		}
	}
}

// A channel counts until its client has closed it, too, and a client that does not ends the visit.
func TestVisitChannelsThatAreNotClosed(t *testing.T) {
	for name, c := range map[string]struct{ open, want []byte }{
		"list": {open("session", 0, 1<<20, 1<<15, nil), ask(0, "shell", true, nil)},
		"jump": {open("direct-tcpip", 0, 1<<20, 1<<15, tcpOpen("db1", 22)), data(0, "no SSH\n")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWays(t)
			w.gateway.SetVisitPatience(time.Second)
			m, key := w.stand(), w.mei()
			if err := m.prove("mei", key); err != nil {
				t.Fatal(err)
			}
			for range 16 {
				m.say(c.open)
				ch := m.opened()
				binary.BigEndian.PutUint32(c.want[1:], ch)
				m.say(c.want)
				if _, err := m.await(sayClose); err != nil {
					t.Fatal(err)
				}
			}
			m.say(c.open)
			if p, err := m.await(hearOpened, hearOpenFailure); err != nil || p[0] != hearOpenFailure {
				t.Errorf("the seventeenth is opened: %v", err)
			}
			waitFor(t, func() bool { return w.gateway.Visits() == 0 })
		})
	}
}

// A visit goes when nothing happens, when its sign-in ends, and with the gateway; what came through it goes with it.
func TestVisitsEnd(t *testing.T) {
	gone := func(c *ssh.Client) <-chan error {
		over := make(chan error, 1)
		go func() { over <- c.Wait() }()
		return over
	}
	t.Run("idle", func(t *testing.T) {
		w := newWays(t)
		w.gateway.SetVisitIdle(50 * time.Millisecond)
		<-gone(w.visit())
		waitFor(t, func() bool { return w.gateway.Visits() == 0 })
	})
	t.Run("not while somebody is inside", func(t *testing.T) {
		w := newWays(t)
		w.gateway.SetVisitIdle(50 * time.Millisecond)
		c, err := w.through("db1", w.client("mei", &terminal{}, w.mei()), w.client("root", &terminal{}, w.mei()))
		if err != nil {
			t.Fatal(err)
		}
		s, in := hanging(t, c)
		time.Sleep(150 * time.Millisecond)
		if n := w.gateway.Visits(); n != 1 {
			t.Errorf("%d visits", n)
		}
		in.Close()
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
		c.Close()
		waitFor(t, func() bool { return w.gateway.Visits() == 0 })
	})
	t.Run("sign-in", func(t *testing.T) {
		w := newWays(t)
		c, err := w.through("db1", w.client("mei", &terminal{}, w.mei()), w.client("root", &terminal{}, w.mei()))
		if err != nil {
			t.Fatal(err)
		}
		s, _ := hanging(t, c)
		if n := w.gateway.End(func(s sekisho.Session) bool { return s.SignIn == "sin_mei@example.com" }); n != 2 {
			t.Errorf("%d ended", n)
		}
		if err := s.Wait(); err == nil {
			t.Error("the session went on")
		}
		waitFor(t, func() bool { live, _ := w.gateway.Sessions(); return w.gateway.Visits() == 0 && len(live) == 0 })
		if w.tape.end != "stopped" {
			t.Errorf("recording ended as %q", w.tape.end)
		}
	})
	t.Run("hang-up", func(t *testing.T) {
		w := newWays(t)
		visit := w.visit()
		conn, err := visit.Dial("tcp", "db1:22")
		if err != nil {
			t.Fatal(err)
		}
		c, err := w.shake(conn, "db1:22", w.client("root", &terminal{}, w.mei()))
		if err != nil {
			t.Fatal(err)
		}
		hanging(t, c)
		visit.Close()
		waitFor(t, func() bool { live, _ := w.gateway.Sessions(); return w.gateway.Visits() == 0 && len(live) == 0 })
		if ev := w.one(sekisho.EventSessionEnded); ev.Error != "" || w.tape.end != "done" {
			t.Errorf("the session ended with %q, its recording as %q", ev.Error, w.tape.end)
		}
	})
	t.Run("shutdown", func(t *testing.T) {
		w := newWays(t)
		idle := w.visit()
		c, err := w.through("db1", w.client("mei", &terminal{}, w.mei()), w.client("root", &terminal{}, w.mei()))
		if err != nil {
			t.Fatal(err)
		}
		s, in := hanging(t, c)
		down := make(chan struct{})
		go func() { w.gateway.Shutdown(t.Context()); close(down) }()
		<-gone(idle)
		in.Close() // what is open may go on to its end
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
		c.Close()
		<-down
		if _, err := w.atPort(w.client("mei", &terminal{}, w.mei())); err == nil {
			t.Error("a visit to a closed house")
		}
	})
}

// hanging starts a program that ends when its input does.
func hanging(t *testing.T, c *ssh.Client) (*ssh.Session, io.Closer) {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("hang"); err != nil {
		t.Fatal(err)
	}
	return s, in
}
