package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/gateway"
)

// ended: the sign-in behind every certificate has ended.
func ended(c *ssh.Certificate) (*sekisho.Pass, error) {
	pass, _ := person(c)
	return pass, &sekisho.Refusal{Sentence: "Your sign-in has ended.", Next: "Run: sekisho login", Cause: sekisho.ErrEnded}
}

// hoursAgo: everybody proved themselves last five hours ago.
func hoursAgo(c *ssh.Certificate) (*sekisho.Pass, error) {
	pass, err := person(c)
	pass.Identity.AuthTime = time.Now().Add(-5 * time.Hour)
	return pass, err
}

// proves is somebody who follows the link at once.
func proves(subject string) func(context.Context, gateway.Question) (*gateway.Challenge, error) {
	return func(context.Context, gateway.Question) (*gateway.Challenge, error) {
		return &gateway.Challenge{Sentence: "Prove yourself in a browser:", Link: "https://sekisho.example.com/prove/1", Code: "ABCD-EFGH",
			Wait: func(context.Context) (*sekisho.Pass, error) {
				return &sekisho.Pass{ID: "prf_1", SignIn: "sin_new", Identity: sekisho.Identity{Subject: subject, AuthTime: time.Now()}}, nil
			}}, nil
	}
}

// waits is somebody who takes their time; what becomes of the wait is said to over.
func waits(over chan<- error) func(context.Context, gateway.Question) (*gateway.Challenge, error) {
	return func(context.Context, gateway.Question) (*gateway.Challenge, error) {
		return &gateway.Challenge{Sentence: "Prove yourself.", Link: "https://x", Wait: func(ctx context.Context) (*sekisho.Pass, error) {
			<-ctx.Done()
			over <- ctx.Err()
			return nil, ctx.Err()
		}}, nil
	}
}

func TestEndedIsMended(t *testing.T) {
	onEveryWay(t, func(t *testing.T, in wayIn) {
		w := newWays(t)
		w.recall, w.prove = ended, proves("mei@example.com")
		shows := &terminal{}
		mei := w.mei()
		c, err := in.come(w, w.client(in.user, shows, mei))
		if err != nil {
			t.Fatalf("%v\n%s", err, shows)
		}
		w.echoes(c)
		for _, want := range []string{"Your sign-in has ended.\r\n", "Prove yourself in a browser:", "https://sekisho.example.com/prove/1", "ABCD-EFGH"} {
			if !strings.Contains(shows.String(), want) {
				t.Errorf("%q is not in %q", want, shows)
			}
		}
		q := w.questions()[0]
		if q.Why != "ended" || q.Login != "root" || q.Target != "db1" || q.ClientAddress != "127.0.0.1" || q.Fresh != 0 ||
			string(q.Certificate.Marshal()) != string(mei.PublicKey().Marshal()) {
			t.Errorf("asked %+v", q)
		}
		if ev := w.only(sekisho.EventSessionStarted, in.around); ev.SignIn != "sin_new" || ev.Actor != "mei@example.com" {
			t.Errorf("noted %+v", ev)
		}
	})
}

func TestStaleIsMended(t *testing.T) {
	onEveryWay(t, func(t *testing.T, in wayIn) {
		w := newWays(t)
		w.decision.Limits.Fresh = time.Hour
		w.recall, w.prove = hoursAgo, proves("mei@example.com")
		shows := &terminal{}
		c, err := in.come(w, w.client(in.user, shows, w.mei()))
		if err != nil {
			t.Fatalf("%v\n%s", err, shows)
		}
		w.echoes(c)
		if !strings.Contains(shows.String(), "root on db1 is for people who proved themselves no longer than 1h ago.\r\n") {
			t.Errorf("shows %q", shows)
		}
		if q := w.questions(); len(q) != 1 || q[0].Why != "stale" || q[0].Fresh != time.Hour {
			t.Errorf("asked %+v", q)
		}
	})
}

// Whoever the browser is, the certificate's holder is asked and nobody else; and only what was asked for helps.
func TestProofsThatDoNotHelp(t *testing.T) {
	onEveryWay(t, func(t *testing.T, in wayIn) {
		late := func(context.Context) (*sekisho.Pass, error) {
			return &sekisho.Pass{SignIn: "sin_new", Identity: sekisho.Identity{Subject: "mei@example.com", AuthTime: time.Now().Add(-2 * time.Hour)}}, nil
		}
		for name, c := range map[string]struct {
			recall func(*ssh.Certificate) (*sekisho.Pass, error)
			prove  func(context.Context, gateway.Question) (*gateway.Challenge, error)
			hears  string
		}{
			"somebody else, ended": {ended, proves("ken@example.com"), "ken@example.com proved themselves, but this certificate is mei@example.com's. Connect again."},
			"somebody else, stale": {hoursAgo, proves("ken@example.com"), "ken@example.com proved themselves, but"},
			"not fresh even so": {hoursAgo, func(context.Context, gateway.Question) (*gateway.Challenge, error) {
				return &gateway.Challenge{Wait: late}, nil
			}, "root on db1 is for people who proved themselves no longer than 1h ago."},
			"refused": {ended, func(context.Context, gateway.Question) (*gateway.Challenge, error) {
				return &gateway.Challenge{Wait: func(context.Context) (*sekisho.Pass, error) {
					return nil, &sekisho.Refusal{Sentence: "You said it was not yours."}
				}}, nil
			}, "You said it was not yours."},
			"nobody can be asked": {ended, func(context.Context, gateway.Question) (*gateway.Challenge, error) {
				return nil, &sekisho.Refusal{Sentence: "Nobody can be asked."}
			}, "Nobody can be asked."},
			"whose it was is not known": {func(c *ssh.Certificate) (*sekisho.Pass, error) {
				_, err := ended(c)
				return nil, err
			}, proves("mei@example.com"), "Your sign-in has ended."},
			"nobody answered": {ended, func(context.Context, gateway.Question) (*gateway.Challenge, error) {
				return &gateway.Challenge{Wait: func(context.Context) (*sekisho.Pass, error) { return nil, nil }}, nil
			}, "Something went wrong on our side"},
		} {
			w := newWays(t)
			w.decision.Limits.Fresh = time.Hour
			w.recall, w.prove = c.recall, c.prove
			shows := &terminal{}
			if _, err := in.come(w, w.client(in.user, shows, w.mei())); err == nil {
				t.Errorf("%s: let in", name)
			}
			if !strings.Contains(shows.String(), c.hears) {
				t.Errorf("%s: hears %q", name, shows)
			}
			if len(w.questions()) > 1 {
				t.Errorf("%s: asked %d times", name, len(w.questions()))
			}
			if n := len(w.noted(sekisho.EventSessionStarted)); n != in.around {
				t.Errorf("%s: %d sessions", name, n)
			}
			if _, waiting := w.gateway.Standing(); waiting != 0 {
				t.Errorf("%s: %d still wait", name, waiting)
			}
		}
	})
}

// A client that hangs up while its person is asked ends the wait at once.
func TestHangUpEndsTheWait(t *testing.T) {
	onEveryWay(t, func(t *testing.T, in wayIn) {
		w := newWays(t)
		over := make(chan error, 1)
		w.recall, w.prove = ended, waits(over)
		config := w.client(in.user, &terminal{}, w.mei())
		var conn io.Closer
		if in.way == sekisho.WayJump || in.way == sekisho.WayForward {
			outer := make(chan io.Closer, 1)
			w.dialled = func(c io.Closer) { outer <- c }
			go in.come(w, config)
			conn = <-outer
		} else {
			outer := w.connect(w.gateway.ServeSSH)
			config.HostKeyCallback = ssh.InsecureIgnoreHostKey()
			config.User = "root%db1"
			conn = outer
			go ssh.NewClientConn(outer, "db1:22", config)
		}
		waitFor(t, func() bool { _, waiting := w.gateway.Standing(); return waiting == 1 && len(w.questions()) == 1 })
		conn.Close()
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Errorf("the wait ended with %v", err)
		}
		waitFor(t, func() bool { knocking, waiting := w.gateway.Standing(); return knocking+waiting == 0 })
	})
}

func TestShutdownEndsTheWait(t *testing.T) {
	w := newWays(t)
	over := make(chan error, 1)
	w.recall, w.prove = ended, waits(over)
	shows := &terminal{}
	came := make(chan error, 1)
	go func() {
		_, err := w.atPort(w.client("root%db1", shows, w.mei()))
		came <- err
	}()
	waitFor(t, func() bool { return len(w.questions()) == 1 })
	w.gateway.Shutdown(t.Context())
	<-over
	if err := <-came; err == nil || !strings.Contains(shows.String(), "going down") {
		t.Errorf("%v, hears %q", err, shows)
	}
}

// So many may wait from one place, and no more.
func TestWaitsAreBounded(t *testing.T) {
	w := newWays(t)
	over := make(chan error, 100)
	w.recall, w.prove = ended, waits(over)
	var clients sync.WaitGroup
	shows := make([]*terminal, 25)
	for i := range shows {
		shows[i] = &terminal{}
		config := w.client("root%db1", shows[i], w.mei())
		conn := w.connect(w.gateway.ServeSSH)
		clients.Go(func() { ssh.NewClientConn(conn, "gw.example.com:22", config) })
	}
	told := func() (n int) {
		for _, s := range shows {
			if strings.Contains(s.String(), "Too many connections wait") {
				n++
			}
		}
		return n
	}
	waitFor(t, func() bool {
		knocking, waiting := w.gateway.Standing()
		return waiting == 20 && knocking == 0 && told() == 5
	})
	w.gateway.Shutdown(t.Context())
	clients.Wait()
}

// ssh -J to a target: the outer connection is asked, and the inner one need not be.
func TestOneProofForAJump(t *testing.T) {
	w := newWays(t)
	w.recall, w.prove = ended, proves("mei@example.com")
	mei := w.mei()
	c, err := w.through("db1", w.client("mei", &terminal{}, mei), w.client("root", &terminal{}, mei))
	if err != nil {
		t.Fatal(err)
	}
	w.echoes(c)
	if q := w.questions(); len(q) != 1 || q[0].Login != "" || q[0].Target != "" {
		t.Errorf("asked %+v", q)
	}
	if ev := w.one(sekisho.EventSessionStarted); ev.SignIn != "sin_new" {
		t.Errorf("noted %+v", ev)
	}
	// Somebody else's certificate, inside it, stands for itself.
	if _, err := w.through("db1", w.client("mei", &terminal{}, mei), w.client("root", &terminal{}, w.holder("ken@example.com", []string{"gateway"}))); err == nil {
		t.Error("ken came in by mei's proof")
	}
}

// A client that cannot be asked hears at least why.
func TestBatchHearsWhy(t *testing.T) {
	w := newWays(t)
	w.recall, w.prove = ended, proves("mei@example.com")
	shows := &terminal{}
	config := w.client("root%db1", shows, w.mei())
	config.Auth = config.Auth[:1]
	if _, err := w.atPort(config); err == nil {
		t.Error("let in")
	}
	if got := shows.String(); got != "Your sign-in has ended.\r\n" || len(w.questions()) != 0 {
		t.Errorf("hears %q, asked %+v", got, w.questions())
	}
}

// Keyboard-interactive alone lets nobody in, unless the configuration says so; then it is asked who that is.
func TestWithoutCertificate(t *testing.T) {
	for _, open := range []bool{false, true} {
		onEveryWay(t, func(t *testing.T, in wayIn) {
			w := newWays(t, func(c *gateway.Config) { c.WithoutCertificate = open })
			w.prove = proves("ken@example.com")
			shows := &terminal{}
			config := w.client(in.user, shows, newKey(t), newKey(t))
			c, err := in.come(w, config)
			if !open {
				if err == nil || len(w.questions()) != 0 {
					t.Errorf("%v, asked %+v", err, w.questions())
				}
				next := "Run: sekisho login --agent"
				if in.way == sekisho.WayJump {
					next = "With ssh -J your ssh must ask your ssh-agent for the target as well: take the lines of sekisho ssh-config --agent, or leave -J away."
				}
				if got := shows.String(); got != "None of your keys is a valid certificate for this gateway. "+next+"\r\n" {
					t.Errorf("hears %q", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w.echoes(c)
			if q := w.questions(); len(q) != 1 || q[0].Why != "no certificate" || q[0].Certificate != nil || q[0].Login != "root" || q[0].Target != "db1" {
				t.Errorf("asked %+v", q)
			}
			if ev := w.only(sekisho.EventSessionStarted, in.around); ev.Actor != "ken@example.com" {
				t.Errorf("taken for %s", ev.Actor)
			}
		})
	}
	// Who shows a certificate and may not go there is not asked who they are.
	w := newWays(t, func(c *gateway.Config) { c.WithoutCertificate = true })
	w.prove = proves("ken@example.com")
	w.decision = sekisho.Decision{Effect: sekisho.Deny, Reason: "No policy lets you."}
	if _, err := w.atPort(w.client("root%db1", &terminal{}, w.mei())); err == nil || len(w.questions()) != 0 {
		t.Errorf("%v, asked %+v", err, w.questions())
	}
}

// Who has other keys beside a certificate that fits is told nothing.
func TestOtherKeysAreNoMatter(t *testing.T) {
	w := newWays(t)
	shows := &terminal{}
	c, err := w.atPort(w.client("root%db1", shows, newKey(t), newKey(t), w.mei()))
	if err != nil {
		t.Fatal(err)
	}
	w.echoes(c)
	if shows.String() != "" {
		t.Errorf("hears %q", shows)
	}
}

// Stock ssh shows what is to be done, and goes on.
func TestStockSSHIsAsked(t *testing.T) {
	w := newWays(t)
	w.recall, w.prove = ended, proves("mei@example.com")
	out, err := w.stockSSH(w.agentOf("mei@example.com"), "root%db1", "echo hi")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"Your sign-in has ended.", "  https://sekisho.example.com/prove/1\n", "Code: ABCD-EFGH\n", "hi\n"} {
		if !strings.Contains(strings.ReplaceAll(string(out), "\r", ""), want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

// A stream carries no person who could be asked: it is refused.
func TestStaleStream(t *testing.T) {
	h := newHouse(t)
	h.decision.Limits.Fresh = time.Hour
	for _, proved := range []time.Time{{}, time.Now().Add(-90 * time.Minute)} {
		h.pass.Identity.AuthTime = proved
		_, resp, err := h.stream("ok")
		if err == nil || resp.StatusCode != http.StatusForbidden {
			t.Fatalf("%v: %v", proved, err)
		}
		const want = "root on db1 is for people who proved themselves no longer than 1h ago. Run: sekisho login --fresh\n"
		if body, _ := io.ReadAll(resp.Body); string(body) != want {
			t.Errorf("said %q", body)
		}
	}
	if kinds := fmt.Sprint(h.kinds()); kinds != "[session.refused session.refused]" {
		t.Errorf("noted %s", kinds)
	}
	h.pass.Identity.AuthTime = time.Now().Add(-59 * time.Minute)
	if _, err := h.client(); err != nil {
		t.Error(err)
	}
}
