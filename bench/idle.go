package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// idle measures what a recorded session that nobody types in keeps: N of them through the SSH port, each with a
// terminal and one key echoed, then left alone.
func idle(ctx context.Context, s *street, p plan) error {
	p = p.or(plan{n: 300})
	const rest = 15 * time.Second
	config, err := s.portClient(ctx)
	if err != nil {
		return err
	}
	pids := s.house.pids()
	daemon, connector := pids[0], pids[2]
	one, err := s.openIdle(ctx, config) // what only the first one costs
	if err != nil {
		return err
	}
	one.Close()
	time.Sleep(2 * time.Second)
	used := cpuOf(pids[:1])
	time.Sleep(rest)
	alone := cpuOf(pids[:1]) - used // what the house does by itself
	_, before := memoryOf(daemon)
	_, linkBefore := memoryOf(connector)
	used = cpuOf(pids[:1])
	open, err := s.openMany(ctx, config, p.n)
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	if err != nil {
		return err
	}
	opening := cpuOf(pids[:1]) - used
	time.Sleep(5 * time.Second)
	used = cpuOf(pids[:1])
	time.Sleep(rest)
	resting := max(cpuOf(pids[:1])-used-alone, 0)
	rss, after := memoryOf(daemon)
	_, linkAfter := memoryOf(connector)
	n := float64(p.n)
	table(fmt.Sprintf("Idle recorded sessions, %d at once, SSH port, terminal, one key echoed", p.n),
		"sekishod PSS KiB each", "connector PSS KiB each", "sekishod RSS MiB", "CPU ms to open one", "idle CPU ms/s for 1,000")
	row(f("%.0f", float64(after-before)/n), f("%.0f", float64(linkAfter-linkBefore)/n), f("%.0f", float64(rss)/1024),
		f("%.1f", ms(opening)/n), f("%.2f", ms(resting)/rest.Seconds()/n*1000))
	return nil
}

// portClient logs in at the SSH port as mei to db1.
func (s *street) portClient(ctx context.Context) (*ssh.ClientConfig, error) {
	path, err := s.mei.certify(ctx, "db1", s.house.Login, s.dir+"/idle-db1")
	if err != nil {
		return nil, err
	}
	private, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		return nil, err
	}
	line, err := os.ReadFile(path + "-cert.pub")
	if err != nil {
		return nil, err
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return nil, err
	}
	signer, err = ssh.NewCertSigner(public.(*ssh.Certificate), signer)
	if err != nil {
		return nil, err
	}
	return &ssh.ClientConfig{
		User: s.house.Login + "%db1", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, Timeout: 30 * time.Second,
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // our own house on loopback
		Config:          ssh.Config{KeyExchanges: []string{ssh.KeyExchangeCurve25519}},
	}, nil
}

// openMany opens n sessions, a few at a time.
func (s *street) openMany(ctx context.Context, config *ssh.ClientConfig, n int) ([]*ssh.Client, error) {
	var mu sync.Mutex
	var open []*ssh.Client
	var first error
	var all sync.WaitGroup
	places := make(chan struct{}, 8)
	for range n {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			c, err := s.openIdle(ctx, config)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				first = err
				return
			}
			open = append(open, c)
		})
	}
	all.Wait()
	return open, first
}

// openIdle opens one session and sees one key come back.
func (s *street) openIdle(_ context.Context, config *ssh.ClientConfig) (*ssh.Client, error) {
	client, err := ssh.Dial("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(s.house.SSHPort)), config)
	if err != nil {
		return nil, err
	}
	session, err := client.NewSession()
	if err == nil {
		err = session.RequestPty("xterm", 24, 80, ssh.TerminalModes{})
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	in, _ := session.StdinPipe()
	out, _ := session.StdoutPipe()
	err = session.Start("exec cat")
	if err == nil {
		_, err = in.Write([]byte{'x'})
	}
	if err == nil {
		_, err = io.ReadFull(out, make([]byte, 1))
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}
