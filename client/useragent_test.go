package client_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/sekisho/sekisho/client"
)

// sshAgent starts a real ssh-agent for the person and gives what it says by ssh-add -L.
func (p *person) sshAgent() (list func() string) {
	p.t.Helper()
	socket := filepath.Join(filepath.Dir(p.home), "agent")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("no ssh-agent here (%v): run dev/prepare.sh", err)
	}
	p.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 500 {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Setenv("SSH_AUTH_SOCK", socket)
	return func() string {
		out, err := exec.Command("ssh-add", "-L").Output()
		if err != nil { // it holds nothing
			return ""
		}
		return string(out)
	}
}

func openAgent(t *testing.T) *client.UserAgent {
	t.Helper()
	a, err := client.OpenAgent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func TestEnter(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	list := p.sshAgent()
	c := p.setup()
	var out bytes.Buffer
	got, err := c.Enter(t.Context(), openAgent(t), client.LoginOptions{Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	if p.browsers() != 1 || !strings.Contains(out.String(), "To sign in") || got.SignIn.Subject != "ken" {
		t.Errorf("%d browsers, said %q, entered %+v", p.browsers(), out.String(), got)
	}
	if got.Gateway != "gw.test.internal:2222" || time.Until(got.Expires) > time.Hour || time.Until(got.Expires) < 50*time.Minute {
		t.Errorf("entered %+v", got)
	}
	// The agent holds the certificate with its key, and nothing is on disk.
	lines := list()
	if strings.Count(lines, "\n") != 1 || !strings.HasPrefix(lines, "ssh-ed25519-cert-v01@openssh.com ") || !strings.HasSuffix(lines, " sekisho: Test <b>\n") {
		t.Fatalf("the agent holds\n%s", lines)
	}
	files, err := filepath.Glob(filepath.Join(p.home, "*"))
	for _, f := range files {
		if text, _ := os.ReadFile(f); bytes.Contains(text, []byte("OPENSSH PRIVATE KEY")) {
			t.Errorf("a key is in %s", f)
		}
	}
	if err != nil || len(files) == 0 {
		t.Errorf("%v, %v", files, err)
	}
	if at := c.AgentCertificate(t.Context()); !at.Equal(got.Expires) {
		t.Errorf("the agent's certificate expires at %v, not at %v", at, got.Expires)
	}
	// Again: no browser, and the old one is replaced.
	if _, err := c.Enter(t.Context(), openAgent(t), client.LoginOptions{Out: &out}); err != nil {
		t.Fatal(err)
	}
	if again := list(); again == lines || strings.Count(again, "\n") != 1 || p.browsers() != 1 {
		t.Errorf("%d browsers, the agent holds\n%s", p.browsers(), again)
	}
	// A sign-in that control has ended is replaced.
	h.endAll()
	if _, err := c.Enter(t.Context(), openAgent(t), client.LoginOptions{Out: &out}); err != nil || p.browsers() != 2 {
		t.Errorf("%d browsers, %v", p.browsers(), err)
	}
	if _, err := c.Logout(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if left := list(); left != "" || !c.AgentCertificate(t.Context()).IsZero() {
		t.Errorf("after logout the agent holds\n%s", left)
	}
}

// Other keys in the agent are the person's own, whatever they are called.
func TestEnterLeavesOthersAlone(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	list := p.sshAgent()
	conn, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	keys := agent.NewClient(conn)
	add := func(comment string, principals ...string) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		added := agent.AddedKey{PrivateKey: key, Comment: comment}
		if principals != nil {
			public, err := ssh.NewPublicKey(key.Public())
			if err != nil {
				t.Fatal(err)
			}
			added.Certificate = &ssh.Certificate{Key: public, CertType: ssh.UserCert, ValidPrincipals: principals, ValidBefore: ssh.CertTimeInfinity}
			if err := added.Certificate.SignCert(rand.Reader, h.userCA); err != nil {
				t.Fatal(err)
			}
		}
		if err := keys.Add(added); err != nil {
			t.Fatal(err)
		}
	}
	add("sekisho: Test <b>")
	add("sekisho: Test <b>", "ken")
	add("sekisho: another one", "gateway")
	before := list()
	c := p.login()
	if _, err := c.Enter(t.Context(), openAgent(t), client.LoginOptions{}); err != nil {
		t.Fatal(err)
	}
	if after := list(); !strings.HasPrefix(after, before) || strings.Count(after, "\n") != 4 {
		t.Errorf("the agent holds\n%s", after)
	}
	if _, err := c.Logout(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if after := list(); after != before {
		t.Errorf("the agent holds\n%s", after)
	}
}

// The key leaves the agent when the certificate's time is up.
func TestEnterLifetime(t *testing.T) {
	h := newHouse(t)
	h.enters.Store(2)
	p := newPerson(t, h)
	list := p.sshAgent()
	if _, err := p.login().Enter(t.Context(), openAgent(t), client.LoginOptions{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(list(), "sekisho") {
		t.Fatal("not in the agent")
	}
	for begun := time.Now(); list() != ""; time.Sleep(100 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatal("still in the agent")
		}
	}
}

func TestEnterRefuses(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	for path, want := range map[string]string{
		"": `No ssh-agent is running. Start one: eval "$(ssh-agent)"`, filepath.Join(p.home, "nobody"): "does not answer",
	} {
		t.Setenv("SSH_AUTH_SOCK", path)
		_, err := client.OpenAgent(t.Context())
		if got := said(t, err); !strings.Contains(got, want) {
			t.Errorf("%q says %q", path, got)
		}
	}
	// Logout does not mind.
	if _, err := p.login().Logout(t.Context(), false); err != nil {
		t.Error(err)
	}
	// An agent that keeps no certificates.
	socket := filepath.Join(filepath.Dir(p.home), "small")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(noCertificates{agent.NewKeyring()}, conn)
		}
	}()
	t.Setenv("SSH_AUTH_SOCK", socket)
	_, err = p.login().Enter(t.Context(), openAgent(t), client.LoginOptions{})
	if got := said(t, err); !strings.Contains(got, "did not take the certificate") {
		t.Error(got)
	}
	// What control says is looked at before it goes to the agent.
	list := p.sshAgent()
	h.principal.Store("root:db1")
	if _, err := p.login().Enter(t.Context(), openAgent(t), client.LoginOptions{}); err == nil || list() != "" {
		t.Errorf("a certificate for a target is in the agent: %v", err)
	}
}

type noCertificates struct{ agent.Agent }

func (noCertificates) Add(agent.AddedKey) error { return os.ErrInvalid }

// The target wants a fresh sign-in: ten ssh wait for one browser, in which the person proves themselves anew.
func TestStale(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	c := p.login()
	h.fresh.Store(true)
	ssh := p.sshFor()
	path, _ := program()
	out, err := exec.Command(path, "connect", "--no-login", "--login", "ken", "web1", "22").CombinedOutput()
	if err == nil || string(out) != "sekisho: web1 wants more. Run: sekisho login --fresh\n" || p.browsers() != 1 {
		t.Errorf("--no-login: %v, %d browsers\n%s", err, p.browsers(), out)
	}
	run(t, 10, func() ([]byte, error) { return ssh("ken@web1", "whoami").Output() })
	if n := p.browsers(); n != 2 {
		t.Errorf("%d browsers were opened, want 2", n)
	}
	if got := h.freshBegun(); !slices.Equal(got, []bool{false, true}) {
		t.Errorf("fresh sign-ins: %v", got)
	}
	// Where it does not help, nobody is sent around in circles.
	h.never.Store(true)
	if _, err := ssh("ken@web1", "whoami").Output(); err == nil || p.browsers() != 3 {
		t.Errorf("%v, %d browsers", err, p.browsers())
	}
	h.never.Store(false)
	if _, err := c.Login(t.Context(), client.LoginOptions{Fresh: true, Out: new(bytes.Buffer)}); err != nil {
		t.Fatal(err)
	}
	if _, err := ssh("ken@web1", "whoami").Output(); err != nil || p.browsers() != 4 {
		t.Errorf("after sekisho login --fresh: %v, %d browsers", err, p.browsers())
	}
}
