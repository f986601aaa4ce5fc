package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// light is an SSH server in our own process for sessions by the thousand, each of which would cost a real sshd three
// processes. It trusts what a connector wrote for it, and every session's program gives back what it gets.
type light struct {
	listener net.Listener
	dir      string // as host.Layout.Dir
}

// lightTarget makes such a server a target of the house, added with options, with a connector of its own, and gives the
// connector's pid.
func (s *street) lightTarget(ctx context.Context, name string, target ...string) (connector int, err error) {
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, err
	}
	l := &light{dir: filepath.Join(dir, "sekisho")}
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return 0, err
	}
	s.stopping = append(s.stopping, func() { l.listener.Close() })
	key := filepath.Join(dir, "host_key")
	if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("ssh-keygen: %w\n%s", err, out)
	}
	config, err := s.joinTarget(ctx, name, dir, l.listener.Addr().String(), target)
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(filepath.Join(s.house.Bin, "sekisho-connector"), "--config", config)
	log, err := os.Create(filepath.Join(dir, "connector.log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd.Stderr = log
	if err := s.keep(cmd); err != nil {
		return 0, err
	}
	if err := await(ctx, 20*time.Second, l.trusts); err != nil {
		text, _ := os.ReadFile(log.Name())
		return 0, fmt.Errorf("the connector of %s does not link: %w\n%s", name, err, text)
	}
	server, err := l.config(s.house.Login, key)
	if err != nil {
		return 0, err
	}
	go l.serve(server)
	return cmd.Process.Pid, nil
}

// joinTarget adds a target to the house and lets a connector join for it. What the connector asks of sshd, sshd can
// answer without running.
func (s *street) joinTarget(ctx context.Context, name, dir, address string, options []string) (config string, err error) {
	key, dropIn, sshd := filepath.Join(dir, "host_key"), filepath.Join(dir, "sekisho.conf"), filepath.Join(dir, "sshd_config")
	config = filepath.Join(dir, "connector.yaml")
	text := fmt.Sprintf(`control: %s
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
      reload: ["true"]
`, s.house.URL, s.house.CAFile, filepath.Join(dir, "connector"), name, address, sshd, dropIn, filepath.Join(dir, "sekisho"), key)
	err = errors.Join(os.WriteFile(config, []byte(text), 0o600), os.WriteFile(dropIn, nil, 0o644),
		os.WriteFile(sshd, fmt.Appendf(nil, "Include %s\nHostKey %s\nUsePAM no\nAuthorizedKeysFile none\n", dropIn, key), 0o644))
	if err != nil {
		return "", err
	}
	add := append([]string{"target", "add", "--config", s.house.Config, name, "--login", s.house.Login}, options...)
	token, err := exec.CommandContext(ctx, filepath.Join(s.house.Bin, "sekishod"), add...).Output()
	if err != nil {
		return "", fmt.Errorf("target add: %w", err)
	}
	join := exec.CommandContext(ctx, filepath.Join(s.house.Bin, "sekisho-connector"), "join", "--config", config, "--token-file", "-")
	join.Stdin = bytes.NewReader(token)
	if out, err := join.CombinedOutput(); err != nil {
		return "", fmt.Errorf("join: %w\n%s", err, out)
	}
	return config, nil
}

// trusts says whether the connector has written everything.
func (l *light) trusts() bool {
	_, ca := os.Stat(filepath.Join(l.dir, "trusted_user_ca"))
	_, certificate := os.Stat(filepath.Join(l.dir, "host_certificate"))
	return ca == nil && certificate == nil
}

// config trusts as sshd would: the CA, for the principals of one login.
func (l *light) config(login, key string) (*ssh.ServerConfig, error) {
	authority, err := os.ReadFile(filepath.Join(l.dir, "trusted_user_ca"))
	if err != nil {
		return nil, err
	}
	principals, err := os.ReadFile(filepath.Join(l.dir, "principals", login))
	if err != nil {
		return nil, err
	}
	checker := &ssh.CertChecker{IsUserAuthority: func(ca ssh.PublicKey) bool { return bytes.Contains(authority, ssh.MarshalAuthorizedKey(ca)) }}
	config := &ssh.ServerConfig{PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		certificate, ok := key.(*ssh.Certificate)
		if !ok || meta.User() != login || !checker.IsUserAuthority(certificate.SignatureKey) {
			return nil, errors.New("no certificate of the house for this login")
		}
		return nil, checker.CheckCert(strings.Fields(string(principals))[0], certificate)
	}}
	host, err := certifiedKey(key, filepath.Join(l.dir, "host_certificate"))
	if err != nil {
		return nil, err
	}
	config.AddHostKey(host)
	return config, nil
}

// certifiedKey reads a private key and its certificate.
func certifiedKey(key, certificate string) (ssh.Signer, error) {
	private, err := os.ReadFile(key)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		return nil, err
	}
	line, err := os.ReadFile(certificate)
	if err != nil {
		return nil, err
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return nil, err
	}
	return ssh.NewCertSigner(public.(*ssh.Certificate), signer)
}

func (l *light) serve(config *ssh.ServerConfig) {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		go l.welcome(conn, config)
	}
}

func (l *light) welcome(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, asked, err := offered.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range asked {
				r.Reply(true, nil)
			}
		}()
		go func() {
			io.CopyBuffer(struct{ io.Writer }{channel}, struct{ io.Reader }{channel}, make([]byte, 256))
			channel.Close()
		}()
	}
}
