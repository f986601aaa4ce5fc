package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/gateway"
	"github.com/sekisho/sekisho/recording"
)

func TestExecIsRelayedAndRecorded(t *testing.T) {
	h := newHouse(t)
	s, err := h.mustClient().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	s.Stdout, s.Stderr = &out, &errOut
	if err := s.Run("both"); err != nil {
		t.Fatal(err)
	}
	if out.String() != "out" || errOut.String() != "err" {
		t.Errorf("got %q and %q", out.String(), errOut.String())
	}
	if got := h.tape.said(recording.Output) + h.tape.said(recording.Stderr); got != "outerr" {
		t.Errorf("recorded %q", got)
	}
	if got := h.tape.said(recording.Exec); got != "both" {
		t.Errorf("recorded command %q", got)
	}
}

func TestExitStatus(t *testing.T) {
	h := newHouse(t)
	s, err := h.mustClient().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := s.Run("fail 42"); !errors.As(err, &exit) || exit.ExitStatus() != 42 {
		t.Errorf("got %v, want exit status 42", err)
	}
}

// The client's end of input must not cost the output that comes after it.
func TestHalfClose(t *testing.T) {
	h := newHouse(t)
	s, err := h.mustClient().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("all of it\n", 100_000)
	s.Stdin = strings.NewReader(text)
	out, err := s.Output("cat")
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != text {
		t.Errorf("got %d bytes of %d", len(out), len(text))
	}
	if got := h.tape.said(recording.Output); got != text {
		t.Errorf("recorded %d bytes of %d", len(got), len(text))
	}
	if h.tape.said(recording.Input) != "" {
		t.Error("input was kept")
	}
}

// No byte reaches the user before it is durable.
func TestStrict(t *testing.T) {
	h := newHouse(t)
	c := h.mustClient()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("cat"); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	h.tape.mu.Lock()
	h.tape.hold = release
	h.tape.mu.Unlock()
	read := make(chan string, 1)
	go func() {
		p := make([]byte, 5)
		io.ReadFull(out, p)
		read <- string(p)
	}()
	io.WriteString(in, "hello")
	select {
	case got := <-read:
		t.Fatalf("%q was delivered while it was not durable", got)
	case <-time.After(200 * time.Millisecond):
	}
	close(release)
	if got := <-read; got != "hello" {
		t.Errorf("got %q", got)
	}
}

func TestBrokenRecordingEndsSession(t *testing.T) {
	for name, fill := range map[string]func(*memoryTape){
		"is not made durable": func(m *memoryTape) { m.fail = errors.New("disk full") },
		"takes nothing more":  func(m *memoryTape) { m.full = errors.New("disk full") },
	} {
		t.Run(name, func(t *testing.T) { brokenRecordingEndsSession(t, fill) })
	}
}

func brokenRecordingEndsSession(t *testing.T, fill func(*memoryTape)) {
	h := newHouse(t)
	s, err := h.mustClient().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	s.Stderr = &told
	if err := s.Start("cat"); err != nil {
		t.Fatal(err)
	}
	h.tape.mu.Lock()
	fill(h.tape)
	h.tape.mu.Unlock()
	io.WriteString(in, "lost?")
	if err := s.Wait(); err == nil {
		t.Error("the session went on without its recording")
	}
	if !strings.Contains(told.String(), "must be recorded and recordings cannot be stored, so it ends") {
		t.Errorf("the user was told %q", told.String())
	}
	waitFor(t, func() bool { return slices.Contains(h.kinds(), sekisho.EventSessionEnded) })
	if h.tape.end != recording.EndFailed {
		t.Errorf("recording ended as %q", h.tape.end)
	}
}

func TestNoSessionWithoutRecording(t *testing.T) {
	h := newHouse(t)
	h.recordErr = errors.New("disk full")
	_, resp, err := h.stream("ok")
	if err == nil {
		t.Fatal("a session without a recording")
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "must be recorded, and recordings cannot be stored.") || strings.Contains(string(body), "disk full") {
		t.Errorf("%s: %s", resp.Status, body)
	}
}

func TestNoSessionWithoutNote(t *testing.T) {
	h := newHouse(t)
	h.noteErr = errors.New("log is gone")
	if _, _, err := h.stream("ok"); err == nil {
		t.Fatal("a session that nobody noted")
	}
}

func TestRefusals(t *testing.T) {
	h := newHouse(t)
	if _, resp, err := h.stream("stolen"); err == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("bad token: %v", err)
	}
	h.decision = sekisho.Decision{Effect: sekisho.Deny, Reason: "No policy lets you.", Next: "Ask."}
	_, resp, err := h.stream("ok")
	if err == nil || resp.StatusCode != http.StatusForbidden {
		t.Fatalf("denied: %v", err)
	}
	if body, _ := io.ReadAll(resp.Body); string(body) != "No policy lets you. Ask.\n" {
		t.Errorf("said %q", body)
	}
}

func TestMalloryAtTheDoor(t *testing.T) {
	for name, change := range map[string]func(*ssh.Certificate){
		"expired":       func(c *ssh.Certificate) { c.ValidBefore = uint64(time.Now().Add(-time.Second).Unix()) },
		"not yet":       func(c *ssh.Certificate) { c.ValidAfter = uint64(time.Now().Add(time.Hour).Unix()) },
		"other target":  func(c *ssh.Certificate) { c.ValidPrincipals = []string{"gateway:root:web1"} },
		"other login":   func(c *ssh.Certificate) { c.ValidPrincipals = []string{"gateway:mei:db1"} },
		"plain":         func(c *ssh.Certificate) { c.ValidPrincipals = []string{"root:db1", "root"} },
		"anybody":       func(c *ssh.Certificate) { c.ValidPrincipals = nil },
		"host":          func(c *ssh.Certificate) { c.CertType = ssh.HostCert },
		"other address": func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"source-address": "192.0.2.0/24"} },
		"bad address":   func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"source-address": "127.0.0.1/99"} },
		"option":        func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"force-command": "true"} },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newHouse(t).client(change); err == nil {
				t.Error("let in")
			}
		})
	}
	t.Run("own address", func(t *testing.T) {
		_, err := newHouse(t).client(func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"source-address": "127.0.0.0/8"} })
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("foreign CA", func(t *testing.T) {
		h := newHouse(t)
		h.signs = h.hostCA
		if _, err := h.client(); err == nil {
			t.Error("let in")
		}
	})
	t.Run("another key", func(t *testing.T) {
		h := newHouse(t)
		_, config := h.user()
		h.pass.Key = "SHA256:another"
		conn, _, err := h.stream("ok")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := ssh.NewClientConn(conn, "db1:22", config); err == nil {
			t.Error("let in")
		}
	})
}

// A target whose host certificate is not the host CA's is never logged in to.
func TestTargetMustProveItself(t *testing.T) {
	h := newHouse(t)
	h.target.Close()
	h.target = listen(t)
	go h.serveTarget(h.target, newKey(t))
	c, err := h.client()
	if err != nil {
		return // refused even earlier
	}
	if s, err := c.NewSession(); err == nil {
		s.Close()
		t.Error("a session on a target that did not prove itself")
	}
}

func TestOtherChannelsAreRefused(t *testing.T) {
	h := newHouse(t)
	c := h.mustClient()
	_, _, err := c.OpenChannel("direct-tcpip", nil)
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) || refused.Reason != ssh.Prohibited {
		t.Errorf("direct-tcpip: %v", err)
	}
	_, _, err = c.OpenChannel("no\x1bsuch@thing", nil)
	if !errors.As(err, &refused) || refused.Reason != ssh.UnknownChannelType || strings.Contains(refused.Message, "\x1b") {
		t.Errorf("unknown: %v", err)
	}
	if ok, _, _ := c.SendRequest("tcpip-forward", true, nil); ok {
		t.Error("tcpip-forward was granted")
	}
	got := 0
	for _, k := range h.kinds() {
		if k == sekisho.EventChannelRefused {
			got++
		}
	}
	if got != 3 {
		t.Errorf("%d refusals noted, want 3", got)
	}
}

func TestPTYOnlyWhereAllowed(t *testing.T) {
	h := newHouse(t)
	h.decision.Limits.PTY = false
	s, err := h.mustClient().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPty("xterm", 24, 80, nil); err == nil {
		t.Error("a terminal that the limits deny")
	}
	if err := s.Setenv("LD_PRELOAD", "x"); err == nil {
		t.Error("an environment variable off the list")
	}
}

func TestChannelBound(t *testing.T) {
	h := newHouse(t)
	c := h.mustClient()
	for i := range 65 {
		s, err := c.NewSession()
		if i == 64 {
			if err == nil {
				t.Error("no bound on channels")
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.StdinPipe(); err != nil { // keeps the program waiting
			t.Fatal(err)
		}
		if err := s.Start("hang"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestShutdownEndsSessions(t *testing.T) {
	h := newHouse(t)
	s, err := h.mustClient().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start("cat"); err != nil {
		t.Fatal(err)
	}
	if n := h.gateway.End(func(s sekisho.Session) bool { return s.Target == "db1" }); n != 1 {
		t.Fatalf("ended %d sessions", n)
	}
	if err := s.Wait(); err == nil {
		t.Error("the program ended well")
	}
	waitFor(t, func() bool { live, deciding := h.gateway.Sessions(); return len(live)+deciding == 0 })
	if h.tape.end != recording.EndStopped {
		t.Errorf("recording ended as %q", h.tape.end)
	}
}

func TestPassDoor(t *testing.T) {
	h := newHouse(t)
	h.decision.Limits.Audit = sekisho.AuditNone
	conn, _, err := h.stream("ok")
	if err != nil {
		t.Fatal(err)
	}
	// The target trusts the gateway CA only, so the user of this test shows such a certificate.
	key := newKey(t)
	signer := certSigner(t, certify(t, h.gatewayCA, key.PublicKey(), ssh.UserCert, []string{"root:db1"}), key)
	c, chans, reqs, err := ssh.NewClientConn(conn, "db1:22", &ssh.ClientConfig{User: "root",
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewClient(c, chans, reqs).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Output("fill 3000000")
	if err != nil || len(out) != 3_000_000 {
		t.Fatalf("%d bytes, %v", len(out), err)
	}
	c.Close()
	waitFor(t, func() bool { return slices.Contains(h.kinds(), sekisho.EventSessionEnded) })
	if len(h.tape.durable) != 0 {
		t.Error("a passed stream was recorded")
	}
}

func waitFor(t *testing.T, check func() bool) {
	t.Helper()
	for range 500 {
		if check() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("did not come to pass")
}

// A client that speaks only what OpenSSH is not offered is served, too.
func TestClientsWithoutGCM(t *testing.T) {
	for _, cipher := range []string{ssh.CipherAES128CTR, ssh.CipherChaCha20Poly1305} {
		h := newHouse(t)
		_, config := h.user()
		config.Ciphers = []string{cipher}
		conn, _, err := h.stream("ok")
		if err != nil {
			t.Fatal(err)
		}
		c, _, _, err := ssh.NewClientConn(conn, "db1:22", config)
		if err != nil {
			t.Errorf("%s: %v", cipher, err)
			continue
		}
		c.Close()
	}
	h := newHouse(t)
	_, config := h.user()
	config.Ciphers = []string{ssh.CipherAES128CTR}
	config.ClientVersion = "SSH-2.0-OpenSSH_9.2p1"
	conn, _, err := h.stream("ok")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := ssh.NewClientConn(conn, "db1:22", config); err == nil {
		t.Error("OpenSSH was offered more than AES-GCM")
	}
}

func TestBadGreetings(t *testing.T) {
	for name, greeting := range map[string]string{
		"too long": "SSH-2.0-" + strings.Repeat("x", 300) + "\r\n", "no SSH": "GET / HTTP/1.1\r\n\r\n", "old": "SSH-1.5-x\r\n", "empty": "\n",
	} {
		h := newHouse(t)
		conn, _, err := h.stream("ok")
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, greeting)
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		var slow net.Error
		if _, err := io.Copy(io.Discard, conn); errors.As(err, &slow) && slow.Timeout() {
			t.Errorf("%s: the door stays open", name)
		}
	}
}

// A session that is still being decided is not shown as one that nobody asked to record.
func TestSessionsAreSeenDecided(t *testing.T) {
	h := newHouse(t)
	h.deciding = make(chan struct{})
	opened := make(chan error, 1)
	go func() {
		_, _, err := h.stream("ok")
		opened <- err
	}()
	waitFor(t, func() bool { live, deciding := h.gateway.Sessions(); return len(live) == 0 && deciding == 1 })
	close(h.deciding)
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	live, deciding := h.gateway.Sessions()
	if len(live) != 1 || deciding != 0 || live[0].Audit != sekisho.AuditStrict {
		t.Errorf("%d decided, %d not: %+v", len(live), deciding, live)
	}
}

// A disk that does not answer is not waited for without end: strict sessions are refused, best-effort ones go on.
func TestOpeningOnAHungDisk(t *testing.T) {
	for mode, told := range map[sekisho.AuditMode]string{
		sekisho.AuditStrict:     "must be recorded, and the disk for recordings is too slow.",
		sekisho.AuditBestEffort: "this session is not recorded: the disk for recordings is too slow. It goes on.",
	} {
		t.Run(string(mode), func(t *testing.T) {
			late, hung := &memoryTape{}, make(chan struct{})
			h := newHouse(t, func(c *gateway.Config) {
				c.Record = func(context.Context, sekisho.Session, sekisho.Limits) (gateway.Tape, error) { <-hung; return late, nil }
			})
			h.gateway.SetOpenPatience(200 * time.Millisecond)
			h.decision.Limits.Audit = mode
			var said string
			if mode == sekisho.AuditStrict {
				_, resp, err := h.stream("ok")
				if err == nil {
					t.Fatal("a session without a recording")
				}
				body, _ := io.ReadAll(resp.Body)
				said = string(body)
			} else {
				s, err := h.mustClient().NewSession()
				if err != nil {
					t.Fatal(err)
				}
				var stderr bytes.Buffer
				s.Stderr = &stderr
				if out, err := s.Output("both"); err != nil || string(out) != "out" {
					t.Errorf("%q, %v", out, err)
				}
				said = stderr.String()
				waitFor(t, func() bool { return slices.Contains(h.kinds(), sekisho.EventRecordingLost) })
			}
			if !strings.Contains(said, told) {
				t.Errorf("told %q", said)
			}
			close(hung)
			waitFor(t, func() bool { late.mu.Lock(); defer late.mu.Unlock(); return late.end == recording.EndFailed })
			if h.gateway.Meter().Failures() != 1 {
				t.Error("it is not counted")
			}
		})
	}
}
