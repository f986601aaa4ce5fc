package host_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho/host"
)

const sshd = "/usr/sbin/sshd"

// site is a host of its own below a temporary directory.
type site struct {
	dir      string
	layout   host.Layout
	host     *host.Host
	hostKey  ssh.Signer
	address  string
	userCA   ssh.Signer
	reloaded string // file with one line for each reload
}

func signer(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func line(k ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// newSite lays out an sshd_config that includes the drop-in; "extra" lines come before that.
func newSite(t *testing.T, extra string) *site {
	t.Helper()
	if _, err := os.Stat(sshd); err != nil {
		t.Fatal("no sshd here: run dev/prepare.sh")
	}
	if os.Getuid() == 0 { // sshd insists on it, and its service makes it
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "host") // short, and without what a subtest's name would bring in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &site{dir: dir, userCA: signer(t), address: freeAddress(t), reloaded: dir + "/reloaded"}
	key := dir + "/host_key"
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v %s", err, out)
	}
	if s.hostKey, err = ssh.ParsePrivateKey([]byte(read(t, key))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/conf.d", 0o755); err != nil {
		t.Fatal(err)
	}
	addr, port, _ := net.SplitHostPort(s.address)
	write(t, dir+"/sshd_config", fmt.Sprintf(
		"%s\nInclude %s/conf.d/*.conf\nListenAddress %s\nPort %s\nHostKey %s\nPidFile %s/sshd.pid\nStrictModes no\nUsePAM no\nLogLevel VERBOSE\n",
		extra, dir, addr, port, key, dir))
	s.layout = host.Layout{
		Dir: dir + "/sekisho", DropIn: dir + "/conf.d/50-sekisho.conf", SSHDConfig: dir + "/sshd_config", SSHD: sshd,
		HostKey: key + ".pub", Reload: []string{"/bin/sh", "-c", "echo reload >> " + s.reloaded},
	}
	s.make(t)
	return s
}

func (s *site) make(t *testing.T) {
	t.Helper()
	var err error
	if s.host, err = host.New(s.layout, nil); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *site) reloads() int {
	b, _ := os.ReadFile(s.reloaded)
	return strings.Count(string(b), "\n")
}

func (s *site) state(login string) host.State {
	return host.State{
		TrustedUserCA: []string{line(s.userCA.PublicKey()) + " a comment"},
		Principals:    map[string][]string{login: {login + ":db1"}},
	}
}

func (s *site) certify(t *testing.T, key ssh.PublicKey, kind uint32, principals ...string) *ssh.Certificate {
	t.Helper()
	c := &ssh.Certificate{
		Key: key, CertType: kind, ValidPrincipals: principals,
		ValidAfter: uint64(time.Now().Add(-time.Minute).Unix()), ValidBefore: uint64(time.Now().Add(time.Hour).Unix()),
		Permissions: ssh.Permissions{},
	}
	if err := c.SignCert(rand.Reader, s.userCA); err != nil {
		t.Fatal(err)
	}
	return c
}

// tree is every file below the site's writable places, with its content.
func (s *site) tree(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, dir := range []string{s.layout.Dir, s.dir + "/conf.d"} {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				out[strings.TrimPrefix(path, s.dir)] = read(t, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func (s *site) apply(t *testing.T, state host.State, want bool) {
	t.Helper()
	changed, err := s.host.Apply(t.Context(), state)
	if err != nil || changed != want {
		t.Fatalf("apply: changed %v, error %v; want %v", changed, err, want)
	}
}

func TestApplyBringsTheHostInStep(t *testing.T) {
	s := newSite(t, "")
	if trusts, err := s.host.Trusts(t.Context()); err != nil || len(trusts) != 0 {
		t.Errorf("trusts %v, %v before anything", trusts, err)
	}
	s.apply(t, s.state("alice"), true)
	if s.reloads() != 1 {
		t.Errorf("%d reloads, want 1", s.reloads())
	}
	trusts, err := s.host.Trusts(t.Context())
	if diff := cmp.Diff([]string{ssh.FingerprintSHA256(s.userCA.PublicKey())}, trusts); diff != "" || err != nil {
		t.Error(diff, err)
	}
	before := s.tree(t)

	s.apply(t, s.state("alice"), false)
	if s.reloads() != 1 {
		t.Errorf("%d reloads after nothing changed, want 1", s.reloads())
	}
	if diff := cmp.Diff(before, s.tree(t)); diff != "" {
		t.Error(diff)
	}

	// Principals are read at each login: a change needs no reload, and alice's file goes.
	s.apply(t, s.state("bob"), true)
	if s.reloads() != 1 {
		t.Errorf("%d reloads after principals changed, want 1", s.reloads())
	}
	tree := s.tree(t)
	if _, there := tree["/sekisho/principals/alice"]; there || tree["/sekisho/principals/bob"] != "bob:db1\n" {
		t.Errorf("principals: %v", tree)
	}

	withCertificate := s.state("bob")
	withCertificate.HostCertificate = line(s.certify(t, s.hostKey.PublicKey(), ssh.HostCert, "db1"))
	s.apply(t, withCertificate, true)
	if s.reloads() != 2 {
		t.Errorf("%d reloads after the host certificate came, want 2", s.reloads())
	}
	s.apply(t, s.state("bob"), true)
	if _, there := s.tree(t)["/sekisho/host_certificate"]; there {
		t.Error("the host certificate is still there")
	}
	key, err := s.host.HostKey()
	if err != nil || key != line(s.hostKey.PublicKey()) {
		t.Errorf("host key %q, %v", key, err)
	}
}

func TestWhatSSHDRefusesIsUndone(t *testing.T) {
	for name, broken := range map[string]string{
		"bad configuration":  "NoSuchKeyword yes",
		"earlier line wins":  "AuthorizedKeysFile .ssh/authorized_keys",
		"earlier CA wins":    "TrustedUserCAKeys /etc/ssh/other_ca",
		"passwords stay on":  "PasswordAuthentication yes",
		"drop-in not in use": "",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "")
			s.apply(t, s.state("alice"), true)
			before, config := s.tree(t), read(t, s.layout.SSHDConfig)
			if broken == "" {
				config = strings.ReplaceAll(config, "Include", "#Include")
			}
			write(t, s.layout.SSHDConfig, broken+"\n"+config)
			next := s.state("bob")
			if _, err := s.host.Apply(t.Context(), next); err == nil {
				t.Error("applied")
			}
			if diff := cmp.Diff(before, s.tree(t)); diff != "" {
				t.Error(diff)
			}
			if s.reloads() != 1 {
				t.Errorf("%d reloads, want 1", s.reloads())
			}
		})
	}
}

func TestAFailedReloadIsUndoneAndStaysDue(t *testing.T) {
	s := newSite(t, "")
	s.layout.Reload = []string{"/bin/false"}
	s.make(t)
	if _, err := s.host.Apply(t.Context(), s.state("alice")); err == nil {
		t.Fatal("applied")
	}
	if tree := s.tree(t); len(tree) != 1 {
		t.Errorf("left behind: %v", tree)
	}
	s.layout.Reload = []string{"/bin/sh", "-c", "echo reload >> " + s.reloaded}
	s.make(t)
	s.apply(t, s.state("alice"), true)
	if s.reloads() != 1 {
		t.Errorf("%d reloads, want 1", s.reloads())
	}
}

// mallory has an account on the host and lays links where the connector, as root, will write.
func TestSymbolicLinksAreNotFollowed(t *testing.T) {
	for name, lay := range map[string]func(s *site, prize string) error{
		"file": func(s *site, prize string) error {
			return os.Symlink(prize, s.layout.Dir+"/trusted_user_ca")
		},
		"principals of a login": func(s *site, prize string) error {
			return os.Symlink(prize, s.layout.Dir+"/principals/alice")
		},
		"directory": func(s *site, prize string) error {
			if err := os.Remove(s.layout.Dir + "/principals"); err != nil {
				return err
			}
			return os.Symlink(filepath.Dir(prize), s.layout.Dir+"/principals")
		},
		"whole directory": func(s *site, prize string) error {
			if err := os.RemoveAll(s.layout.Dir); err != nil {
				return err
			}
			return os.Symlink(filepath.Dir(prize), s.layout.Dir)
		},
		"drop-in": func(s *site, prize string) error { return os.Symlink(prize, s.layout.DropIn) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "")
			if err := os.MkdirAll(s.layout.Dir+"/principals", 0o755); err != nil {
				t.Fatal(err)
			}
			prize := t.TempDir() + "/alice"
			write(t, prize, "precious")
			if err := lay(s, prize); err != nil {
				t.Fatal(err)
			}
			if _, err := s.host.Apply(t.Context(), s.state("alice")); err == nil || !strings.Contains(err.Error(), "in the way") {
				t.Errorf("error %v, want that something is in the way", err)
			}
			if got := read(t, prize); got != "precious" {
				t.Errorf("the link's target holds %q", got)
			}
		})
	}
}

// What control, or who took it over, must not get into the files.
func TestHostileStatesAreRefused(t *testing.T) {
	s := newSite(t, "")
	ca := line(s.userCA.PublicKey())
	cert := line(s.certify(t, s.userCA.PublicKey(), ssh.UserCert, "x"))
	foreign := line(s.certify(t, signer(t).PublicKey(), ssh.HostCert, "db1"))
	alice := map[string][]string{"alice": {"alice:db1"}}
	for name, state := range map[string]host.State{
		"no CA":                  {Principals: alice},
		"CA with a second line":  {TrustedUserCA: []string{ca + "\n" + ca}},
		"CA with a NUL":          {TrustedUserCA: []string{ca + "\x00"}},
		"CA with options":        {TrustedUserCA: []string{`cert-authority,principals="root" ` + ca}},
		"certificate as CA":      {TrustedUserCA: []string{cert}},
		"words as CA":            {TrustedUserCA: []string{"trust me"}},
		"too many CAs":           {TrustedUserCA: strings.Split(strings.Repeat(ca+"\n", 16)+ca, "\n")},
		"login with a path":      {TrustedUserCA: []string{ca}, Principals: map[string][]string{"../../cron.d/x": {"x"}}},
		"login with a newline":   {TrustedUserCA: []string{ca}, Principals: map[string][]string{"alice\n": {"x"}}},
		"empty login":            {TrustedUserCA: []string{ca}, Principals: map[string][]string{"": {"x"}}},
		"principal with a line":  {TrustedUserCA: []string{ca}, Principals: map[string][]string{"alice": {"x\nroot:db1"}}},
		"principal with options": {TrustedUserCA: []string{ca}, Principals: map[string][]string{"alice": {`command="sh" x`}}},
		"empty principal":        {TrustedUserCA: []string{ca}, Principals: map[string][]string{"alice": {""}}},
		"user certificate":       {TrustedUserCA: []string{ca}, HostCertificate: cert},
		"another host's":         {TrustedUserCA: []string{ca}, HostCertificate: foreign},
		"plain key":              {TrustedUserCA: []string{ca}, HostCertificate: ca},
	} {
		if _, err := s.host.Apply(t.Context(), state); err == nil {
			t.Errorf("%s: applied", name)
		}
	}
	if _, err := os.Lstat(s.layout.DropIn); err == nil {
		t.Error("a drop-in was written")
	}
}

func TestLayoutsThatSSHDCouldMisreadAreRefused(t *testing.T) {
	good := host.Layout{Dir: "/etc/ssh/sekisho", DropIn: "/etc/ssh/d/s.conf", SSHDConfig: "/etc/ssh/sshd_config",
		HostKey: "/etc/ssh/k.pub", PIDFile: "/run/sshd.pid"}
	if _, err := host.New(good, nil); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*host.Layout){
		"relative":     func(l *host.Layout) { l.Dir = "sekisho" },
		"space":        func(l *host.Layout) { l.Dir = "/etc/ssh/a b" },
		"newline":      func(l *host.Layout) { l.Dir = "/etc/ssh/a\nPermitRootLogin" },
		"percent":      func(l *host.Layout) { l.Dir = "/etc/%u" },
		"dots":         func(l *host.Layout) { l.DropIn = "/etc/ssh/../passwd" },
		"both reloads": func(l *host.Layout) { l.Reload = []string{"true"} },
		"no reload":    func(l *host.Layout) { l.PIDFile = "" },
		"no host key":  func(l *host.Layout) { l.HostKey = "" },
	} {
		l := good
		change(&l)
		if _, err := host.New(l, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A real sshd takes the certificate's principal, and only that.
func TestRealLogins(t *testing.T) {
	s := newSite(t, "")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s.layout.Reload, s.layout.PIDFile = nil, s.dir+"/sshd.pid"
	s.make(t)
	s.start(t)
	s.await(t, "plain")
	if err := s.login(t, me.Username, s.certificate(ssh.UserCert, me.Username+":db1"), "plain"); err == nil {
		t.Error("logged in before anything was trusted")
	}
	state := s.state(me.Username)
	state.HostCertificate = line(s.certify(t, s.hostKey.PublicKey(), ssh.HostCert, "db1"))
	s.apply(t, state, true)
	s.await(t, "certified")
	if err := s.login(t, me.Username, s.certificate(ssh.UserCert, me.Username+":db1"), "certified"); err != nil {
		t.Errorf("login with the listed principal: %v", err)
	}
	for _, other := range []string{me.Username, me.Username + ":db2", "gateway:" + me.Username + ":db1"} {
		if err := s.login(t, me.Username, s.certificate(ssh.UserCert, other), "certified"); err == nil {
			t.Errorf("logged in with the principal %s", other)
		}
	}
	state.Principals = nil
	s.apply(t, state, true)
	if err := s.login(t, me.Username, s.certificate(ssh.UserCert, me.Username+":db1"), "certified"); err == nil {
		t.Error("logged in after the login was removed")
	}
}

// start runs sshd until the test's end.
func (s *site) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log, err := os.Create(s.dir + "/sshd.log")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, sshd, "-D", "-e", "-f", s.layout.SSHDConfig)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		log.Close()
		if t.Failed() {
			t.Log(read(t, s.dir+"/sshd.log"))
		}
	})
}

// hostKeyCheck accepts the host as db1: by its key ("plain") or by its certificate ("certified").
func (s *site) hostKeyCheck(how string) (ssh.HostKeyCallback, []string) {
	if how == "plain" {
		return ssh.FixedHostKey(s.hostKey.PublicKey()), []string{ssh.KeyAlgoED25519}
	}
	checker := &ssh.CertChecker{IsHostAuthority: func(k ssh.PublicKey, _ string) bool {
		return line(k) == line(s.userCA.PublicKey())
	}}
	return func(_ string, a net.Addr, k ssh.PublicKey) error { return checker.CheckHostKey("db1:22", a, k) },
		[]string{ssh.CertAlgoED25519v01}
}

// await waits until sshd greets with that kind of host key: it closes its socket for a moment when it reloads.
func (s *site) await(t *testing.T, how string) {
	t.Helper()
	bound := time.Now().Add(20 * time.Second)
	for {
		seen := false
		check, algorithms := s.hostKeyCheck(how)
		c, err := ssh.Dial("tcp", s.address, &ssh.ClientConfig{
			User: "nobody", HostKeyAlgorithms: algorithms, Timeout: 5 * time.Second,
			HostKeyCallback: func(h string, a net.Addr, k ssh.PublicKey) error {
				err := check(h, a, k)
				seen = err == nil
				return err
			},
		})
		if err == nil {
			c.Close()
		}
		if seen {
			return
		}
		if time.Now().After(bound) {
			t.Fatalf("sshd does not greet with a %s key: %v", how, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// login runs a command as the login with a certificate for a fresh key.
func (s *site) login(t *testing.T, login string, c *ssh.Certificate, how string) error {
	t.Helper()
	key := signer(t)
	c.Key, c.Nonce = key.PublicKey(), nil
	if err := c.SignCert(rand.Reader, s.userCA); err != nil {
		t.Fatal(err)
	}
	auth, err := ssh.NewCertSigner(c, key)
	if err != nil {
		t.Fatal(err)
	}
	check, algorithms := s.hostKeyCheck(how)
	client, err := ssh.Dial("tcp", s.address, &ssh.ClientConfig{
		User: login, Auth: []ssh.AuthMethod{ssh.PublicKeys(auth)}, HostKeyCallback: check, HostKeyAlgorithms: algorithms,
		Timeout: 20 * time.Second,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	run, err := client.NewSession()
	if err != nil {
		return err
	}
	defer run.Close()
	out, err := run.Output("echo in")
	if err == nil && string(out) != "in\n" {
		err = fmt.Errorf("output %q", out)
	}
	return err
}

// certificate is one that login fills with its key and signs.
func (s *site) certificate(kind uint32, principal string) *ssh.Certificate {
	return &ssh.Certificate{
		CertType: kind, ValidPrincipals: []string{principal},
		ValidAfter: uint64(time.Now().Add(-time.Minute).Unix()), ValidBefore: uint64(time.Now().Add(time.Hour).Unix()),
	}
}
