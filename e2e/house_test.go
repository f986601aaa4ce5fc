package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// house is a demo that runs, as its demo.json tells it.
type house struct {
	Dir        string `json:"dir"`
	Bin        string `json:"bin"`
	URL        string `json:"url"`
	CAFile     string `json:"ca_file"`
	Port       int    `json:"port"`
	SSHPort    int    `json:"ssh_port"`
	Issuer     string `json:"issuer"`
	IdPPort    int    `json:"idp_port"`
	Login      string `json:"login"`
	Config     string `json:"config"`
	Data       string `json:"data"`
	Database   string `json:"database"`
	Recordings string `json:"recordings"`
	Policies   string `json:"policies"`
	People     map[string]struct {
		Email, Password, Group, Home, Browser string
		SSHConfig                             string `json:"ssh_config"`
	} `json:"people"`
	Targets map[string]struct {
		Name, Door, Login, Address, Dir string
		Labels                          []string
		Audited                         bool
		Port                            int
		SSHDConfig                      string `json:"sshd_config"`
		SSHDLog                         string `json:"sshd_log"`
		HostKey                         string `json:"host_key"`
		ConnectorConfig                 string `json:"connector_config"`
	} `json:"targets"`
	Auditor struct {
		PrivateKey string `json:"private_key"`
		PublicKey  string `json:"public_key"`
	} `json:"auditor"`
	Processes map[string]struct {
		PID  int      `json:"pid"`
		Argv []string `json:"argv"`
		Log  string   `json:"log"`
	} `json:"processes"`

	cmd   *exec.Cmd
	life  io.Closer // the demo ends when it is closed, or when we die
	said  *bytes.Buffer
	ended chan error
}

const startTime = 60 * time.Second

// startHouse starts a demo in a folder that is not there yet, and waits until it stands.
func startHouse(dir string) (*house, error) {
	h := &house{said: &bytes.Buffer{}, ended: make(chan error, 1)}
	h.cmd = exec.Command("demo", "-with-parent")
	h.cmd.Env = append(os.Environ(), "DEMO_DIR="+dir, "DEMO_PORT_BASE=")
	h.cmd.Stdout, h.cmd.Stderr = h.said, h.said
	// A signal to the tests' process group reaches the demo only through its standard input.
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	life, err := h.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	h.life = life
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { h.ended <- h.cmd.Wait() }()
	file := filepath.Join(dir, "demo.json")
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if h.read(file) == nil {
			return h, nil
		}
		select {
		case err := <-h.ended:
			return nil, fmt.Errorf("the demo ended: %v\n%s", err, h.said)
		default:
		}
		if time.Since(begun) > startTime {
			h.stop()
			return nil, fmt.Errorf("the demo does not stand after %s:\n%s", startTime, h.said)
		}
	}
}

// readHouse reads the demo.json of a house that somebody else runs.
func readHouse(file string) (*house, error) {
	h := &house{}
	return h, h.read(file)
}

func (h *house) read(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, h)
}

func (h *house) file() string { return filepath.Join(h.Dir, "demo.json") }

// stop ends the demo and all that it started.
func (h *house) stop() error {
	defer func() { endGuests(h.Dir) }()
	h.life.Close()
	select {
	case err := <-h.ended:
		if err != nil {
			return fmt.Errorf("the demo ended with %w:\n%s", err, h.said)
		}
		return nil
	case <-time.After(30 * time.Second):
		h.cmd.Process.Kill()
		<-h.ended
		return errors.New("the demo does not end")
	}
}

// describe gives a story the variables that it speaks of the house with.
func (h *house) describe(set func(name, value string)) {
	set("HOUSE", h.file())
	set("URL", h.URL)
	set("CA", h.CAFile)
	set("PORT", strconv.Itoa(h.Port))
	set("SSH_PORT", strconv.Itoa(h.SSHPort))
	set("WEB1_PORT", strconv.Itoa(h.Targets["web1"].Port))
	set("DB1_PORT", strconv.Itoa(h.Targets["db1"].Port))
	set("WEB1", h.Targets["web1"].Dir)
	set("DB1", h.Targets["db1"].Dir)
	set("LOGIN", h.Login)
	set("CONFIG", h.Config)
	set("RECORDINGS", h.Recordings)
	set("DATA", h.Data)
	set("AUDITOR_KEY", h.Auditor.PrivateKey)
	set("AUDITOR_PUB", h.Auditor.PublicKey)
	set("SEKISHOD_LOG", h.Processes["sekishod"].Log)
}

// noneLeft reports processes that were started from dir, work there, or have their home there, as what somebody's ssh
// started has.
func noneLeft(dir string) error {
	var left []string
	for _, p := range processesOf(dir) {
		left = append(left, fmt.Sprintf("%d %s", p.pid, p.command))
	}
	if left != nil {
		return fmt.Errorf("processes left:\n%s", strings.Join(left, "\n"))
	}
	return nil
}

type process struct {
	pid     int
	command string
	guest   bool // has its home there
}

func processesOf(dir string) (all []process) {
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, f := range folders {
		text, _ := os.ReadFile(filepath.Join(f, "cmdline"))
		environ, _ := os.ReadFile(filepath.Join(f, "environ"))
		pid, _ := strconv.Atoi(filepath.Base(f))
		p := process{pid, strings.ReplaceAll(string(text), "\x00", " "), bytes.Contains(environ, []byte("HOME="+dir+"/"))}
		if pid != os.Getpid() && (p.guest || bytes.Contains(text, []byte(dir+"/"))) {
			all = append(all, p)
		}
	}
	return all
}

// endGuests ends the programs on targets whose sshd is gone, as those machines would when they go down: a sleep notices
// nothing by itself.
func endGuests(dir string) {
	for _, p := range processesOf(dir) {
		if p.guest {
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}
