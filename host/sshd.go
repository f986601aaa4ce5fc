package host

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// commandTime bounds sshd -T and the reload command.
const commandTime = 20 * time.Second

// ask runs sshd -T, sshd's extended test: it checks the configuration and prints what is in force, keywords in lower
// case. The error holds what sshd says.
func (h *Host) ask(ctx context.Context) (map[string]string, error) {
	out, err := run(ctx, h.layout.SSHD, "-T", "-f", h.layout.SSHDConfig)
	if err != nil {
		return nil, fmt.Errorf("sshd refuses its configuration: %w", err)
	}
	effective := make(map[string]string)
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if _, twice := effective[name]; twice && name == "hostcertificate" {
			value = effective[name] + "\n" + value
		}
		effective[name] = value
	}
	return effective, lines.Err()
}

// inForce checks that sshd goes by the drop-in: the first value wins in sshd_config, so an earlier line or a missing
// Include would leave the host trusting something else.
func (h *Host) inForce(effective map[string]string, has parts) error {
	for _, s := range h.layout.settings(has) {
		got := effective[strings.ToLower(s.name)]
		if got == s.value || (got == "" && s.value == "none") {
			continue
		}
		if s.name == "HostCertificate" && strings.Contains("\n"+got+"\n", "\n"+s.value+"\n") {
			continue
		}
		return fmt.Errorf("sshd has %s %q in force instead of %q: %s must include %s before any such line",
			s.name, got, s.value, h.layout.SSHDConfig, h.layout.DropIn)
	}
	return nil
}

// reload makes sshd read its configuration anew; sessions go on.
func (h *Host) reload(ctx context.Context) error {
	if len(h.layout.Reload) > 0 {
		_, err := run(ctx, h.layout.Reload[0], h.layout.Reload[1:]...)
		return err
	}
	b, err := readFile(h.layout.PIDFile)
	if err != nil {
		return fmt.Errorf("read PID file: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("PID file %s holds no process ID", h.layout.PIDFile)
	}
	// The file may be older than the process that has the number now. Where there is no /proc it is believed.
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err == nil && strings.TrimSpace(string(name)) != filepath.Base(h.layout.SSHD) {
		return fmt.Errorf("process %d is no sshd", pid)
	}
	return syscall.Kill(pid, syscall.SIGHUP)
}

// run gives a command's output; the error holds the end of what it said.
func run(ctx context.Context, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	text := strings.TrimSpace(said.String())
	if len(text) > 500 {
		text = "…" + text[len(text)-500:]
	}
	if text == "" {
		return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return nil, errors.Join(fmt.Errorf("%s: %w", filepath.Base(name), err), errors.New(text))
}
