package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// house is what demo.json says of the house that runs.
type house struct {
	Dir      string `json:"dir"`
	Bin      string `json:"bin"`
	URL      string `json:"url"`
	CAFile   string `json:"ca_file"`
	SSHPort  int    `json:"ssh_port"`
	Metrics  string `json:"metrics"` // URL
	Login    string `json:"login"`
	Config   string `json:"config"`
	Policies string `json:"policies"`
	People   map[string]*struct {
		Home      string `json:"home"`
		SSHConfig string `json:"ssh_config"`
		Browser   string `json:"browser"`
	} `json:"people"`
	Processes map[string]*struct {
		PID int `json:"pid"`
	} `json:"processes"`
}

// policies of the bench: mei may go everywhere, and get certificates of the bench's issuer; those for the SSH port last as long as
// the bench does.
const policies = `
@id("bench-pass")
permit (principal, action == Action::"connect", resource)
when { resource.labels.contains("env:dev") && resource.logins.contains(context.login) };

@id("bench-audit")
@audit("strict")
@ttl("1h")
permit (principal in Group::"sre", action == Action::"connect", resource)
when { resource.labels.contains("env:prod") && resource.logins.contains(context.login) };

@id("bench-ca")
permit (principal in Group::"sre", action == Action::"manageCA", resource);

@id("bench-certify")
permit (principal in Group::"sre", action == Action::"certify", resource == Issuer::"bench");
`

// configuration is what the bench adds to the demo's: an issuer as one has it for servers that are no targets, which refuses
// nobody for asking often.
const configuration = `ca:
  issuers:
    bench:
      ca: bench
      principals: ["{account}"]
      ttl: 1h
      extensions: [permit-pty]
      rate: {per_minute: 100000, burst: 100000}
`

func readHouse(file string) (*house, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	h := &house{}
	return h, json.Unmarshal(text, h)
}

// startHouse runs the demo in dir with the bench's policies until stop is called, or until we are gone.
func startHouse(ctx context.Context, bin, dir string) (h *house, stop func(), err error) {
	log, err := os.Create(filepath.Join(dir, "demo.log"))
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	more := filepath.Join(dir, "more.yaml")
	if err := os.WriteFile(more, []byte(configuration), 0o600); err != nil {
		return nil, nil, err
	}
	demo := exec.Command(filepath.Join(bin, "demo"), "-with-parent")
	demo.Env = append(os.Environ(), "DEMO_DIR="+filepath.Join(dir, "house"), "DEMO_PORT_BASE=", "DEMO_CONFIG="+more)
	demo.Stdout, demo.Stderr = log, log
	demo.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	life, err := demo.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := demo.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() {
		life.Close()
		demo.Wait() // it ends what it started within seconds
	}
	file := filepath.Join(dir, "house", "demo.json")
	if err := await(ctx, 30*time.Second, func() bool { h, err = readHouse(file); return err == nil }); err != nil {
		stop()
		text, _ := os.ReadFile(log.Name())
		return nil, nil, fmt.Errorf("the house does not stand: %w\n%s", err, text)
	}
	file = filepath.Join(h.Policies, "demo.cedar")
	if err := os.WriteFile(file, []byte(policies), 0o644); err != nil {
		stop()
		return nil, nil, err
	}
	time.Sleep(3 * time.Second) // policies are taken over within a second; the first sparks of the start settle
	return h, stop, nil
}

// sekisho runs the client as this person.
func (h *house) sekisho(ctx context.Context, person string, args ...string) ([]byte, error) {
	p := h.People[person]
	cmd := exec.CommandContext(ctx, filepath.Join(h.Bin, "sekisho"), args...)
	cmd.Env = append(os.Environ(), "SEKISHO_HOME="+p.Home, "SEKISHO_BROWSER="+p.Browser)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("sekisho %s: %w\n%s", args[0], err, &errOut)
	}
	return out, nil
}

func (h *house) pid(process string) int { return h.Processes[process].PID }

// await asks until it is true.
func await(ctx context.Context, most time.Duration, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// metric asks sekishod for one number; 0 where it has none.
func (h *house) metric(name string) float64 {
	res, err := http.Get(h.Metrics)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			number, _ := strconv.ParseFloat(value, 64)
			return number
		}
	}
	return 0
}

// sample asks for a number now and again until stop is called, and keeps the most that it was.
func (h *house) sample(name string, most *float64) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(100 * time.Millisecond):
				*most = max(*most, h.metric(name))
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}
