package ca_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
)

const sshd = "/usr/sbin/sshd"

// section gives the files that a section of docs/certificates.md shows, by path: what is tried is what is written there.
func section(t *testing.T, heading string) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../docs/certificates.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "# "+heading+"\n")
	if !found {
		t.Fatalf("docs/certificates.md has no section %q", heading)
	}
	if end := regexp.MustCompile(`(?m)^#+ `).FindStringIndex(regexp.MustCompile("(?s)```.*?```").ReplaceAllStringFunc(text, blank)); end != nil {
		text = text[:end[0]]
	}
	files := map[string]string{}
	for _, m := range regexp.MustCompile("(?s)`(/etc/ssh/[a-z_/-]+)`:\n\n```[a-z]*\n(.*?)```").FindAllStringSubmatch(text, -1) {
		files[m[1]] = m[2]
	}
	if files["/etc/ssh/sshd_config"] == "" {
		t.Fatalf("section %q shows no sshd_config", heading)
	}
	return files
}

// blank keeps a block's length and hides its comments.
func blank(block string) string { return strings.Repeat(".", len(block)) }

// server is a stock sshd with the lines of a section, and what every sshd has: address, host key, a place for its PID.
type server struct {
	dir, login, port string
}

// replaced are words of the page that are others here: whom one can log in as is who runs the test.
func serve(t *testing.T, files map[string]string, trusted map[string]ssh.PublicKey, replaced ...string) *server {
	t.Helper()
	if _, err := os.Stat(sshd); err != nil {
		t.Fatal("no sshd here: run dev/prepare.sh")
	}
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	parent := ""
	if os.Getuid() == 0 {
		parent = "/var/lib" // sshd runs no program from below a folder that all may write to
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp(parent, "stock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{dir: dir, login: who.Username}
	words := strings.NewReplacer(append([]string{"/etc/ssh/", dir + "/", "deploy", s.login}, replaced...)...)
	for path, text := range files {
		if path != "/etc/ssh/sshd_config" {
			s.write(t, words.Replace(path), words.Replace(text), 0o755)
		}
	}
	for name, key := range trusted {
		s.write(t, filepath.Join(dir, name), ca.Line(key)+"\n", 0o644)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.start(t, words.Replace(files["/etc/ssh/sshd_config"]))
	return s
}

func (s *server) write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (s *server) start(t *testing.T, lines string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, s.dir+"/host_key", string(pem.EncodeToMemory(block)), 0o600)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	ours := fmt.Sprintf("ListenAddress 127.0.0.1\nPort %s\nHostKey %s/host_key\nPidFile none\nStrictModes no\nUsePAM no\nLogLevel VERBOSE\n", s.port, s.dir)
	s.write(t, s.dir+"/sshd_config", ours+lines, 0o644)
	log, err := os.Create(s.dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, sshd, "-D", "-e", "-f", s.dir+"/sshd_config")
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		log.Close()
		if text, err := os.ReadFile(s.dir + "/log"); err == nil && t.Failed() {
			t.Logf("sshd: %s", text)
		}
	})
	for range 200 {
		if conn, err := net.Dial("tcp", "127.0.0.1:"+s.port); err == nil {
			conn.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	text, _ := os.ReadFile(s.dir + "/log")
	t.Fatalf("sshd does not listen: %s", text)
}

// identity is a new key, with the certificate that somebody made for it beside it as ssh wants it.
func (s *server) identity(t *testing.T, certify func(ssh.Signer) *ssh.Certificate) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	s.write(t, path, string(pem.EncodeToMemory(block)), 0o600)
	if certify != nil {
		s.write(t, path+"-cert.pub", ca.Line(certify(signer))+"\n", 0o644)
	}
	return path
}

func (s *server) ssh(path string) []string {
	return []string{"ssh", "-F", "none", "-p", s.port, "-i", path, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"}
}

// lets reports whether the sshd lets that key in.
func (s *server) lets(t *testing.T, path string) bool {
	t.Helper()
	args := append(s.ssh(path), s.login+"@127.0.0.1", "echo", "inside")
	out, _ := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
	return strings.TrimSpace(string(out)) == "inside"
}

// Each mapping opens a stock sshd that has the documented lines and nothing else, for whom they say and for nobody else.
func TestMappingsAtStockSSHD(t *testing.T) {
	type stay struct{ subject, target, class string }
	mei := stay{"mei@example.com", "web1", "ci"}
	for heading, tt := range map[string]struct {
		mapping  sekisho.Mapping
		in, outs []stay
	}{
		"Mapping login":                   {mapping: sekisho.MapLogin, in: []stay{mei}},
		"Mapping target":                  {mapping: sekisho.MapTarget, in: []stay{mei}, outs: []stay{{"mei@example.com", "web2", "ci"}}},
		"Mapping class":                   {mapping: sekisho.MapClass, in: []stay{mei, {"mei@example.com", "web2", "ci"}}, outs: []stay{{"mei@example.com", "web1", "pii"}}},
		"Mapping email":                   {mapping: sekisho.MapEmail, in: []stay{mei, {"ken@example.com", "web2", "x"}}, outs: []stay{{"mallory@example.com", "web1", "ci"}}},
		"Mapping anyone, for one login":   {mapping: sekisho.MapAnyone, in: []stay{mei, {"mallory@example.com", "web2", "x"}}},
		"Mapping anyone, for every login": {mapping: sekisho.MapAnyone, in: []stay{mei, {"mallory@example.com", "web2", "x"}}},
	} {
		t.Run(heading, func(t *testing.T) {
			f := newForge(t, nil)
			f.clock.Store(int64(time.Since(noon).Seconds()))
			s := serve(t, section(t, heading), map[string]ssh.PublicKey{"sekisho_ca.pub": f.UserCA()})
			certify := func(m sekisho.Mapping, at stay, change func(*ca.PeopleRequest)) string {
				return s.identity(t, func(signer ssh.Signer) *ssh.Certificate {
					r := ca.PeopleRequest{
						SignIn: &sekisho.SignIn{ID: "sin_a", Identity: sekisho.Identity{Subject: at.subject}, Created: f.now(), Expires: f.now().Add(time.Hour)},
						Target: &sekisho.Target{Name: at.target, Class: at.class, Mapping: m, Logins: []string{s.login, "nobody"}},
						Login:  s.login, Key: signer.PublicKey(), Limits: sekisho.Limits{TTL: time.Minute},
					}
					change(&r)
					cert, err := f.People(t.Context(), r)
					if err != nil {
						t.Fatal(err)
					}
					return cert
				})
			}
			same := func(*ca.PeopleRequest) {}
			for _, at := range tt.in {
				if !s.lets(t, certify(tt.mapping, at, same)) {
					t.Errorf("%v is not let in", at)
				}
			}
			for _, at := range tt.outs {
				if s.lets(t, certify(tt.mapping, at, same)) {
					t.Errorf("%v is let in", at)
				}
			}
			switch tt.mapping {
			case sekisho.MapTarget, sekisho.MapClass, sekisho.MapLogin:
				if s.lets(t, certify(tt.mapping, mei, func(r *ca.PeopleRequest) { r.Login = "nobody" })) {
					t.Error("another login's certificate is let in")
				}
			}
			if tt.mapping != sekisho.MapLogin && tt.mapping != sekisho.MapTarget {
				return // what follows is the same for all
			}
			if s.lets(t, certify(tt.mapping, mei, func(r *ca.PeopleRequest) { r.Gateway = true })) {
				t.Error("the audit door's certificate is let in")
			}
			if s.lets(t, s.identity(t, nil)) {
				t.Error("a key without a certificate is let in")
			}
			if s.lets(t, s.identity(t, func(signer ssh.Signer) *ssh.Certificate {
				cert, err := newForeign(t).People(t.Context(), people(f, signer, s.login, tt.mapping))
				if err != nil {
					t.Fatal(err)
				}
				return cert
			})) {
				t.Error("a foreign CA's certificate is let in")
			}
			if s.lets(t, s.identity(t, func(signer ssh.Signer) *ssh.Certificate {
				return hostCertificate(t, f, signer)
			})) {
				t.Error("a host certificate is let in")
			}
		})
	}
}

// newForeign is another house.
func newForeign(t *testing.T) *forge {
	f := newForge(t, nil)
	f.clock.Store(int64(time.Since(noon).Seconds()))
	return f
}

func people(f *forge, signer ssh.Signer, login string, m sekisho.Mapping) ca.PeopleRequest {
	return ca.PeopleRequest{
		SignIn: &sekisho.SignIn{ID: "sin_a", Identity: sekisho.Identity{Subject: "mei@example.com"}, Created: f.now(), Expires: f.now().Add(time.Hour)},
		Target: &sekisho.Target{Name: "web1", Class: "ci", Mapping: m, Logins: []string{login}},
		Login:  login, Key: signer.PublicKey(), Limits: sekisho.Limits{TTL: time.Minute},
	}
}

func hostCertificate(t *testing.T, f *forge, signer ssh.Signer) *ssh.Certificate {
	cert, err := f.Hosts(t.Context(), ca.HostRequest{Names: []string{"web1"}, Key: signer.PublicKey(), TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// What the options of a certificate say, a stock sshd holds.
func TestProfilesAtStockSSHD(t *testing.T) {
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	base := ca.IssuerConfig{CA: "git", Principals: []string{"{account}"}, TTL: "1h"}
	far, near, forced, inquired := base, base, base, base
	far.SourceAddress, near.SourceAddress = "192.0.2.0/24", "client"
	forced.ForceCommand = "echo forced {account}"
	inquired.Extensions = []string{"permit-pty"}
	f := newForge(t, map[string]ca.IssuerConfig{"base": base, "far": far, "near": near, "forced": forced, "terminal": inquired})
	f.clock.Store(int64(time.Since(noon).Seconds()))
	key, err := f.CA("git")
	if err != nil {
		t.Fatal(err)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key.Keys[0].Line))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, section(t, "Mapping login"), map[string]ssh.PublicKey{"sekisho_ca.pub": public})
	run := func(issuer, address string, change func(*ca.IssueRequest), args ...string) string {
		f.clock.Add(1)
		path := s.identity(t, func(signer ssh.Signer) *ssh.Certificate {
			return f.issued(t, issuer, who.Username, address, signer, change)
		})
		args = append(append(s.ssh(path), s.login+"@127.0.0.1"), args...)
		out, _ := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		return strings.TrimSpace(string(out))
	}
	same := func(*ca.IssueRequest) {}
	for name, tt := range map[string]struct {
		got, want string
	}{
		"no options":              {run("base", "192.0.2.1", same, "echo inside"), "inside"},
		"no terminal":             {run("base", "192.0.2.1", same, "-tt", "tty"), "PTY allocation request failed"},
		"from here":               {run("near", "127.0.0.1", same, "echo inside"), "inside"},
		"a command":               {run("forced", "127.0.0.1", same, "echo inside"), "forced " + who.Username},
		"a command asked for":     {run("base", "127.0.0.1", func(r *ca.IssueRequest) { r.Command = "echo asked" }, "echo inside"), "asked"},
		"networks asked for here": {run("base", "127.0.0.1", func(r *ca.IssueRequest) { r.SourceAddress = "192.0.2.0/24,127.0.0.0/8" }, "echo inside"), "inside"},
	} {
		if !strings.Contains(tt.got, tt.want) {
			t.Errorf("%s: %q, want %q", name, tt.got, tt.want)
		}
	}
	for name, got := range map[string]string{
		"from elsewhere":        run("far", "192.0.2.1", same, "echo inside"),
		"made for elsewhere":    run("near", "192.0.2.1", same, "echo inside"),
		"networks of elsewhere": run("base", "127.0.0.1", func(r *ca.IssueRequest) { r.SourceAddress = "192.0.2.0/24" }, "echo inside"),
	} {
		if strings.Contains(got, "inside") {
			t.Errorf("%s: let in", name)
		}
	}
	if got := run("terminal", "127.0.0.1", same, "-tt", "tty"); !strings.Contains(got, "/dev/") {
		t.Errorf("a terminal that is given: %q", got)
	}
}

// stickSigner logs in by a stick.
type stickSigner struct{ *stick }

func (s stickSigner) PublicKey() ssh.PublicKey { return s.stick.PublicKey }

func (s stickSigner) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) { return s.sign(data), nil }

func (s stickSigner) SignWithAlgorithm(_ io.Reader, data []byte, _ string) (*ssh.Signature, error) {
	return s.sign(data), nil
}

// What a certificate says of touch and verification, a stock sshd holds: it wants the touch unless the certificate lets it be
// left out, and PIN or fingerprint where the certificate asks for it. The security key is one in software.
func TestSecurityKeysAtStockSSHD(t *testing.T) {
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	base := ca.IssuerConfig{CA: "git", Principals: []string{"{account}"}, TTL: "1h"}
	sure, lax := base, base
	sure.VerifyRequired, lax.NoTouchRequired = true, true
	f := newForge(t, map[string]ca.IssuerConfig{"base": base, "sure": sure, "lax": lax})
	f.clock.Store(int64(time.Since(noon).Seconds()))
	s := serve(t, section(t, "Mapping login"), map[string]ssh.PublicKey{"sekisho_ca.pub": f.git.PublicKey()})
	const touched, verified = 0x01, 0x04
	for _, tt := range []struct {
		issuer string
		flags  byte
		in     bool
	}{
		{"base", touched, true}, {"base", 0, false},
		{"sure", touched | verified, true}, {"sure", touched, false}, {"sure", verified, false},
		{"lax", 0, true}, {"lax", touched, true},
	} {
		f.clock.Add(1)
		key := newStick(t, touched|verified)
		cert := f.issued(t, tt.issuer, who.Username, "127.0.0.1", stickSigner{key}, func(*ca.IssueRequest) {})
		key.flags = tt.flags
		signer, err := ssh.NewCertSigner(cert, stickSigner{key})
		if err != nil {
			t.Fatal(err)
		}
		client, err := ssh.Dial("tcp", "127.0.0.1:"+s.port, &ssh.ClientConfig{
			User: s.login, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		})
		if (err == nil) != tt.in {
			t.Errorf("%s with flags %#x: %v", tt.issuer, tt.flags, err)
		}
		if err == nil {
			client.Close()
		}
	}
}

// issued gives a certificate by a configured issuer.
func (f *forge) issued(t *testing.T, issuer, account, address string, signer ssh.Signer, change func(*ca.IssueRequest)) *ssh.Certificate {
	t.Helper()
	r := ca.IssueRequest{
		Issuer: issuer, Key: signer.PublicKey(), Proven: prove(t, signer, issuer, f.now()), ClientAddress: netip.MustParseAddr(address),
		SignIn: &sekisho.SignIn{ID: "sin_a", Identity: sekisho.Identity{Subject: account + "@example.com"}, Created: f.now(), Expires: f.now().Add(time.Hour)},
	}
	change(&r)
	cert, err := f.Issue(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// A stock sshd with git and the documented script lets in whose certificate names an account, and nobody else; hooks learn
// who it is.
func TestGitHosting(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("sshd runs AuthorizedPrincipalsCommand as another user only if it is root")
	}
	without := git
	without.Extensions = nil
	root := git
	root.Principals, root.Extensions = []string{"{account}"}, []string{"login@github.com=root"}
	f := newForge(t, map[string]ca.IssuerConfig{"git": git, "without": without, "other": root})
	f.clock.Store(int64(time.Since(noon).Seconds()))
	c, err := f.CA("git")
	if err != nil {
		t.Fatal(err)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(c.Keys[0].Line))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, section(t, "Git hosting"), map[string]ssh.PublicKey{"git_ca.pub": public}, "User git", "User root")
	repository := s.dir + "/app.git"
	shell := func(dir, path string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_SSH_COMMAND="+strings.Join(s.ssh(path), " "), "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := shell(s.dir, "", "git", "init", "-q", "--bare", repository); err != nil {
		t.Fatal(out)
	}
	s.write(t, repository+"/hooks/pre-receive", "#!/bin/sh\necho \"$GIT_LOGIN\" >> "+s.dir+"/pushed\n", 0o755)
	url := "ssh://root@127.0.0.1:" + s.port + repository
	same := func(*ca.IssueRequest) {}
	identity := func(issuer string) string {
		f.clock.Add(1)
		return s.identity(t, func(signer ssh.Signer) *ssh.Certificate { return f.issued(t, issuer, "Ken", "127.0.0.1", signer, same) })
	}

	ken, work := identity("git"), t.TempDir()
	for _, args := range [][]string{
		{"git", "clone", "-q", url, "app"}, {"git", "-C", "app", "commit", "-q", "--allow-empty", "-m", "first"},
		{"git", "-C", "app", "push", "-q", "origin", "HEAD:main"}, {"git", "clone", "-q", "-b", "main", url, "again"},
	} {
		if out, err := shell(work, ken, args...); err != nil {
			t.Fatalf("%v: %v %s", args, err, out)
		}
	}
	if pushed, err := os.ReadFile(s.dir + "/pushed"); err != nil || string(pushed) != "ken\n" {
		t.Errorf("the hook saw %q, %v", pushed, err)
	}
	if s.lets(t, ken) {
		t.Error("the certificate runs any command")
	}
	for name, path := range map[string]string{
		"without the extension":   identity("without"),
		"with another's account":  identity("other"),
		"without a certificate":   s.identity(t, nil),
		"with a host certificate": s.identity(t, func(signer ssh.Signer) *ssh.Certificate { return hostCertificate(t, f, signer) }),
		"of the user CA": s.identity(t, func(signer ssh.Signer) *ssh.Certificate {
			cert, err := f.People(t.Context(), people(f, signer, "root", sekisho.MapLogin))
			if err != nil {
				t.Fatal(err)
			}
			return cert
		}),
	} {
		if out, err := shell(work, path, "git", "ls-remote", url); err == nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}
