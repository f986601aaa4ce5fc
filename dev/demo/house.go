package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// house is the demo as a whole; its exported fields are demo.json.
type house struct {
	Dir  string `json:"dir"`
	Bin  string `json:"bin"`
	Note string `json:"note"`

	URL string `json:"url"`
	// CAFile is the CA of the HTTPS listener, to be given to sekisho login.
	CAFile  string `json:"ca_file"`
	Port    int    `json:"port"`
	SSHPort int    `json:"ssh_port"`
	// Metrics is where Prometheus would read sekishod's figures.
	Metrics     string `json:"metrics"`
	MetricsPort int    `json:"metrics_port"`
	Issuer      string `json:"issuer"`
	IdPPort     int    `json:"idp_port"`
	Login       string `json:"login"`
	Config      string `json:"config"`
	Data        string `json:"data"`
	Database    string `json:"database"`
	Recordings  string `json:"recordings"`
	Policies    string `json:"policies"`

	People  map[string]*person `json:"people"`
	Targets map[string]*target `json:"targets"`
	Auditor auditor            `json:"auditor"`

	Processes map[string]*process `json:"processes"`
	restarts  sync.Mutex          // one process at a time is started again

	sshd string
}

type person struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Group    string `json:"group"`
	// Home is to be SEKISHO_HOME, SSHConfig goes to ssh -F, Browser is to be SEKISHO_BROWSER to sign in without a person.
	Home      string `json:"home"`
	SSHConfig string `json:"ssh_config"`
	Browser   string `json:"browser"`
}

type target struct {
	Name    string   `json:"name"`
	Labels  []string `json:"labels"`
	Audited bool     `json:"audited"`
	Door    string   `json:"door"`
	Login   string   `json:"login"`
	// Address is where sshd listens; in production only the connector's own host would see it.
	Address         string `json:"address"`
	Port            int    `json:"port"`
	Dir             string `json:"dir"`
	SSHDConfig      string `json:"sshd_config"`
	SSHDLog         string `json:"sshd_log"`
	HostKey         string `json:"host_key"`
	ConnectorConfig string `json:"connector_config"`
}

type auditor struct {
	PrivateKey string `json:"private_key"`
	PublicKey  string `json:"public_key"`
}

func newHouse(dir string) (*house, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	ports, err := ports(6)
	if err != nil {
		return nil, err
	}
	h := &house{
		Dir: dir, Bin: filepath.Dir(self), Login: me.Username,
		Note: "Written by make demo; valid while it runs.",
		URL:  fmt.Sprintf("https://127.0.0.1:%d", ports[0]), Port: ports[0], SSHPort: ports[1],
		Metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", ports[5]), MetricsPort: ports[5],
		Issuer: fmt.Sprintf("http://127.0.0.1:%d", ports[2]), IdPPort: ports[2],
		CAFile: filepath.Join(dir, "sekishod", "data", "tls", "ca.pem"),
		Config: filepath.Join(dir, "sekishod", "sekishod.yaml"), Data: filepath.Join(dir, "sekishod", "data"),
		Database:   filepath.Join(dir, "sekishod", "data", "sekisho.db"),
		Recordings: filepath.Join(dir, "sekishod", "data", "recordings"),
		Policies:   filepath.Join(dir, "sekishod", "policies"),
		People: map[string]*person{
			"mei":  {Email: "mei@example.com", Group: "sre"},
			"ken":  {Email: "ken@example.com", Group: "dev"},
			"hana": {Email: "hana@example.com", Group: "leads"},
		},
		Targets: map[string]*target{
			"web1": {Labels: []string{"env:dev"}, Door: "pass", Port: ports[3]},
			"db1":  {Labels: []string{"env:prod"}, Door: "audit", Audited: true, Port: ports[4]},
		},
		Auditor:   auditor{PrivateKey: filepath.Join(dir, "auditor.key"), PublicKey: filepath.Join(dir, "auditor.key.pub")},
		Processes: map[string]*process{},
	}
	if h.sshd, err = findSSHD(); err != nil {
		return nil, err
	}
	return h, h.write()
}

func findSSHD() (string, error) {
	for _, p := range []string{"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"} {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("sshd is missing: install the package openssh-server")
}

// ports gives n ports: from DEMO_PORT_BASE upwards, or free ones.
func ports(n int) ([]int, error) {
	list := make([]int, n)
	if base := os.Getenv("DEMO_PORT_BASE"); base != "" {
		first, err := strconv.Atoi(base)
		if err != nil || first < 1 || first+n > 65535 {
			return nil, fmt.Errorf("DEMO_PORT_BASE %q: want a port number", base)
		}
		for i := range list {
			list[i] = first + i
		}
		return list, nil
	}
	for i := range list {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at once at the end, so that no port is given twice
		list[i] = l.Addr().(*net.TCPAddr).Port
	}
	return list, nil
}

// start brings the house up, room by room, and writes demo.json when everything answers.
func (h *house) start(ctx context.Context) error {
	begun := time.Now()
	if err := h.startIdP(ctx); err != nil {
		return err
	}
	if err := h.startControl(ctx); err != nil {
		return err
	}
	for _, name := range []string{"web1", "db1"} {
		if err := h.startTarget(ctx, h.Targets[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range []string{"web1", "db1"} {
		if err := h.awaitLink(ctx, h.Targets[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := h.save(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "the house stands: %.1f s\n", time.Since(begun).Seconds())
	return nil
}

// save writes demo.json, at once or not at all.
func (h *house) save() error {
	text, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(h.Dir, "demo.json")
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func loadHouse(path string) (*house, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	h := &house{}
	return h, json.Unmarshal(text, h)
}
