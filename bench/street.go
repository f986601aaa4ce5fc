package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"syscall"
	"time"
)

// street is everything that is measured, side by side: the house, an sshd for the direct way, and a bastion.
type street struct {
	dir      string
	memory   string // a folder in memory where there is one
	house    *house
	profiler *profiler
	mei      *person
	direct   hop
	bastion  hop
	keeper   *place // starts what must end with us
	stopping []func()
}

// openStreet starts it all from the programs in bin.
func openStreet(ctx context.Context, bin string) (*street, error) {
	if bin == "" {
		return nil, errors.New("BENCH_BIN must name the folder of the built programs; bench/run.sh does")
	}
	s := &street{}
	if err := s.open(ctx, bin); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *street) open(ctx context.Context, bin string) (err error) {
	if s.dir, err = os.MkdirTemp("", "sekisho-bench-"); err != nil {
		return err
	}
	s.stopping = append(s.stopping, func() { os.RemoveAll(s.dir) })
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return err
	}
	if s.memory, err = os.MkdirTemp("/dev/shm", "sekisho-bench-"); err != nil {
		s.memory = s.dir
	}
	s.stopping = append(s.stopping, func() { os.RemoveAll(s.memory) })
	if s.keeper, err = newPlace(func() error { return nil }); err != nil {
		return err
	}
	s.stopping = append(s.stopping, s.keeper.close)
	h, stop, err := startHouse(ctx, bin, s.dir)
	if err != nil {
		return err
	}
	s.house = h
	s.profiler = newProfiler(h)
	s.stopping = append(s.stopping, stop)
	if s.mei, err = signIn(ctx, h, "mei"); err != nil {
		return err
	}
	return s.openPeers(ctx)
}

// close ends everything, the last first.
func (s *street) close() {
	for i := len(s.stopping) - 1; i >= 0; i-- {
		s.stopping[i]()
	}
}

// openPeers starts both sshds, which trust one key, and finds the ways to each.
func (s *street) openPeers(ctx context.Context) error {
	key := filepath.Join(s.dir, "user")
	for _, name := range []string{"user", "host"} {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(s.dir, name)).CombinedOutput(); err != nil {
			return fmt.Errorf("ssh-keygen: %w\n%s", err, out)
		}
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	var ports [2]int
	for i, name := range []string{"direct", "bastion"} {
		pid, port, err := s.sshd(ctx, name)
		if err != nil {
			return err
		}
		ports[i] = port
		h := hop{name: name, args: append([]string{"-F", "none", "-i", key, "-o", fmt.Sprintf("Port=%d", port)}, trusting...), host: me.Username + "@127.0.0.1"}
		if name == "direct" {
			s.direct = h
		} else {
			h.middle.others = []int{pid}
			s.bastion = h
		}
	}
	return s.jump(key, me.Username, ports)
}

// trusting are the options of ssh for peers on loopback.
var trusting = []string{"-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
	"-o", "GlobalKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"}

// jump makes the way through the bastion; its options for both legs stand in a file, as -J asks for.
func (s *street) jump(key, login string, ports [2]int) error {
	config := filepath.Join(s.dir, "jump_config")
	text := fmt.Sprintf(`Host target
  HostName 127.0.0.1
  Port %d
  ProxyJump bastion
Host bastion
  HostName 127.0.0.1
  Port %d
Host *
  User %s
  IdentityFile %s
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  GlobalKnownHostsFile /dev/null
  LogLevel ERROR
`, ports[0], ports[1], login, key)
	s.bastion = hop{name: "ssh -J", args: []string{"-F", config}, host: "target", middle: s.bastion.middle, config: config}
	return os.WriteFile(config, []byte(text), 0o600)
}

// sshd starts one on a free port, like those of the demo's targets except for what it trusts.
func (s *street) sshd(ctx context.Context, name string) (pid, port int, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	config := filepath.Join(s.dir, "sshd_"+name)
	home := filepath.Join(s.dir, "home") // as the demo's targets have: shell start-up files are not measured
	if err := os.MkdirAll(home, 0o755); err != nil {
		return 0, 0, err
	}
	text := fmt.Sprintf(`ListenAddress 127.0.0.1:%d
HostKey %s/host
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile %s/user.pub
PrintMotd no
PrintLastLog no
LogLevel VERBOSE
MaxStartups 200
MaxSessions 100
Subsystem sftp internal-sftp
SetEnv "HOME=%s"
`, port, s.dir, s.dir, home)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return 0, 0, err
	}
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return 0, 0, err
		}
	}
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-f", config, "-E", filepath.Join(s.dir, name+".log"))
	if err := s.keep(cmd); err != nil {
		return 0, 0, err
	}
	err = await(ctx, 10*time.Second, func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return cmd.Process.Pid, port, err
}

// keep starts a process that ends with the street, and with us whatever becomes of us.
func (s *street) keep(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := s.keeper.start(cmd); err != nil {
		return err
	}
	s.stopping = append(s.stopping, func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	return nil
}
