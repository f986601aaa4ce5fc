package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/host"
)

func published(key ssh.Signer, lasts time.Duration) host.PublishedKey {
	return host.PublishedKey{ID: sekisho.NewID("pub"), Key: line(key.PublicKey()) + " a comment", Expires: time.Now().Add(lasts)}
}

// run starts sshd and has it end with the test.
func (s *site) run(t *testing.T) {
	t.Helper()
	s.layout.Reload, s.layout.PIDFile = nil, s.dir+"/sshd.pid"
	s.make(t)
	ctx, cancel := context.WithCancel(context.Background())
	log, err := os.Create(s.dir + "/sshd.log")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, sshd, "-D", "-e", "-f", s.layout.SSHDConfig)
	cmd.Env = append(os.Environ(), "TZ=Asia/Tokyo") // what is said in UTC must be understood anywhere
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
	s.await(t, "plain")
}

func (s *site) dial(login string, key ssh.Signer) (*ssh.Client, error) {
	check, algorithms := s.hostKeyCheck("plain")
	return ssh.Dial("tcp", s.address, &ssh.ClientConfig{
		User: login, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: check, HostKeyAlgorithms: algorithms,
		Timeout: 20 * time.Second,
	})
}

// enters reports whether the key alone gets a command run as the login.
func (s *site) enters(login string, key ssh.Signer) bool {
	client, err := s.dial(login, key)
	if err != nil {
		return false
	}
	defer client.Close()
	run, err := client.NewSession()
	if err != nil {
		return false
	}
	defer run.Close()
	out, err := run.Output("echo in")
	return err == nil && string(out) == "in\n"
}

// eventuallyEnters waits for sshd to have been reloaded.
func (s *site) eventuallyEnters(t *testing.T, login string, key ssh.Signer, want bool) {
	t.Helper()
	for bound := time.Now().Add(20 * time.Second); s.enters(login, key) != want; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(bound) {
			t.Fatalf("the key gets in: %v, want %v", !want, want)
		}
	}
}

func TestPublishedKeysLogIn(t *testing.T) {
	s := newSite(t, "")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s.run(t)
	state := s.state(me.Username)
	s.apply(t, state, true)
	good, other, late, elsewhere, near := signer(t), signer(t), signer(t), signer(t), signer(t)
	if s.enters(me.Username, good) {
		t.Fatal("a key that was never published gets in")
	}
	far := published(elsewhere, time.Hour)
	far.From = []string{"192.0.2.0/24", "2001:db8::1/128"}
	here := published(near, time.Hour)
	here.From, here.Allow = []string{"192.0.2.0/24", "127.0.0.9/8"}, []string{"pty"}
	state.Published = map[string][]host.PublishedKey{
		me.Username: {published(late, -time.Second), far, here, published(good, time.Hour)}, "somebody": {published(other, time.Hour)},
	}
	s.apply(t, state, true)
	s.eventuallyEnters(t, me.Username, good, true)
	s.apply(t, state, false)
	for name, key := range map[string]ssh.Signer{"expired": late, "another login's": other, "another network's": elsewhere} {
		if s.enters(me.Username, key) {
			t.Errorf("a key that is %s gets in", name)
		}
	}
	if !s.enters(me.Username, near) {
		t.Error("a key that may come from here does not get in")
	}
	if err := s.login(t, me.Username, s.certificate(ssh.UserCert, me.Username+":db1"), "plain"); err != nil {
		t.Errorf("a certificate beside published keys: %v", err)
	}
	// A withdrawn key is out as soon as its line is, and without a reload.
	state.Published = map[string][]host.PublishedKey{me.Username: {here}}
	s.apply(t, state, true)
	if s.enters(me.Username, good) || !s.enters(me.Username, near) {
		t.Error("the withdrawn key gets in, or the other one does not")
	}
	state.Published = nil
	s.apply(t, state, true)
	if s.enters(me.Username, near) {
		t.Error("the last withdrawn key gets in")
	}
	if tree := s.tree(t); strings.Contains(tree["/conf.d/50-sekisho.conf"], "find") {
		t.Errorf("sshd still asks for published keys:\n%s", tree["/conf.d/50-sekisho.conf"])
	}
}

// Nothing runs any more but sshd, and the key's time comes.
func TestPublishedKeyExpiresByItself(t *testing.T) {
	s := newSite(t, "")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s.run(t)
	key, state := signer(t), s.state(me.Username)
	state.Published = map[string][]host.PublishedKey{me.Username: {published(key, 4*time.Second)}}
	s.apply(t, state, true)
	s.eventuallyEnters(t, me.Username, key, true)
	s.eventuallyEnters(t, me.Username, key, false)
	if lines := s.tree(t)["/sekisho/published/"+me.Username]; !strings.Contains(lines, "expiry-time") {
		t.Errorf("the line is not there any more: %q", lines)
	}
}

func TestPublishedKeysAreRestricted(t *testing.T) {
	s := newSite(t, "")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s.run(t)
	plain, forwards, pty := signer(t), signer(t), signer(t)
	list := []host.PublishedKey{published(plain, time.Hour), published(forwards, time.Hour), published(pty, time.Hour)}
	list[1].Allow, list[2].Allow = []string{"port-forwarding"}, []string{"pty"}
	state := s.state(me.Username)
	state.Published = map[string][]host.PublishedKey{me.Username: list}
	s.apply(t, state, true)
	s.eventuallyEnters(t, me.Username, plain, true)
	for _, test := range []struct {
		name           string
		key            ssh.Signer
		forwards, ptys bool
	}{{"plain", plain, false, false}, {"forwards", forwards, true, false}, {"pty", pty, false, true}} {
		client, err := s.dial(me.Username, test.key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.Dial("tcp", s.address)
		if (err == nil) != test.forwards {
			t.Errorf("%s: forward: %v", test.name, err)
		}
		if c != nil {
			c.Close()
		}
		run, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if err := run.RequestPty("vt100", 24, 80, nil); (err == nil) != test.ptys {
			t.Errorf("%s: pty: %v", test.name, err)
		}
		if ok, _ := run.SendRequest("auth-agent-req@openssh.com", true, nil); ok {
			t.Errorf("%s: agent forwarded", test.name)
		}
		client.Close()
	}
}

// What control, or who took it over, must not get into the lines. The rest stays in step.
func TestHostilePublishedKeysAreRefused(t *testing.T) {
	s := newSite(t, "")
	s.apply(t, s.state("alice"), true)
	good := published(signer(t), time.Hour)
	cert := line(s.certify(t, s.userCA.PublicKey(), ssh.UserCert, "x"))
	change := func(f func(*host.PublishedKey)) map[string][]host.PublishedKey {
		k := good
		f(&k)
		return map[string][]host.PublishedKey{"alice": {good, k}}
	}
	many := make([]host.PublishedKey, 1001)
	for i := range many {
		many[i] = good
	}
	for name, published := range map[string]map[string][]host.PublishedKey{
		"second line":      change(func(k *host.PublishedKey) { k.Key += "\n" + k.Key }),
		"options":          change(func(k *host.PublishedKey) { k.Key = `command="sh" ` + k.Key }),
		"CA marker":        change(func(k *host.PublishedKey) { k.Key = "cert-authority " + k.Key }),
		"host marker":      change(func(k *host.PublishedKey) { k.Key = "@cert-authority * " + k.Key }),
		"certificate":      change(func(k *host.PublishedKey) { k.Key = cert }),
		"NUL":              change(func(k *host.PublishedKey) { k.Key += "\x00" }),
		"no time":          change(func(k *host.PublishedKey) { k.Expires = time.Time{} }),
		"seconds of 1970":  change(func(k *host.PublishedKey) { k.Expires = time.Unix(0, 0) }),
		"no ID":            change(func(k *host.PublishedKey) { k.ID = "" }),
		"ID with a line":   change(func(k *host.PublishedKey) { k.ID = good.ID + "\nssh-ed25519" }),
		"word":             change(func(k *host.PublishedKey) { k.Allow = []string{"cert-authority"} }),
		"word with a rest": change(func(k *host.PublishedKey) { k.Allow = []string{`pty,command="x"`} }),
		"network":          change(func(k *host.PublishedKey) { k.From = []string{"*"} }),
		"network's rest":   change(func(k *host.PublishedKey) { k.From = []string{`10.0.0.0/8",command="x`} }),
		"network's zone":   change(func(k *host.PublishedKey) { k.From = []string{`fe80::1%"/64`} }),
		"networks":         change(func(k *host.PublishedKey) { k.From = strings.Split(strings.Repeat("10.0.0.0/8 ", 17), " ")[:17] }),
		"path":             {"../principals/alice": {good}},
		"empty login":      {"": {good}},
		"too many":         {"alice": many},
	} {
		state := s.state("bob")
		state.Published = published
		_, err := s.host.Apply(t.Context(), state)
		if !errors.Is(err, host.ErrNotPublished) {
			t.Errorf("%s: error %v", name, err)
		}
		tree := s.tree(t)
		if tree["/sekisho/principals/bob"] == "" || strings.Contains(tree["/conf.d/50-sekisho.conf"], "find") {
			t.Errorf("%s: %v", name, tree)
		}
		for path := range tree {
			if strings.Contains(path, "/published/") {
				t.Errorf("%s: %s is there", name, path)
			}
		}
		if _, err := s.host.Apply(t.Context(), s.state("alice")); err != nil {
			t.Fatal(err)
		}
	}
}

// Where sshd could not get the keys, it is said, and the rest is in step.
func TestPublishedKeysCannotBeServed(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, s *site)
		want  string
	}{
		"no find": {func(t *testing.T, s *site) { s.layout.Find = "/usr/bin/there-is-no-find" }, "install findutils"},
		"anybody's find": {func(t *testing.T, s *site) {
			s.layout.Find = s.dir + "/find"
			write(t, s.layout.Find, "#!/bin/sh\n")
			if err := os.Chmod(s.layout.Find, 0o777); err != nil {
				t.Fatal(err)
			}
		}, "written by root alone"},
		"old sshd": {func(t *testing.T, s *site) {
			s.layout.SSHD = s.dir + "/sshd"
			write(t, s.layout.SSHD, "#!/bin/sh\ncase $1 in -V) echo 'unknown option -- V\nOpenSSH_8.9p1 Ubuntu' >&2; exit 1;; esac\nexec "+sshd+" \"$@\"\n")
			if err := os.Chmod(s.layout.SSHD, 0o755); err != nil {
				t.Fatal(err)
			}
		}, "OpenSSH_8.9"},
		"link in the way": {func(t *testing.T, s *site) {
			if err := os.MkdirAll(s.layout.Dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("principals", s.layout.Dir+"/published"); err != nil {
				t.Fatal(err)
			}
		}, "in the way"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "")
			test.spoil(t, s)
			s.make(t)
			state := s.state("alice")
			state.Published = map[string][]host.PublishedKey{"alice": {published(signer(t), time.Hour)}}
			_, err := s.host.Apply(t.Context(), state)
			if !errors.Is(err, host.ErrNotPublished) || !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if tree := s.tree(t); tree["/sekisho/principals/alice"] == "" || strings.Contains(tree["/conf.d/50-sekisho.conf"], "-exec") {
				t.Errorf("%v", tree)
			}
		})
	}
}

// A folder that only root may search is none that sshd's helper gets through.
func TestPublishedKeysUnreadable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("sshd reads as whoever runs it")
	}
	s := newSite(t, "")
	if err := os.Chmod(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	state := s.state("alice")
	state.Published = map[string][]host.PublishedKey{"alice": {published(signer(t), time.Hour)}}
	if _, err := s.host.Apply(t.Context(), state); !errors.Is(err, host.ErrNotPublished) || !strings.Contains(err.Error(), "nobody cannot read") {
		t.Errorf("error %v", err)
	}
}

// A key that was withdrawn stays so where sshd takes nothing else of the new state.
func TestWithdrawnIsNotUndone(t *testing.T) {
	s := newSite(t, "")
	state := s.state("alice")
	state.Published = map[string][]host.PublishedKey{"alice": {published(signer(t), time.Hour)}}
	s.apply(t, state, true)
	write(t, s.layout.SSHDConfig, "PasswordAuthentication yes\n"+read(t, s.layout.SSHDConfig))
	if _, err := s.host.Apply(t.Context(), s.state("alice")); err == nil || errors.Is(err, host.ErrNotPublished) {
		t.Errorf("error %v", err)
	}
	if f, err := os.Open(s.layout.Dir + "/published/alice"); err == nil {
		b, _ := io.ReadAll(f)
		f.Close()
		t.Errorf("it came back: %s", b)
	}
}

// Whatever control says of a key, sshd reads one line of it: that key, with the options that are ours, or none.
func FuzzPublishedKey(f *testing.F) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJKBV3Ax0ak4+0Wm7mN0Fp1hYt2sBIVaQrRcyJgA4yTc"
	id := sekisho.NewID("pub")
	f.Add(id, key, int64(1800000000), "pty", "192.0.2.0/24")
	f.Add(id, key+" a comment", int64(0), "", "")
	f.Add(id+"\nssh-ed25519", `command="sh" `+key, int64(-1<<62), `pty,command="x"`, `10.0.0.0/8",command="x`)
	f.Add(id, key+"\n"+key, int64(1<<62), "cert-authority", "fe80::1%\"/64")
	f.Add(id, "cert-authority "+key, int64(253402300800), "no-touch-required", "::ffff:1.2.3.4/100")
	f.Fuzz(func(t *testing.T, id, key string, expires int64, allow, from string) {
		k := host.PublishedKey{ID: id, Key: key, Expires: time.Unix(expires, 0)}
		if allow != "" {
			k.Allow = []string{allow}
		}
		if from != "" {
			k.From = []string{from}
		}
		line, err := k.Line()
		if err != nil {
			return
		}
		if strings.ContainsAny(line, "\n\r\x00") {
			t.Fatalf("more than one line: %q", line)
		}
		parsed, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || len(rest) > 0 || comment != id {
			t.Fatalf("%q: %q, %q, %v", line, comment, rest, err)
		}
		want := 2 + len(k.Allow) + len(k.From)
		if len(options) != want || !strings.HasPrefix(options[0], `expiry-time="2`) && len(options[0]) != len(`expiry-time="20261123063000Z"`) || options[1] != "restrict" {
			t.Errorf("options %q", options)
		}
		if _, cert := parsed.(*ssh.Certificate); cert {
			t.Error("a certificate")
		}
	})
}
