package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// idle measures what a recorded session that nobody types in keeps: N of them through the SSH port to a real sshd, each
// with a terminal and one key echoed, then left alone.
func idle(ctx context.Context, s *street, p plan) error {
	p = p.or(plan{n: 300})
	return s.measureIdle(ctx, "sshd", []string{"db1"}, []int{s.house.pid("connector-db1")}, p.n)
}

// perConnector is how many sessions one connector gets, so that the load of two is measured.
const perConnector = 1000

// crowd is idle with so many sessions that the targets must be light ones.
func crowd(ctx context.Context, s *street, p plan) error {
	p = p.or(plan{n: 2000})
	const files = 4 // of each session in our own process, at most; sekishod has fewer
	var most unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &most); err != nil || most.Cur < uint64(p.n*files+200) {
		return leftOut(fmt.Sprintf("%d open files are allowed, %d sessions need %d (ulimit -n)", most.Cur, p.n, p.n*files+200))
	}
	var targets []string
	var connectors []int
	for i := 0; i*perConnector < p.n; i++ {
		target := fmt.Sprintf("light%d", i+1)
		connector, err := s.lightTarget(ctx, target, "--label", "env:prod", "--audited")
		if err != nil {
			return err
		}
		targets, connectors = append(targets, target), append(connectors, connector)
	}
	return s.measureIdle(ctx, "light targets", targets, connectors, p.n)
}

// measureIdle opens n sessions, to the targets in turn.
func (s *street) measureIdle(ctx context.Context, what string, targets []string, connectors []int, n int) error {
	const rest = 15 * time.Second
	configs, err := s.warmUp(ctx, targets)
	if err != nil {
		return err
	}
	daemon := []int{s.house.pid("sekishod")}
	alone, err := spentIn(ctx, daemon, rest) // what the house does by itself
	if err != nil {
		return err
	}
	_, before := memoryOf(daemon...)
	_, linkBefore := memoryOf(connectors...)
	used := cpuOf(daemon)
	open, err := s.openMany(ctx, configs, n)
	defer func() {
		for _, o := range open {
			o.client.Close()
		}
	}()
	if err != nil {
		return err
	}
	opening := cpuOf(daemon) - used
	time.Sleep(5 * time.Second)
	resting, err := spentIn(ctx, daemon, rest)
	if err != nil {
		return err
	}
	rss, after := memoryOf(daemon...)
	_, linkAfter := memoryOf(connectors...)
	if err := s.profiler.heap("open-" + targets[0]); err != nil {
		return err
	}
	each := 1 / float64(n)
	table(fmt.Sprintf("Idle recorded sessions, %d at once, SSH port to %s, %d connectors, terminal, one key echoed", n, what, len(connectors)),
		"sekishod PSS KiB each", "connector PSS KiB each", "sekishod RSS MiB", "CPU ms to open one", "idle CPU ms/s for 1,000")
	row(f("%.0f", float64(after-before)*each), f("%.0f", float64(linkAfter-linkBefore)*each), f("%.0f", float64(rss)/1024),
		f("%.1f", ms(opening)*each), f("%.2f", ms(max(resting-alone, 0))/rest.Seconds()*each*1000))
	return nil
}

// warmUp opens a session to each target and closes it, so that what only the first one costs is not counted.
func (s *street) warmUp(ctx context.Context, targets []string) (configs []*ssh.ClientConfig, err error) {
	for _, target := range targets {
		config, err := s.portClient(ctx, target)
		if err != nil {
			return nil, err
		}
		one, err := s.openIdle(ctx, config)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", target, err)
		}
		one.client.Close()
		configs = append(configs, config)
	}
	time.Sleep(2 * time.Second)
	return configs, nil
}

// spentIn is the CPU time of processes over a while.
func spentIn(ctx context.Context, pids []int, while time.Duration) (time.Duration, error) {
	before := cpuOf(pids)
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(while):
		return cpuOf(pids) - before, nil
	}
}

// portClient logs in at the SSH port as mei.
func (s *street) portClient(ctx context.Context, target string) (*ssh.ClientConfig, error) {
	return s.clientOf(ctx, s.mei, target, filepath.Join(s.dir, "idle-"+target))
}

// clientOf logs in at the SSH port as somebody, with a key and a certificate that it leaves at path.
func (s *street) clientOf(ctx context.Context, who *person, target, path string) (*ssh.ClientConfig, error) {
	path, err := who.certify(ctx, target, s.house.Login, path)
	if err != nil {
		return nil, err
	}
	signer, err := certifiedKey(path, path+"-cert.pub")
	if err != nil {
		return nil, err
	}
	return &ssh.ClientConfig{
		User: s.house.Login + "%" + target, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, Timeout: 30 * time.Second,
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // our own house on loopback
		Config:          ssh.Config{KeyExchanges: []string{ssh.KeyExchangeCurve25519}},
	}, nil
}

// openMany opens n sessions, a few at a time, with the configurations in turn.
func (s *street) openMany(ctx context.Context, configs []*ssh.ClientConfig, n int) ([]*typist, error) {
	var mu sync.Mutex
	var open []*typist
	var first error
	var all sync.WaitGroup
	places := make(chan struct{}, 8)
	for i := range n {
		places <- struct{}{}
		mu.Lock()
		failed := first != nil
		mu.Unlock()
		if failed || ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-places }()
			o, err := s.openIdle(ctx, configs[i%len(configs)])
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				first = cmp.Or(first, fmt.Errorf("session %d: %w", len(open), err))
				return
			}
			open = append(open, o)
		})
	}
	all.Wait()
	return open, cmp.Or(first, ctx.Err())
}

// openIdle opens one session and sees one key come back.
func (s *street) openIdle(ctx context.Context, config *ssh.ClientConfig) (*typist, error) {
	ctx, cancel := context.WithTimeout(ctx, config.Timeout)
	defer cancel()
	address := net.JoinHostPort("127.0.0.1", fmt.Sprint(s.house.SSHPort))
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	kept := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		conn.Close()
		return nil, err
	}
	o := &typist{client: ssh.NewClient(c, channels, requests)}
	if err := o.begin(); err != nil || !kept() {
		o.client.Close()
		return nil, cmp.Or(err, ctx.Err())
	}
	return o, nil
}
