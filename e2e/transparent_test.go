package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Packets on their way to a target are redirected to the gateway, by REDIRECT and by TPROXY, IPv4 and IPv6, and stock ssh
// in another network does not notice. Two network namespaces stand for the two machines; they vanish with their processes.
func TestTransparent(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"ip", "nft", "unshare", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: apt-get install nftables iproute2 util-linux", program)
		}
	}
	apart := []string{"unshare", "--net"}
	if os.Getuid() != 0 {
		apart = []string{"unshare", "--user", "--map-current-user", "--keep-caps", "--net"}
	}
	if out, err := exec.Command(apart[0], append(apart[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("the kernel gives no network namespace, neither to root nor to a user: %s", out)
	}
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	// The test binary is the story's people, too, where it is called by their names.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"street", "mei", "browser"} {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(apart[0], append(apart[1:], filepath.Join(dir, "street"), dir)...)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

// street is the gateway's machine, with a network of its own: a house, and a wire to the machine of mei.
type street struct {
	*house
	dir    string
	client int // process in the client's network
	agent  string
	err    error
}

const (
	gatewayPort = 2223
	clientAt    = "10.99.0.2"
)

// liveInStreet is the program "street DIR".
func liveInStreet() {
	s := &street{dir: os.Args[1]}
	if err := s.live(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (s *street) live() (err error) {
	s.run("ip link set lo up")
	s.run("mkdir %s", s.home())
	if s.err != nil {
		return s.err
	}
	if s.house, err = startHouse(filepath.Join(s.dir, "h")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	end, err := s.layWire()
	if err != nil {
		return err
	}
	defer end()
	s.run("sekishod target add --config %s db1 --login %s --label env:prod --audited --address 10.98.0.0/24 --address fd98::/64", s.Config, s.Login)
	s.run("sekishod target add --config %s web1 --login %s --label env:dev --address 10.98.0.7 --address fd98::7", s.Config, s.Login)
	stop, err := s.signIn()
	if err != nil {
		return err
	}
	defer stop()
	for _, mode := range []string{"redirect", "tproxy"} {
		if err := s.open(mode); err != nil {
			return err
		}
		s.run("nft -f %s", s.rules(mode))
		s.walk()
		if s.err != nil {
			log, _ := os.ReadFile(s.Processes["sekishod"].Log)
			return fmt.Errorf("%s: %w\n%s", mode, s.err, log)
		}
		s.run("nft delete table inet street")
	}
	return s.err
}

// layWire makes the client's network and a wire to it, over which it goes everywhere.
func (s *street) layWire() (end func(), err error) {
	holder := exec.Command("unshare", "--net", "cat")
	life, err := holder.StdinPipe() // it ends when we do
	if err != nil {
		return nil, err
	}
	if err := holder.Start(); err != nil {
		return nil, err
	}
	s.client = holder.Process.Pid
	own, _ := os.Readlink("/proc/self/ns/net")
	for {
		if there, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", s.client)); there != "" && there != own {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.run("ip link add name street0 type veth peer name home0 netns %d", s.client)
	s.run("ip addr add 10.99.0.1/24 dev street0")
	s.run("ip addr add fd99::1/64 dev street0 nodad")
	s.run("ip link set street0 up")
	s.run("@ip link set lo up")
	s.run("@ip addr add %s/24 dev home0", clientAt)
	s.run("@ip addr add fd99::2/64 dev home0 nodad")
	s.run("@ip link set home0 up")
	s.run("@ip route add default via 10.99.0.1")
	s.run("@ip route add default via fd99::1")
	return func() { life.Close(); holder.Wait() }, s.err
}

// signIn gives mei an agent, and the agent a certificate.
func (s *street) signIn() (stop func(), err error) {
	s.agent = filepath.Join(s.dir, "agent.sock")
	agent := exec.Command("ssh-agent", "-D", "-a", s.agent)
	if err := agent.Start(); err != nil {
		return nil, err
	}
	for {
		if _, err := os.Stat(s.agent); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.run("mei login --agent")
	return func() { agent.Process.Signal(syscall.SIGTERM); agent.Wait() }, s.err
}

// open has sekishod listen for redirected connections.
func (s *street) open(mode string) error {
	text, err := os.ReadFile(s.Config)
	if err != nil {
		return err
	}
	kept, _, _ := strings.Cut(string(text), "\ntransparent:")
	changed := fmt.Sprintf("%s\ntransparent:\n  listen: '[::]:%d'\n  mode: %s\n", strings.TrimRight(kept, "\n"), gatewayPort, mode)
	if err := os.WriteFile(s.Config, []byte(changed), 0o600); err != nil {
		return err
	}
	old := s.Processes["sekishod"].PID
	if err := syscall.Kill(old, syscall.SIGTERM); err != nil {
		return err
	}
	for begun := time.Now(); time.Since(begun) < startTime; time.Sleep(50 * time.Millisecond) {
		if s.read(s.file()) != nil || s.Processes["sekishod"].PID == old {
			continue
		}
		list, err := s.as("mei", "ssh", "-o", "BatchMode=yes", "sekisho-gateway", "json").Output()
		if err == nil && bytes.Count(list, []byte(`"linked":true`)) == 2 {
			return nil
		}
	}
	return errors.New("sekishod does not come back")
}

// rules writes what docs/operating.md says.
func (s *street) rules(mode string) string {
	text := `table inet street {
  chain prerouting {
    type nat hook prerouting priority dstnat
    tcp dport 22 ip daddr { 10.98.0.0/24, 10.97.0.1 } redirect to :2223
    tcp dport 22 ip6 daddr fd98::/64 redirect to :2223
  }
}
`
	if mode == "tproxy" {
		text = `table inet street {
  chain prerouting {
    type filter hook prerouting priority mangle
    tcp dport 22 ip daddr { 10.98.0.0/24, 10.97.0.1 } tproxy ip to :2223 meta mark set 1 accept
    tcp dport 22 ip6 daddr fd98::/64 tproxy ip6 to :2223 meta mark set 1 accept
  }
}
`
		s.run("ip rule add fwmark 1 lookup 100")
		s.run("ip route add local default dev lo table 100")
		s.run("ip -6 rule add fwmark 1 lookup 100")
		s.run("ip -6 route add local default dev lo table 100")
	}
	file := filepath.Join(s.dir, mode+".nft")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.err = errors.Join(s.err, err)
	}
	return file
}

// walk goes to targets and to what is none.
func (s *street) walk() {
	for _, c := range []struct{ to, target string }{
		{"10.98.0.5", "db1"}, {"10.98.0.7", "web1"}, {"10.98.0.6", "db1"}, {"fd98::5", "db1"}, {"fd98::7", "web1"},
	} {
		out, err := s.ssh(c.to, "echo here; exit 3")
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(out, "here") {
			s.fail("ssh %s: %v: %s", c.to, err, out)
			return
		}
		started, err := s.events("--kind", "session.started")
		if err != nil {
			s.fail("%v", err)
			return
		}
		ev, from := started[0], clientAt
		if strings.Contains(c.to, ":") {
			from = "fd99::2"
		}
		if ev.Target != c.target || ev.ClientAddress != from || ev.Detail["way"] != "transparent" || ev.Actor != "mei@example.com" {
			s.fail("ssh %s: noted %+v", c.to, ev)
		}
	}
	// A whole file, to be sure that it is not only the first packets.
	if out, err := s.ssh("10.98.0.5", "head -c 20000000 /dev/zero | wc -c; head -c 20000000 /dev/zero"); err != nil || len(out) < 20_000_000 {
		s.fail("20 MB: %d came, %v", len(out), err)
	}
	for to, want := range map[string]string{
		"10.97.0.1":                 "", // says so where a version would be, which stock ssh shows with -v only
		"1web@10.98.0.5":            "This user name leads nowhere",
		s.Login + "%web1@10.98.0.5": "but this connection leads to db1",
		"daemon@10.98.0.5":          "has no login",
		"-p " + strconv.Itoa(gatewayPort) + " 10.99.0.1": "",
	} {
		out, err := s.ssh(to, "echo let in")
		if err == nil || strings.Contains(out, "let in\n") || !strings.Contains(out, want) {
			s.fail("ssh %s: %v: %s", to, err, out)
		}
	}
	out, _ := s.ssh("-v 10.97.0.1", "true")
	if !strings.Contains(out, "No target has the address 10.97.0.1.") {
		s.fail("ssh to no target: %s", out)
	}
}

// ssh is stock ssh on mei's machine, with her agent and the CA that vouches for hosts.
func (s *street) ssh(to, command string) (string, error) {
	words := strings.Fields(to)
	if last := &words[len(words)-1]; !strings.Contains(*last, "@") {
		*last = s.Login + "@" + *last
	}
	args := append([]string{"-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "IdentityFile=none", "-o", "ConnectTimeout=60",
		"-o", "UserKnownHostsFile=" + filepath.Join(s.home(), "mei", "sekisho", "known_hosts")}, words...)
	out, err := s.as("nsenter", append([]string{"--net", "--target", strconv.Itoa(s.client), "ssh"}, append(args, command)...)...).CombinedOutput()
	return string(out), err
}

// home is where the story's people live.
func (s *street) home() string { return filepath.Join(s.dir, "work") }

// as is a program with what mei's programs find around them.
func (s *street) as(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "WORK="+s.home(), "HOUSE="+s.file(), "SSH_AUTH_SOCK="+s.agent)
	return cmd
}

// run runs a line, in the client's network where it begins with @; after the first that fails it does nothing.
func (s *street) run(line string, args ...any) {
	if s.err != nil {
		return
	}
	words := strings.Fields(fmt.Sprintf(line, args...))
	if there, ok := strings.CutPrefix(words[0], "@"); ok {
		words = append([]string{"nsenter", "--net", "--target", strconv.Itoa(s.client), there}, words[1:]...)
	}
	cmd := exec.Command(words[0], words[1:]...)
	if s.house != nil {
		cmd = s.as(words[0], words[1:]...)
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &said
	if err := cmd.Run(); err != nil {
		s.err = fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, &said)
	}
}

func (s *street) fail(format string, args ...any) {
	s.err = errors.Join(s.err, fmt.Errorf(format, args...))
}
