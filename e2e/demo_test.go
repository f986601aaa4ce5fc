package e2e_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// demo.json must tell an outside script everything: no field may be empty, every path must be there, and every port
// must answer.
func TestDemoFile(t *testing.T) {
	text, err := os.ReadFile(shared.file())
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	full(t, "", all)
	for _, name := range []string{"mei", "ken", "hana"} {
		p := shared.People[name]
		if p.Email == "" || p.Password == "" || p.Group == "" || p.Home == "" || p.Browser == "" || p.SSHConfig == "" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	for _, path := range []string{shared.CAFile, shared.Config, shared.Database, shared.Recordings, shared.Policies,
		shared.Auditor.PrivateKey, shared.Auditor.PublicKey, shared.People["mei"].Browser,
		shared.Targets["db1"].SSHDConfig, shared.Targets["db1"].HostKey, shared.Targets["db1"].ConnectorConfig} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	for _, port := range shared.ports() {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), 5*time.Second)
		if err != nil {
			t.Error(err)
			continue
		}
		conn.Close()
	}
	if n := len(shared.Processes); n != 6 {
		t.Errorf("%d processes, want IdP, sekishod, and for each target sshd and connector", n)
	}
	for name, p := range shared.Processes {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", p.PID)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (h *house) ports() []int {
	return []int{h.Port, h.SSHPort, h.IdPPort, h.Targets["web1"].Port, h.Targets["db1"].Port}
}

func full(t *testing.T, where string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			full(t, where+"."+k, inner)
		}
		if len(v) == 0 {
			t.Errorf("%s is empty", where)
		}
	case []any:
		for i, inner := range v {
			full(t, fmt.Sprintf("%s[%d]", where, i), inner)
		}
	case string, nil, float64:
		if v == nil || v == "" || v == 0.0 {
			t.Errorf("%s is empty", where)
		}
	}
}

// Nothing of the house listens where other machines could reach it, and its connectors listen nowhere at all.
func TestListensOnLoopbackOnly(t *testing.T) {
	listening := listeners(t)
	found := map[int]bool{}
	for name, p := range shared.Processes {
		for _, inode := range sockets(t, p.PID) {
			addr, ok := listening[inode]
			if !ok {
				continue
			}
			found[addr.Port] = true
			if !addr.IP.IsLoopback() {
				t.Errorf("%s listens on %s", name, addr)
			}
			if strings.HasPrefix(name, "connector") {
				t.Errorf("%s listens on %s, and should only dial", name, addr)
			}
		}
	}
	for _, port := range shared.ports() {
		if !found[port] {
			t.Errorf("nobody of the house listens on %d: this test looks in the wrong place", port)
		}
	}
}

// sockets gives the inodes of a process's sockets (proc(5)).
func sockets(t *testing.T, pid int) []string {
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) == 0 {
		t.Fatalf("descriptors of %d: %v", pid, err)
	}
	var inodes []string
	for _, l := range links {
		to, err := os.Readlink(l)
		if inode, ok := strings.CutPrefix(to, "socket:["); err == nil && ok {
			inodes = append(inodes, strings.TrimSuffix(inode, "]"))
		}
	}
	return inodes
}

// listeners gives the addresses of all listening TCP sockets by inode (proc(5), /proc/net/tcp).
func listeners(t *testing.T) map[string]*net.TCPAddr {
	all := map[string]*net.TCPAddr{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if os.IsNotExist(err) {
			continue // without IPv6
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			f := strings.Fields(string(line))
			const listen = "0A"
			if len(f) < 10 || f[3] != listen {
				continue
			}
			host, port, _ := strings.Cut(f[1], ":")
			raw, err := hex.DecodeString(host)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i+4 <= len(raw); i += 4 { // each word is in the machine's order
				raw[i], raw[i+1], raw[i+2], raw[i+3] = raw[i+3], raw[i+2], raw[i+1], raw[i]
			}
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			all[f[9]] = &net.TCPAddr{IP: raw, Port: int(n)}
		}
	}
	return all
}
