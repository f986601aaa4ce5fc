package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// adoptOrphans makes us the parent of grandchildren whose parents do not wait for them, so that their CPU time is
// not lost (prctl(2), PR_SET_CHILD_SUBREAPER).
func adoptOrphans() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// reapGroup waits for what is left of a process group and gives the CPU time it used.
func reapGroup(group int) time.Duration {
	var sum time.Duration
	for {
		var usage syscall.Rusage
		_, err := syscall.Wait4(-group, nil, 0, &usage)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return sum
		}
		sum += cpuIn(usage)
	}
}

func cpuIn(usage syscall.Rusage) time.Duration {
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// ownCPU is the CPU time of our own process.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return cpuIn(usage)
}

// reapAll waits a little for every process that was started or adopted here, so that none outlives us.
func reapAll() {
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		switch pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); {
		case err == syscall.ECHILD:
			return
		case pid == 0:
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// middle are the processes that stay between client and target: of the house, or others.
type middle struct {
	sekishod   int // 0: the way does not lead through the house
	connectors []int
	others     []int
}

// spent is the CPU time of a middle, part by part.
type spent struct{ sekishod, connectors, others time.Duration }

func (m middle) spent() (s spent) {
	if m.sekishod != 0 {
		s.sekishod, s.connectors = cpuOf([]int{m.sekishod}), cpuOf(m.connectors)
	}
	if m.others != nil {
		s.others = cpuOf(m.others)
	}
	return s
}

// since is what was spent after before, with what helpers used that have ended.
func (s spent) since(before spent, helpers time.Duration) spent {
	return spent{s.sekishod - before.sekishod, s.connectors - before.connectors, s.others - before.others + helpers}
}

func (s spent) all() time.Duration { return s.sekishod + s.connectors + s.others }

// tick is the unit of times in /proc/PID/stat (proc(5)): the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// cpuOf is the CPU time of processes, of their living descendants, and of those that they have waited for.
func cpuOf(roots []int) time.Duration {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	times := map[int]int64{}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		end := bytes.LastIndexByte(text, ')')
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		fields := strings.Fields(string(text[end+1:]))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
		for _, field := range fields[11:15] { // utime, stime, cutime, cstime
			n, _ := strconv.ParseInt(field, 10, 64)
			times[pid] += n
		}
	}
	var ticks int64
	for open := append([]int{}, roots...); len(open) > 0; open = open[1:] {
		ticks += times[open[0]]
		open = append(open, children[open[0]]...)
	}
	return time.Duration(ticks) * tick
}

// memoryOf is the resident and the proportional memory of processes, in KiB (proc_pid_smaps(5)).
func memoryOf(pids ...int) (rss, pss int) {
	for _, pid := range pids {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 2 {
				continue
			}
			n, _ := strconv.Atoi(fields[1])
			switch fields[0] {
			case "Rss:":
				rss += n
			case "Pss:":
				pss += n
			}
		}
	}
	return rss, pss
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "an unnamed processor"
}

func sshVersion() string {
	out, _ := exec.Command("ssh", "-V").CombinedOutput()
	version, _, _ := strings.Cut(string(out), ",")
	return strings.TrimSpace(version)
}
