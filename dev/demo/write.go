package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// write lays out the folder: people's homes and passwords, policies, and the files that need nothing running.
func (h *house) write() error {
	for _, dir := range []string{"log", "sekishod/policies", "people", "idp"} {
		if err := os.MkdirAll(filepath.Join(h.Dir, dir), 0o755); err != nil {
			return err
		}
	}
	for name, p := range h.People {
		p.Password = name + "-demo"
		p.Home = filepath.Join(h.Dir, "people", name)
		p.SSHConfig = filepath.Join(h.Dir, "people", name+".ssh_config")
		p.Browser = filepath.Join(h.Dir, "people", "browser-"+name)
		if err := os.MkdirAll(p.Home, 0o700); err != nil {
			return err
		}
		script := fmt.Sprintf("#!/bin/sh\nexec '%s/demo' -demo '%s/demo.json' -person %s -fill \"$1\"\n", h.Bin, h.Dir, name)
		if err := os.WriteFile(p.Browser, []byte(script), 0o700); err != nil {
			return err
		}
	}
	for name, t := range h.Targets {
		t.Name, t.Login = name, h.Login
		t.Dir = filepath.Join(h.Dir, name)
		t.Address = net.JoinHostPort("127.0.0.1", fmt.Sprint(t.Port))
		t.SSHDConfig = filepath.Join(t.Dir, "sshd_config")
		t.SSHDLog = filepath.Join(h.Dir, "log", "sshd-"+name+".log")
		t.HostKey = filepath.Join(t.Dir, "ssh_host_ed25519_key")
		t.ConnectorConfig = filepath.Join(t.Dir, "connector.yaml")
	}
	return os.WriteFile(filepath.Join(h.Policies, "demo.cedar"), []byte(policies), 0o644)
}

const policies = `// The demo's policies. Change them while it runs: they are taken over within a second.

@id("everyone-dev")
permit (principal, action == Action::"connect", resource)
when { resource.labels.contains("env:dev") && resource.logins.contains(context.login) };

@id("sre-prod")
@audit("strict")
@ttl("2m")
permit (principal in Group::"sre", action == Action::"connect", resource)
when { resource.labels.contains("env:prod") && resource.logins.contains(context.login) };

@id("leads-look")
permit (principal in Group::"leads", action in [Action::"readRecordings", Action::"readAudit"], resource);

@id("sre-look")
permit (principal in Group::"sre", action in [Action::"readRecordings", Action::"readAudit"], resource);
`

func (h *house) startIdP(ctx context.Context) error {
	secret := filepath.Join(h.Dir, "idp", "client-secret")
	if err := os.WriteFile(secret, []byte("demo-client-secret-"+filepath.Base(h.Dir)), 0o600); err != nil {
		return err
	}
	args := []string{filepath.Join(h.Bin, "idp"), "-listen", fmt.Sprintf("127.0.0.1:%d", h.IdPPort),
		"-client-id", "sekisho", "-client-secret-file", secret, "-redirect", h.URL + "/login/callback"}
	for _, name := range []string{"mei", "ken", "hana"} {
		p := h.People[name]
		args = append(args, "-user", strings.Join([]string{p.Email, p.Password, p.Group}, ":"))
	}
	if _, err := h.run("idp", args...); err != nil {
		return err
	}
	return await(ctx, "the IdP does not answer", func() error { return get(nil, h.Issuer+"/.well-known/openid-configuration") })
}

func (h *house) startControl(ctx context.Context) error {
	if _, err := os.Stat(h.Auditor.PrivateKey); err != nil {
		if _, err := h.tool(ctx, nil, nil, "sekisho", "keys", "generate", "--no-passphrase", "--label", "demo-auditor", "-o", h.Auditor.PrivateKey); err != nil {
			return err
		}
	}
	recipient, err := os.ReadFile(h.Auditor.PublicKey)
	if err != nil {
		return err
	}
	config := fmt.Sprintf(`name: Demo Ltd
url: %s
listen: 127.0.0.1:%d
ssh_listen: 127.0.0.1:%d
metrics_listen: 127.0.0.1:%d
data: data
policies: policies
oidc:
  issuer: %s
  client_id: sekisho
  client_secret_file: %s
sign_in:
  lifetime: 8h
domain: demo.internal
ssh_hosts: [web1, db1, "*.demo.internal"]
recording:
  recipients:
    - %s
`, h.URL, h.Port, h.SSHPort, h.MetricsPort, h.Issuer, filepath.Join(h.Dir, "idp", "client-secret"), strings.TrimSpace(string(recipient)))
	if file := os.Getenv("DEMO_CONFIG"); file != "" {
		more, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		config += string(more)
	}
	if err := os.WriteFile(h.Config, []byte(config), 0o600); err != nil {
		return err
	}
	if _, err := h.run("sekishod", filepath.Join(h.Bin, "sekishod"), "--config", h.Config); err != nil {
		return err
	}
	return await(ctx, "sekishod does not answer (see log/sekishod.log)", func() error {
		client, err := h.client()
		if err != nil {
			return err
		}
		return get(client, h.URL+"/healthz")
	})
}

func (h *house) startTarget(ctx context.Context, t *target) error {
	if err := os.MkdirAll(t.Dir, 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(t.HostKey); err != nil {
		if err := command(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", t.Name, "-f", t.HostKey); err != nil {
			return err
		}
	}
	if err := h.writeTarget(t); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(t.Dir, "connector", "connector.json")); err != nil {
		if err := h.join(ctx, t); err != nil {
			return err
		}
	}
	if _, err := h.run("sshd-"+t.Name, h.sshd, "-D", "-f", t.SSHDConfig, "-E", t.SSHDLog); err != nil {
		return err
	}
	_, err := h.run("connector-"+t.Name, filepath.Join(h.Bin, "sekisho-connector"), "--config", t.ConnectorConfig)
	return err
}

func (h *house) writeTarget(t *target) error {
	dropIn := filepath.Join(t.Dir, "sekisho.conf")
	if _, err := os.Stat(dropIn); err != nil {
		if err := os.WriteFile(dropIn, nil, 0o644); err != nil {
			return err
		}
	}
	// A home of the target's own: what the shells here read and write is none of the user's.
	home := filepath.Join(t.Dir, "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	pid := filepath.Join(t.Dir, "sshd.pid")
	sshd := fmt.Sprintf(`Include %s
ListenAddress %s
HostKey %s
PidFile %s
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile none
PrintMotd no
PrintLastLog no
AcceptEnv LANG LC_*
SetEnv "HOME=%s"
LogLevel VERBOSE
MaxStartups 200
MaxSessions 100
X11Forwarding yes
Subsystem sftp internal-sftp
`, dropIn, t.Address, t.HostKey, pid, home)
	if err := os.WriteFile(t.SSHDConfig, []byte(sshd), 0o644); err != nil {
		return err
	}
	connector := fmt.Sprintf(`control: %s
ca_file: %s
data: %s
targets:
  - name: %s
    address: %s
    sshd:
      config: %s
      drop_in: %s
      dir: %s
      host_key: %s.pub
      pid_file: %s
`, h.URL, h.CAFile, filepath.Join(t.Dir, "connector"), t.Name, t.Address, t.SSHDConfig, dropIn, filepath.Join(t.Dir, "sekisho"), t.HostKey, pid)
	return os.WriteFile(t.ConnectorConfig, []byte(connector), 0o600)
}

// join makes the target known, and redeems the one-time token that comes of it.
func (h *house) join(ctx context.Context, t *target) error {
	args := []string{"target", "add", "--config", h.Config, t.Name, "--login", t.Login}
	for _, l := range t.Labels {
		args = append(args, "--label", l)
	}
	if t.Audited {
		args = append(args, "--audited")
	}
	token, err := h.tool(ctx, nil, nil, "sekishod", args...)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := w.WriteString(token); err != nil {
		return err
	}
	w.Close()
	_, err = h.tool(ctx, r, nil, "sekisho-connector", "join", "--config", t.ConnectorConfig, "--token-file", "-")
	return err
}
