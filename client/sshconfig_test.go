package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/client"
)

func TestSSHConfigAtHome(t *testing.T) {
	user := t.TempDir()
	t.Setenv("HOME", user)
	t.Setenv("SEKISHO_HOME", "")
	got, err := mustHome(t, "").SSHConfig(client.SSHConfig{Patterns: []string{"web1", "*.test.internal"}})
	if err != nil {
		t.Fatal(err)
	}
	want := `Host web1 *.test.internal
  ProxyCommand sekisho connect --login '%r' '%h' '%p'
  IdentityAgent ~/.sekisho/run/%r@%h.sock
  UserKnownHostsFile ~/.sekisho/known_hosts
  RevokedHostKeys ~/.sekisho/revoked_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  IdentityFile none
  IdentitiesOnly no
  PreferredAuthentications publickey
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// With the SSH port open there are lines for it, and lines that go through it.
func TestSSHConfigGateway(t *testing.T) {
	user := t.TempDir()
	t.Setenv("HOME", user)
	t.Setenv("SEKISHO_HOME", "")
	got, err := mustHome(t, "").SSHConfig(client.SSHConfig{
		Patterns: []string{"*.test.internal"}, Gateway: "gw.test.internal:2222", Jump: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	trust := `  UserKnownHostsFile ~/.sekisho/known_hosts
  RevokedHostKeys ~/.sekisho/revoked_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  IdentityFile none
  IdentitiesOnly no
  PreferredAuthentications publickey,keyboard-interactive
`
	want := "Host sekisho-gateway gw.test.internal\n  HostName gw.test.internal\n  Port 2222\n" + trust +
		"\nHost *.test.internal !gw.test.internal\n  ProxyJump sekisho-gateway\n" + trust
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for gateway, line := range map[string]string{
		"127.0.0.1:2222": "Host sekisho-gateway\n  HostName 127.0.0.1\n", "[2001:db8::1]:22": "Host sekisho-gateway\n  HostName 2001:db8::1\n",
	} {
		got, err := mustHome(t, "").SSHConfig(client.SSHConfig{Patterns: []string{"web1"}, Gateway: gateway})
		if err != nil || !strings.HasPrefix(got, line) || !strings.Contains(got, "\nHost web1\n  ProxyCommand") {
			t.Errorf("%s: %v\n%s", gateway, err, got)
		}
	}
	if _, err := mustHome(t, "").SSHConfig(client.SSHConfig{Patterns: []string{"web1"}, Jump: true}); err == nil {
		t.Error("lines that jump through a port that is closed")
	}
}

// ssh itself says how it reads a folder with a space and a percent sign.
func TestSSHConfigQuotes(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Fatal("no ssh here: run dev/prepare.sh")
	}
	dir := filepath.Join(t.TempDir(), "my 100% home")
	block, err := mustHome(t, dir).SSHConfig(client.SSHConfig{Program: "/opt/my tools/sekisho", Patterns: []string{"web1"}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh", "-G", "-F", file, "ken@web1").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	twice := strings.ReplaceAll(dir, "%", "%%") // -G expands the tokens of all but the command
	for _, want := range []string{
		"proxycommand '/opt/my tools/sekisho' --home '" + twice + "' connect --login '%r' '%h' '%p'",
		"identityagent " + dir + "/run/ken@web1.sock",
		"userknownhostsfile " + dir + "/known_hosts",
	} {
		if !strings.Contains(string(out), want+"\n") {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestSSHConfigRefuses(t *testing.T) {
	h := mustHome(t, filepath.Join(t.TempDir(), "home"))
	for _, patterns := range [][]string{nil, {""}, {"a b"}, {"a\nProxyCommand x"}, {"-oX"}, {`"a"`}, {strings.Repeat("a", 300)}} {
		if got, err := h.SSHConfig(client.SSHConfig{Patterns: patterns}); err == nil {
			t.Errorf("%q was taken:\n%s", patterns, got)
		}
	}
	if got, err := h.SSHConfig(client.SSHConfig{Program: "/tmp/a'b/sekisho", Patterns: []string{"web1"}}); err == nil {
		t.Errorf("a quote was taken:\n%s", got)
	}
}

func TestInstall(t *testing.T) {
	for _, c := range []struct {
		name, before, after string
		changed             bool
	}{
		{"nothing yet", "", "INCLUDE\n", true},
		{"others", "Host a\n  User b\n", "INCLUDE\n\nHost a\n  User b\n", true},
		{"there", "# mine\nINCLUDE\nHost a\n", "# mine\nINCLUDE\nHost a\n", false},
		{"there without line end", "INCLUDE", "INCLUDE", false},
		{"inside a Host", "Host=a\n  INCLUDE\n", "INCLUDE\n\nHost=a\n  INCLUDE\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := mustHome(t, filepath.Join(t.TempDir(), "home"))
			sshDir := filepath.Join(t.TempDir(), ".ssh")
			config := filepath.Join(sshDir, "config")
			fill := func(s string) string { return strings.ReplaceAll(s, "INCLUDE", "Include "+h.Path("ssh_config")) }
			if _, err := h.InstallSSHConfig("Host x\n", filepath.Join(t.TempDir(), ".ssh")); err != nil {
				t.Fatal(err)
			}
			if c.before != "" {
				os.MkdirAll(sshDir, 0o750)
				if err := os.WriteFile(config, []byte(fill(c.before)), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			for _, changed := range []bool{c.changed, false} {
				got, err := h.InstallSSHConfig("Host x\n", sshDir)
				if err != nil || got != changed {
					t.Errorf("changed %v %v, want %v", got, err, changed)
				}
				text, _ := os.ReadFile(config)
				if d := cmp.Diff(fill(c.after), string(text)); d != "" {
					t.Error(d)
				}
			}
			info, err := os.Stat(config)
			if err != nil {
				t.Fatal(err)
			}
			if c.before != "" && info.Mode().Perm() != 0o640 || c.before == "" && info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v", info.Mode())
			}
			if left, _ := filepath.Glob(filepath.Join(sshDir, ".new-*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestInstallLeavesLinksAlone(t *testing.T) {
	h := mustHome(t, filepath.Join(t.TempDir(), "home"))
	sshDir := t.TempDir()
	dotfiles := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(dotfiles, []byte("Host a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dotfiles, filepath.Join(sshDir, "config")); err != nil {
		t.Fatal(err)
	}
	_, err := h.InstallSSHConfig("Host x\n", sshDir)
	if got := said(t, err); !strings.Contains(got, "Include "+h.Path("ssh_config")) {
		t.Error(got)
	}
	if text, _ := os.ReadFile(dotfiles); string(text) != "Host a\n" {
		t.Errorf("changed to %q", text)
	}
}
